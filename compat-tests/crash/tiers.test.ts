import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../../src/util/testing/files-below.ts';
import { SeededRandom } from '../../src/util/testing/seeded-random.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { recordOf } from '../harness/payload.ts';
import { BucketScene, PATIENCE_MS, SEGMENT_BYTES } from './bucket-scene.ts';

const kills = Number(process.env.KAFABRIC_TIER_KILLS ?? 3);
const seed = Number(process.env.KAFABRIC_TIER_SEED ?? 1);
const topics = { 'tiered-all': -1, 'tiered-leader': 1 } as const;
/** Of a topic that comes and goes: more than a segment, so that there is room in the first tiers when it has gone, and payload moves up. */
const CHURN = { records: 30, size: 500_000 };

/** A gateway whose payload moves between two directories and a bucket, under load; it and the object store are killed. */
describe(`tiers with a bucket, ${kills} kills of the gateway or the object store`, function () {
  if (targetIsKafka) return;
  this.timeout(300_000 + kills * 120_000);
  const random = new SeededRandom(seed);
  let scene: BucketScene;
  let failed = false;

  before(async function () {
    BucketScene.require(this);
    scene = await BucketScene.start((dir) => ({
      'storage.tiers.types': 'NVME,HDD,S3',
      'storage.tiers.first.paths': join(dir, 'fast'),
      'storage.tiers.first.sizes': String(8 * SEGMENT_BYTES),
      'storage.tiers.second.paths': join(dir, 'slow'),
      'storage.tiers.second.sizes': String(6 * SEGMENT_BYTES),
    }));
    const sizes = { minBytes: 70_000, maxBytes: 300_000, pauseMicros: 40_000 };
    for (const [topic, acks] of Object.entries(topics))
      await scene.load(topic, { partitions: 2, acks, codec: 'none', ...sizes });
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(() => scene?.end(failed));

  let churned = 0;
  const churn = () => `churn-${churned}`;

  async function produceChurn(): Promise<void> {
    churned++;
    const topic = churn();
    const { client } = scene.loads;
    await client.call('create', { topic, partitions: 1, configs: {} });
    for (let n = 0; n < CHURN.records; n++) {
      const record = recordOf(null, CHURN.size, n);
      const place = { topic, partition: 0, codec: 'none', acks: -1 };
      await client.call('produce', { ...place, records: [record] });
    }
  }

  it('what was acknowledged is there, once and in order', async () => {
    const events = scene.events(random);
    const names = Object.keys(events);
    for (let kill = 0; kill < kills; kill++) {
      await produceChurn();
      // Half of the time in the middle of moves down, half of it in that of moves up and removals.
      if (random.chance(0.5)) await scene.loads.client.call('delete', { topic: churn() });
      await sleep(random.integer(0, 1500));
      const event = names[(kill + seed - 1) % names.length]!;
      await events[event]!().catch((error: Error) => {
        throw new Error(`${event}: ${error.message}`);
      });
      await scene.verify(false);
    }
    await until(
      'something has reached the bucket',
      PATIENCE_MS,
      async () => (await scene.tierMetric('files')) > 0,
    );
    await scene.stopLoads();
    await scene.inUse();
    await scene.verify(true);
  });

  it('everything is there once, and nothing else', async () => {
    await scene.atRest();
    await scene.broker.restart();
    await scene.inUse();
    await scene.atRest();
    await scene.verifyOnDisk();
    await scene.broker.start();
    await scene.verify(true);
  });

  it('what is deleted goes from everywhere', async () => {
    const left = (tier: string) =>
      existsSync(join(scene.dir, tier))
        ? filesBelow(join(scene.dir, tier)).filter((path) => path.endsWith('.payload'))
        : [];
    const churns = Array.from({ length: churned }, (_, n) => `churn-${n + 1}`);
    for (const topic of [...Object.keys(topics), ...churns])
      await scene.loads.client.call('delete', { topic }).catch((error: Error) => {
        if (!/UNKNOWN_TOPIC/i.test(error.message)) throw error;
      });
    await until('all is gone', PATIENCE_MS, () =>
      [left('fast'), left('slow'), scene.server.contents().objects].every((files) => files.length === 0),
    );
    for (const tier of ['first', 'second', 'third'])
      assert.equal(await scene.metric(`tier_used_bytes{tier="${tier}"}`), 0, tier);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { type LoadOptions, Loads } from './load.ts';
import { dumpLogSegments, orphans, partitionDirs, verifyPayload } from './on-disk.ts';

const rounds = Number(process.env.KAFABRIC_CRASH_ROUNDS ?? 4);
const partitions = 2;

const small = { minBytes: 10, maxBytes: 2000, pauseMicros: 500 };
const large = { minBytes: 70_000, maxBytes: 200_000, pauseMicros: 10_000 };
const mixed = { minBytes: 1000, maxBytes: 150_000, pauseMicros: 5000 };

const loadsByTopic: Record<string, Omit<LoadOptions, 'topic' | 'partitions'>> = {
  'crash-small-all': { acks: -1, codec: 'lz4', ...small },
  'crash-large-all': { acks: -1, codec: 'none', ...large },
  'crash-mixed-all': { acks: -1, codec: 'zstd', ...mixed },
  'crash-small-leader': { acks: 1, codec: 'none', ...small },
  'crash-large-leader': { acks: 1, codec: 'snappy', ...large },
  'crash-mixed-disk': { acks: 1, codec: 'none', ...mixed },
};
const topics = Object.keys(loadsByTopic);

/** Small segments, so that several are open, rolled and recovered in every round. */
const overrides: Record<string, string> = targetIsKafka ? {} : { 'payload.segment.bytes': '4194304' };
const topicConfigs = { 'segment.bytes': '1048576', 'index.interval.bytes': '512' };

describe(`kill -9 under load, ${rounds} rounds`, () => {
  let dir: string;
  let broker: Broker;
  let loads: Loads;

  before(async function () {
    requireToolchain(this, 'go');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-crash-'));
    broker = await makeBroker({ dir, overrides });
    await broker.start();
    loads = new Loads(broker.bootstrap);
    for (const topic of topics) {
      const configs = topic.endsWith('-disk') ? { ...topicConfigs, 'log.ack': 'disk' } : topicConfigs;
      await loads.client.call('create', {
        topic,
        partitions,
        configs: targetIsKafka ? topicConfigs : configs,
      });
      await loads.start(topic, { topic, partitions, ...loadsByTopic[topic]! });
    }
  });

  let failed = false;

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    await loads?.close();
    await broker?.stop();
    if (failed) console.log(`      the broker's files are kept in ${dir}`);
    else if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function verifyAll(fromStart: boolean): Promise<void> {
    for (const topic of topics) {
      const { problems, acknowledged, verified } = await loads.verify(topic, fromStart);
      assert.deepEqual(problems, [], topic);
      assert.ok(acknowledged > 0 && verified > 0, `${topic}: nothing was acknowledged`);
    }
  }

  const acknowledged = new Map(topics.map((topic) => [topic, 0]));

  for (let round = 1; round <= rounds; round++) {
    it(`round ${round}: what was acknowledged is there, once and in order`, async () => {
      for (const topic of topics)
        acknowledged.set(topic, await loads.progress(topic, acknowledged.get(topic)!));
      await sleep(300 + ((round * 7919) % 700));
      await broker.kill('SIGKILL');
      // No new records meanwhile, or a slow machine has more to compare from round to round.
      for (const topic of topics) await loads.pause(topic, true);
      // Recovery must bear to be interrupted anywhere: what it writes for the dead process, truncates, rebuilds.
      if (round % 2 === 0) await broker.startAndKill(100 + ((round * 4801) % 400));
      await broker.start();
      await verifyAll(false);
      for (const topic of topics) await loads.pause(topic, false);
    });
  }

  if (!targetIsKafka)
    it('recovery leaves no payload that nothing refers to', async () => {
      await sleep(500);
      await broker.kill('SIGKILL');
      // On another port the clients do not find it: what is on disk afterwards is what recovery has left.
      const recovering = await makeBroker({ dir, overrides });
      await recovering.start();
      // Not a clean stop: that would leave a producer snapshot, which tells only the last batch of each producer.
      await recovering.kill('SIGKILL');
      const found = topics.flatMap((topic) => partitionDirs(broker.dataDir, topic).flatMap(orphans));
      await broker.start();
      assert.deepEqual(found, []);
    });

  it('everything is there after the load has ended', async () => {
    for (const topic of topics) await loads.stop(topic);
    await verifyAll(true);
  });

  it('DumpLogSegments finds logs and indexes in order', async function () {
    requireToolchain(this, 'java');
    await broker.kill('SIGTERM');
    await dumpLogSegments(topics.flatMap((topic) => partitionDirs(broker.dataDir, topic)));
    if (!targetIsKafka) await verifyPayload(broker.dataDir);
    await broker.start();
    await verifyAll(true);
  });
});

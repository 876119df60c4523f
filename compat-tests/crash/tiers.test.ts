import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../src/util/testing/seeded-random.ts';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { runGatewayCommand } from '../harness/command-line.ts';
import { readMetric } from '../harness/metrics.ts';
import { recordOf } from '../harness/payload.ts';
import { S3Server } from '../harness/s3-server.ts';
import { Loads } from './load.ts';

const kills = Number(process.env.KAFABRIC_TIER_KILLS ?? 3);
const seed = Number(process.env.KAFABRIC_TIER_SEED ?? 1);
const topics = { 'tiered-all': -1, 'tiered-leader': 1 } as const;
const PATIENCE_MS = 120_000;
/** Several parts of an object. */
const SEGMENT_BYTES = 12 << 20;
/** Of a topic that comes and goes: more than a segment, so that there is room in the first tiers when it has gone, and payload moves up. */
const CHURN = { records: 30, size: 500_000 };

/** A gateway whose payload moves between two directories and a bucket, under load; it and the object store are killed. */
describe(`tiers with a bucket, ${kills} kills of the gateway or the object store`, function () {
  if (targetIsKafka) return;
  this.timeout(300_000 + kills * 120_000);
  const random = new SeededRandom(seed);
  let dir: string;
  let server: S3Server;
  let broker: Broker;
  let loads: Loads;
  let settings: Record<string, string>;
  let failed = false;

  before(async function () {
    requireToolchain(this, 'go');
    requireToolchain(this, S3Server.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-tiers-crash-'));
    mkdirSync(join(dir, 's3'));
    server = await S3Server.make(join(dir, 's3'));
    await server.start();
    settings = {
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,HDD,S3',
      'storage.tiers.first.paths': join(dir, 'fast'),
      'storage.tiers.first.sizes': String(8 * SEGMENT_BYTES),
      'storage.tiers.second.paths': join(dir, 'slow'),
      'storage.tiers.second.sizes': String(6 * SEGMENT_BYTES),
      ...server.settings(join(dir, 'cache')),
      'storage.s3.request.timeout.ms': '3000',
      'storage.migrate.bytes.per.second': '33554432',
      'storage.migrate.threads': '2',
      'payload.segment.bytes': String(SEGMENT_BYTES),
    };
    broker = await makeBroker({ dir, overrides: settings });
    await broker.start();
    loads = new Loads(broker.bootstrap);
    for (const [topic, acks] of Object.entries(topics)) {
      await loads.client.call('create', { topic, partitions: 2, configs: {} });
      const sizes = { minBytes: 70_000, maxBytes: 300_000, pauseMicros: 40_000 };
      await loads.start(topic, { topic, partitions: 2, acks, codec: 'none', ...sizes });
    }
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    await loads?.close();
    await broker?.stop();
    server?.freeze(false);
    await server?.kill();
    if (failed) console.log(`      the files are kept in ${dir}`);
    else if (dir) rmSync(dir, { recursive: true, force: true });
  });

  const metric = (name: string) => readMetric(broker.metricsUrl!, `kafabric_${name}`);

  async function verify(fromStart: boolean): Promise<void> {
    for (const topic of Object.keys(topics)) {
      const { problems, acknowledged } = await loads.verify(topic, fromStart);
      assert.deepEqual(problems, [], topic);
      assert.ok(acknowledged > 0, `${topic}: nothing was acknowledged`);
    }
  }

  const inUse = () =>
    until(
      'the bucket is in use',
      PATIENCE_MS,
      async () => (await metric('tier_paths_out_of_use{tier="third"}')) === 0,
    );

  /** Nothing moves, nor has to. */
  const atRest = () =>
    until('nothing is to move', PATIENCE_MS, async () => {
      const left = [
        'tier_backlog_bytes{tier="first"}',
        'tier_backlog_bytes{tier="second"}',
        'tier_moves_running',
        's3_pending_removals',
      ];
      return (await Promise.all(left.map(metric))).every((value) => value === 0);
    });

  let churned = 0;
  const churn = () => `churn-${churned}`;

  async function produceChurn(): Promise<void> {
    churned++;
    const topic = churn();
    await loads.client.call('create', { topic, partitions: 1, configs: {} });
    for (let n = 0; n < CHURN.records; n++) {
      const record = recordOf(null, CHURN.size, n);
      const place = { topic, partition: 0, codec: 'none', acks: -1 };
      await loads.client.call('produce', { ...place, records: [record] });
    }
  }

  const dropChurn = () => loads.client.call('delete', { topic: churn() });

  const events: Record<string, () => Promise<void>> = {
    'the gateway is killed': async () => {
      await broker.kill('SIGKILL');
      await broker.start();
    },
    'the gateway is killed, and again while it starts': async () => {
      await broker.kill('SIGKILL');
      await broker.startAndKill(random.integer(100, 1500));
      await broker.start();
    },
    'the object store is killed': async () => {
      await server.kill();
      await sleep(random.integer(0, 3000));
      await server.start();
    },
    'the object store is stopped in its tracks': async () => {
      server.freeze(true);
      await sleep(random.integer(500, 5000));
      server.freeze(false);
    },
    'both are killed, and the object store is back first': async () => {
      await Promise.all([server.kill(), broker.kill('SIGKILL')]);
      await server.start();
      await broker.start();
    },
    'both are killed, and the gateway is back first': async () => {
      await Promise.all([server.kill(), broker.kill('SIGKILL')]);
      await broker.start();
      await sleep(random.integer(0, 2000));
      await server.start();
    },
  };

  it('what was acknowledged is there, once and in order', async () => {
    const names = Object.keys(events);
    for (let kill = 0; kill < kills; kill++) {
      await produceChurn();
      // Half of the time in the middle of moves down, half of it in that of moves up and removals.
      if (random.chance(0.5)) await dropChurn();
      await sleep(random.integer(0, 1500));
      const event = names[(kill + seed - 1) % names.length]!;
      await events[event]!().catch((error: Error) => {
        throw new Error(`${event}: ${error.message}`);
      });
      // No new records meanwhile, or a slow machine has more to compare from one to the next.
      for (const topic of Object.keys(topics)) await loads.pause(topic, true);
      await verify(false);
      for (const topic of Object.keys(topics)) await loads.pause(topic, false);
    }
    for (const topic of Object.keys(topics)) await loads.stop(topic);
    await inUse();
    await verify(true);
    assert.ok((await metric('tier_files{tier="third"}')) > 0, 'nothing has reached the bucket');
  });

  it('everything is there once, and nothing else', async () => {
    await atRest();
    await broker.restart();
    await inUse();
    await atRest();
    await broker.kill('SIGTERM');
    assert.equal(server.contents().parts, 0, 'parts of uploads are left');
    const report = await runGatewayCommand(
      ['payload', 'verify'],
      { ...settings, 'log.dirs': broker.dataDir },
      PATIENCE_MS,
    );
    assert.match(report, /: in order/);
    await broker.start();
    await verify(true);
  });

  it('what is deleted goes from everywhere', async () => {
    const left = (tier: string) =>
      existsSync(join(dir, tier))
        ? readdirSync(join(dir, tier), { recursive: true, encoding: 'utf8' }).filter((name) =>
            name.endsWith('.payload'),
          )
        : [];
    const churns = Array.from({ length: churned }, (_, n) => `churn-${n + 1}`);
    for (const topic of [...Object.keys(topics), ...churns])
      await loads.client.call('delete', { topic }).catch((error: Error) => {
        if (!/UNKNOWN_TOPIC/i.test(error.message)) throw error;
      });
    await until('all is gone', PATIENCE_MS, () =>
      [left('fast'), left('slow'), server.contents().objects].every((files) => files.length === 0),
    );
    for (const tier of ['first', 'second', 'third'])
      assert.equal(await metric(`tier_used_bytes{tier="${tier}"}`), 0, tier);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statfsSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../src/util/testing/seeded-random.ts';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { patience, sleep, until } from '../harness/child.ts';
import { type Client, requireClient, startClient } from '../harness/client.ts';
import { readMetric } from '../harness/metrics.ts';
import { verifyPayload } from './on-disk.ts';
import { RetainedTopic } from './retained-topic.ts';

const rounds = Number(process.env.KAFABRIC_RECYCLING_ROUNDS ?? 3);
const seed = Number(process.env.KAFABRIC_RECYCLING_SEED ?? 1);
const EXT4 = 0xef53;
/** Segments below 16 MiB are not recycled, and one is a little smaller than this when it is full. */
const SEGMENT_BYTES = 20 << 20;

/** Records of one size: a batch that was here before and comes back begins where the next one is to be. */
const load = { keptBytes: SEGMENT_BYTES, sizes: [500_000], pauseMs: 0 };
const small = { 'segment.bytes': String(SEGMENT_BYTES), 'payload.segment.bytes': String(SEGMENT_BYTES) };
const inLog = { ...small, 'payload.min.bytes': '-1' };
const configsByTopic: Record<string, Record<string, string>> = {
  'recycled-log': inLog,
  'recycled-disk': { ...inLog, 'log.ack': 'disk' },
  'recycled-payload': small,
};
/** Of topics that go: larger, so that what is left of one becomes the first segment of the next, where its old batches would have the right offsets. */
const droppedConfigs = { ...inLog, 'segment.bytes': String(SEGMENT_BYTES + (4 << 20)) };
/** More than such a segment. */
const DROPPED_RECORDS = 60;

/** Segments go with retention and with whole topics, and new ones begin in their space, while the gateway is killed. */
describe(`kill -9 while segments are recycled, ${rounds} rounds`, function () {
  if (targetIsKafka) return;
  this.timeout(60_000 + rounds * 60_000);
  const random = new SeededRandom(seed);
  const clients: Client[] = [];
  const topics: RetainedTopic[] = [];
  let dir: string;
  let broker: Broker;
  let startDropped: (round: number) => Promise<RetainedTopic>;
  let dropped: RetainedTopic;
  let failed = false;

  before(async function () {
    const kind = requireClient(this, 'franz-go');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-recycling-'));
    if (statfsSync(dir).type !== EXT4) {
      console.log(`      skipped: segments are recycled on ext4; ${dir} is on another file system`);
      this.skip();
    }
    broker = await makeBroker({
      dir,
      overrides: {
        'log.durability': 'os',
        'log.initial.task.delay.ms': '200',
        'log.retention.check.interval.ms': '200',
        'log.segment.delete.delay.ms': '100',
      },
    });
    await broker.start();
    const client = () => {
      clients.push(startClient(kind, broker.bootstrap));
      return clients.at(-1)!;
    };
    for (const [topic, configs] of Object.entries(configsByTopic))
      topics.push(await RetainedTopic.start(client(), topic, { ...load, configs }));
    const dropping = client();
    startDropped = (round) =>
      RetainedTopic.start(dropping, `dropped-${round}`, { ...load, keptBytes: -1, configs: droppedConfigs });
    dropped = await startDropped(0);
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    for (const client of clients) await client.stop();
    await broker?.stop();
    if (failed) console.log(`      the broker's files are kept in ${dir}; seed ${seed}`);
    else if (dir) rmSync(dir, { recursive: true, force: true });
  });

  /** Resolves when a file is taken, or is put where files are kept; also after a while in which none was. */
  async function nextRecycling(): Promise<void> {
    const watching = new AbortController();
    const seen = new Promise<void>((resolve) => {
      watch(broker.dataDir, { signal: watching.signal }, (_, name) => {
        if (name?.startsWith('recycled-')) resolve();
      });
    });
    await Promise.race([seen, sleep(5_000 * patience)]);
    watching.abort();
  }

  /** The next one begins when the space of the last one is kept. */
  async function drop(round: number): Promise<void> {
    await dropped.pause();
    await clients[0]!.call('delete', { topic: dropped.topic });
    await until('the segment of the deleted topic is kept', 60_000, () =>
      readdirSync(broker.dataDir).some(
        (name) => name.startsWith('recycled-') && sizeOf(join(broker.dataDir, name)) > SEGMENT_BYTES,
      ),
    );
    dropped = await startDropped(round);
  }

  async function verifyAll(): Promise<void> {
    for (const topic of [...topics, dropped]) await topic.pause();
    for (const topic of [...topics, dropped]) await topic.verify();
  }

  for (let round = 1; round <= rounds; round++) {
    it(`round ${round}: what was acknowledged and is kept is there, as it was sent`, async () => {
      const recycled = () => readMetric(broker.metricsUrl!, 'kafabric_recycled_files_total');
      await until(
        'segments begin in recycled space',
        60_000,
        async () => dropped.acknowledged >= DROPPED_RECORDS && (await recycled()) >= 4,
      );
      await drop(round);
      await nextRecycling();
      await sleep(random.chance(0.5) ? random.integer(0, 5) : random.integer(0, 300));
      await broker.kill('SIGKILL');
      if (round % 2 === 0) await broker.startAndKill(random.integer(200, 900));
      await broker.start();
      await verifyAll();
      for (const topic of [...topics, dropped]) topic.resume();
    });
  }

  it('retention has gone on, and no payload is damaged', async () => {
    await verifyAll();
    for (const { topic, firstOffset } of topics) assert.ok(firstOffset > 0, topic);
    await broker.kill('SIGTERM');
    await verifyPayload(broker.dataDir);
    await broker.start();
    await verifyAll();
  });
});

/** 0: it has gone meanwhile. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

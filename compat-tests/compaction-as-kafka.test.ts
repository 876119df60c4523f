import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listOffsetsRequest } from '../src/protocol/generated/list-offsets-request.ts';
import { listOffsetsResponse } from '../src/protocol/generated/list-offsets-response.ts';
import { type DiskBatch, readPartition, segmentsOf } from './compaction/disk.ts';
import { dumpLogSegments } from './crash/on-disk.ts';
import { type Broker, makeGateway, makeKafka } from './harness/broker.ts';
import { sleep, until } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import type { PlannedRecord, SeenRecord } from './harness/payload.ts';
import { runTool } from './harness/tools.ts';
import { WireClient } from './harness/wire-client.ts';

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const topics = {
  plain: {},
  appended: { 'message.timestamp.type': 'LogAppendTime' },
  small: { 'segment.bytes': '1048576' },
};
const names = Object.keys(topics);
const keys = 12;
const rounds = 3;
/** Of ListOffsets: the specials, of which -6 is newer than the others. */
const specials = [-1n, -2n, -3n, -4n, -5n, -6n];
const listOffsetsVersion = 11;

/** One of the two that compact the same directory. */
class Side {
  readonly broker: Broker;
  client!: Client;
  wire!: WireClient;

  constructor(broker: Broker) {
    this.broker = broker;
  }

  async open(): Promise<void> {
    await this.broker.start();
    this.client = startClient(clientKinds.find(({ name }) => name === 'java')!, this.broker.bootstrap);
    this.wire = await WireClient.connect(this.broker.bootstrap);
  }

  async close(): Promise<void> {
    this.wire?.close();
    await this.client?.stop();
    await this.broker.kill('SIGTERM');
  }

  directory(topic: string): string {
    return join(this.broker.dataDir, `${topic}-0`);
  }

  async configure(topic: string, configs: string): Promise<void> {
    const alter = ['--bootstrap-server', this.broker.bootstrap, '--alter', '--entity-type', 'topics'];
    await runTool(this.client, 'kafka.admin.ConfigCommand', [
      ...alter,
      '--entity-name',
      topic,
      '--add-config',
      configs,
    ]);
  }

  produce(
    topic: string,
    codec: string,
    acks: number,
    records: PlannedRecord[],
  ): Promise<{ baseOffset: number }> {
    return this.client.call('produce', { topic, partition: 0, codec, acks, records });
  }

  /** Resolves when all but the segment that is appended to has been compacted. */
  compacted(topic: string): Promise<void> {
    return until(`${topic} is compacted`, 60_000, async () => {
      const checkpoint = readFileSync(join(this.broker.dataDir, 'cleaner-offset-checkpoint'), 'utf8');
      const cleaned = checkpoint.match(new RegExp(`^${topic} 0 (\\d+)$`, 'm'))?.[1];
      return cleaned !== undefined && BigInt(cleaned) >= segmentsOf(this.directory(topic)).at(-1)!;
    });
  }

  /** The time of what both were given; of what came later it is their own. */
  async offset(topic: string, timestamp: bigint, end: number): Promise<unknown> {
    const { topics: answers } = await this.wire.call(
      [listOffsetsRequest, listOffsetsResponse],
      listOffsetsVersion,
      {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp }] }],
      },
    );
    const { errorCode, offset, timestamp: found } = answers[0]!.partitions[0]!;
    return { asked: timestamp, errorCode, offset, found: offset < BigInt(end) ? found : null };
  }

  read(topic: string, end: number, isolation: 'read_uncommitted' | 'read_committed'): Promise<SeenRecord[]> {
    return this.client.call('consume', { topics: [{ topic, ends: [end] }], isolation });
  }
}

describe('compaction of one directory by Apache Kafka and by the gateway', function () {
  this.timeout(600_000);
  this.bail(true);
  let dir: string;
  let kafka: Side;
  let gateway: Side;
  /** Of each topic, where what was written before any compaction ends. */
  const ends = new Map<string, number>();
  let seed = 0;
  /** Time goes on by more than segment.ms with each batch that is to begin a segment. */
  let time = 0;

  before(async function () {
    requireToolchain(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-compaction-'));
    for (const name of ['kafka', 'gateway']) mkdirSync(join(dir, name));
    const overrides = { 'log.cleaner.backoff.ms': '200', 'log.retention.check.interval.ms': '3600000' };
    kafka = new Side(await makeKafka({ dir: join(dir, 'kafka'), overrides }));
    const ours = { ...overrides, 'node.id': '1', 'payload.min.bytes': '-1' };
    gateway = new Side(await makeGateway({ dir: join(dir, 'gateway'), overrides: ours }));
  });
  after(async () => {
    for (const side of [gateway, kafka]) await side?.close();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  function records(count: number, size: number, first = 0): PlannedRecord[] {
    return Array.from({ length: count }, (_, i) => ({
      key: `key-${(first + i) % keys}`,
      size: (first + i) % 5 === 4 ? -1 : size,
      seed: ++seed,
      headers: [['number', String(seed)]],
      // Not in order, so that the newest of a batch may be any of its records.
      timestamp: time + ((i * 37) % 50),
    }));
  }

  async function write(topic: string): Promise<void> {
    const { client } = kafka;
    const size = topic === 'small' ? 20_000 : 200;
    for (const producer of ['p', 'q'])
      await client.call('openTransactional', {
        producer,
        transactionalId: `${topic}-${producer}`,
        timeoutMs: 600_000,
      });
    const send = (producer: string, count: number, first: number) =>
      client.call('send', { producer, topic, partition: 0, records: records(count, size, first) });
    for (let round = 0; round < 10; round++) {
      await sleep(110);
      time = Date.now();
      const codec = codecs[round % codecs.length]!;
      for (const acks of [1, -1]) await kafka.produce(topic, codec, acks, records(5, size, round));
      // Transactions of two producers that overlap, over several segments; of each some are aborted.
      for (const [producer, length] of [
        ['p', 2],
        ['q', 3],
      ] as const) {
        if (round % length === 0) await client.call('begin', { producer });
        await send(producer, 2, round * 3);
        if (round % length === length - 1)
          await client.call('end', { producer, commit: Math.floor(round / length) % 2 === 0 });
      }
    }
    await client.call('end', { producer: 'q', commit: false });
    for (const producer of ['p', 'q']) await client.call('closeTransactional', { producer });
    // One that only overwrites what there is, so that little of it stays; and one whose last batch stays for its sequence.
    await sleep(110);
    time = Date.now();
    for (const codec of codecs) await kafka.produce(topic, codec, -1, records(3, size));
    for (const codec of ['none', 'gzip']) await kafka.produce(topic, codec, 1, records(keys, size));
    time += 10_000;
    const { baseOffset } = await kafka.produce(topic, 'none', 1, records(1, 50));
    ends.set(topic, baseOffset + 1);
  }

  /** What must be the same: all of the batches that both were given, but for what depends on when it was compacted. */
  function comparable({ batches, aborted, segments }: ReturnType<typeof readPartition>, topic: string) {
    const given = batches.filter(({ lastOffset }) => lastOffset < BigInt(ends.get(topic)!));
    return { batches: given, aborted, segments };
  }

  /** Kafka lets a segment end earlier than those that it is made of; here its last batch stays, without records. */
  function withoutLastEmpty(ours: DiskBatch[], theirs: DiskBatch[]): DiskBatch[] {
    const known = new Set(theirs.map(({ baseOffset }) => baseOffset));
    return ours.filter(
      ({ isLastOfSegment, records: left, baseOffset }) =>
        !(isLastOfSegment && left.length === 0 && !known.has(baseOffset)),
    );
  }

  function plain({ isLastOfSegment: _, ...batch }: DiskBatch) {
    return batch;
  }

  function assertSame(topic: string): { kept: number; aborted: number; tombstones: number } {
    const theirs = comparable(readPartition(kafka.directory(topic)), topic);
    const ours = comparable(readPartition(gateway.directory(topic)), topic);
    const batches = withoutLastEmpty(ours.batches, theirs.batches).map(plain);
    assert.deepEqual(batches, theirs.batches.map(plain), topic);
    assert.deepEqual(ours.aborted, theirs.aborted, topic);
    assert.deepEqual(ours.segments, theirs.segments, topic);
    const kept = batches.flatMap(({ records: all }) => all);
    return {
      kept: kept.length,
      aborted: theirs.aborted.length,
      tombstones: kept.filter(({ value }) => value === null).length,
    };
  }

  async function assertSameAnswers(topic: string): Promise<void> {
    const { batches } = comparable(readPartition(kafka.directory(topic)), topic);
    const timestamps = batches.flatMap(({ records: all }) => all.map(({ timestamp }) => timestamp));
    const asked = new Set([...specials, ...timestamps.flatMap((at) => [at - 1n, at, at + 1n])]);
    const end = ends.get(topic)!;
    for (const at of asked)
      assert.deepEqual(await gateway.offset(topic, at, end), await kafka.offset(topic, at, end), topic);
    for (const isolation of ['read_uncommitted', 'read_committed'] as const) {
      const ours = await gateway.read(topic, end, isolation);
      const given = ({ offset }: SeenRecord) => offset < end;
      assert.deepEqual(ours.filter(given), (await kafka.read(topic, end, isolation)).filter(given), topic);
    }
  }

  it('begins with what Apache Kafka has written', async () => {
    await kafka.open();
    for (const [topic, configs] of Object.entries(topics)) {
      const all = {
        'cleanup.policy': 'compact',
        'segment.ms': '100',
        'min.cleanable.dirty.ratio': '1.0',
        ...configs,
      };
      await kafka.client.call('create', { topic, partitions: 1, configs: all });
      await write(topic);
    }
    await kafka.close();
    cpSync(kafka.broker.dataDir, gateway.broker.dataDir, { recursive: true });
    await Promise.all([kafka.open(), gateway.open()]);
    for (const topic of names)
      assert.ok(assertSame(topic).aborted > 3, `${topic} has too few aborted transactions`);
  });

  const left: ReturnType<typeof assertSame>[] = [];
  for (let round = 1; round <= rounds; round++) {
    it(`has the same batches, aborted transactions and answers after round ${round}`, async () => {
      const first = round === 1;
      time += 10_000;
      const next = records(1, 50);
      for (const topic of names) {
        for (const side of [kafka, gateway]) {
          // What was compacted first may go with the next round.
          if (first) await side.configure(topic, 'min.cleanable.dirty.ratio=0.0,delete.retention.ms=0');
          else await side.produce(topic, 'none', 1, next);
          await side.compacted(topic);
        }
        left.push(assertSame(topic));
        await assertSameAnswers(topic);
      }
    });
  }

  it('has removed what was to be removed', async () => {
    const count = names.length;
    for (let topic = 0; topic < count; topic++) {
      const [one, , three] = [0, 1, 2].map((round) => left[round * count + topic]!);
      assert.ok(one!.tombstones > 0 && three!.tombstones === 0);
      assert.ok(three!.aborted <= one!.aborted);
    }
  });

  it('answers the same once records were deleted', async () => {
    for (const topic of names) {
      const offset = Math.floor(ends.get(topic)! / 2);
      for (const side of [kafka, gateway]) {
        const deleting = side.client.call('deleteRecords', { topic, partition: 0, offset });
        await assert.rejects(deleting, /PolicyViolation/);
        await side.configure(topic, 'cleanup.policy=[compact,delete],retention.ms=-1');
        await side.client.call('deleteRecords', { topic, partition: 0, offset });
      }
      await assertSameAnswers(topic);
    }
  });

  it('leaves indexes that DumpLogSegments finds in order', async () => {
    await gateway.close();
    await dumpLogSegments(names.map((topic) => gateway.directory(topic)));
  });
});

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { Codec, compress, decompress } from '../../native/codec.ts';
import { BatchHeader, splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { REFERENCE_ATTRIBUTE } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';
import { TestBroker, topicConfig } from '../partitions/testing.ts';
import { inlinePartition } from './inline-partition.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };
const CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD];

describe('inlining the payload of a partition', () => {
  let directory: string;
  let broker: TestBroker;
  let partition: Partition;
  let nowMs = 1_700_000_000_000;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'inline-'));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function start(values: Record<string, string> = {}): Promise<void> {
    const config = topicConfig({
      'payload.min.bytes': '2000',
      'payload.segment.bytes': '1048576',
      'segment.bytes': '1048576',
      'index.interval.bytes': '1000',
      'message.timestamp.after.max.ms': '9223372036854775807',
      'file.delete.delay.ms': '0',
      ...values,
    });
    broker = await TestBroker.start(directory, [TOPIC], config);
    partition = broker.partitions.find('t', 0)!;
  }

  async function restart(values: Record<string, string> = {}): Promise<void> {
    await broker.stop();
    await start(values);
  }

  function noise(bytes: number, seed: number): string {
    let state = seed + 1;
    return Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return String.fromCharCode(32 + ((state >>> 16) % 90));
    }).join('');
  }

  async function produce(values: Record<string, string | null>, codec: Codec = Codec.NONE): Promise<void> {
    const records = Object.entries(values).map(([key, value]) => ({
      key: Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestamp: BigInt(nowMs++),
    }));
    const packs = codec !== Codec.NONE && { compress: (section: Uint8Array) => compress(codec, section) };
    await partition.produce(buildBatch(records, { attributes: codec, ...packs }), null, true);
  }

  /** Whole batches as consumers get them. */
  async function fetchAll(): Promise<Buffer[]> {
    const batches: Buffer[] = [];
    for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
      const { result, bytes } = await broker.fetch('t', 0, offset, { maxBytes: 1 << 20 });
      assert.equal(result.errorCode, 0);
      const found = splitBatches(bytes).map((batch) => Buffer.from(batch.bytes));
      assert.ok(found.length > 0, `nothing at ${offset}`);
      batches.push(...found);
      offset = new BatchHeader(found.at(-1)!).lastOffset + 1n;
    }
    return batches;
  }

  async function assertNoReference(): Promise<void> {
    for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
      const { batches } = await partition.log.read(offset, 1 << 20);
      if (batches.length === 0) break;
      for (const { attributes } of batches) assert.equal(attributes & REFERENCE_ATTRIBUTE, 0);
      offset = batches.at(-1)!.lastOffset + 1n;
    }
    assert.ok(partition.payloads.isEmpty);
    const payload = join(directory, 't-0', 'payload');
    assert.deepEqual(existsSync(payload) ? readdirSync(payload) : [], []);
  }

  const inline = async () => {
    let bytes = 0;
    await inlinePartition(partition, (each) => {
      bytes += each;
    });
    return bytes;
  };

  it('puts back every batch as it was produced, in as many segments as that takes', async () => {
    await start();
    for (let i = 0; i < 50; i++) {
      await produce({ small: `${i}` }, CODECS[i % CODECS.length]);
      await produce({ [`a${i}`]: noise(70_000, i), b: null }, CODECS[i % CODECS.length]);
    }
    await restart();
    const before = await fetchAll();
    const used = arenaStats().usedBytes;
    assert.equal(partition.log.segmentCount, 1);
    assert.ok((await inline()) > 2_500_000);
    assert.deepEqual(await fetchAll(), before);
    await assertNoReference();
    assert.ok(arenaStats().usedBytes - used < 1 << 22, 'memory is given back');
    assert.ok(partition.log.segmentCount > 3);
    for (const name of readdirSync(join(directory, 't-0')).filter((each) => each.endsWith('.log')))
      assert.match(name, /^\d{20}\.log$/);
    await restart();
    assert.deepEqual(await fetchAll(), before);
    assert.equal(
      (await partition.log.offsetForTimestamp(BigInt(nowMs - 1)))?.offset,
      partition.highWatermark - 1n,
    );
    assert.equal(await inline(), 0);
    await produce({ more: noise(5000, 1) });
    assert.equal((await fetchAll()).length, before.length + 1);
  });

  it('puts back what compaction has left', async () => {
    const compacted = { 'cleanup.policy': 'compact', 'segment.ms': '1000' };
    await start(compacted);
    for (const codec of CODECS)
      await produce({ a: noise(5000, codec), [`b${codec}`]: noise(5000, codec) }, codec);
    nowMs += 5000;
    await produce({ a: 'new' });
    nowMs += 5000;
    await produce({ end: '' });
    await partition.log.compaction.run(broker.store, ROUND);
    const before = await fetchAll();
    const keys = before.flatMap((batch) =>
      readRecords(batch, (codec, section) => decompress(codec as Codec, section, 1 << 24)).map(({ key }) =>
        Buffer.from(key!).toString(),
      ),
    );
    assert.deepEqual(keys, [...CODECS.map((codec) => `b${codec}`), 'a', 'end']);
    await restart(compacted);
    await inline();
    assert.deepEqual(await fetchAll(), before);
    await assertNoReference();
  });

  it('leaves out what is below the log’s start, and keeps its end', async () => {
    await start();
    for (let i = 0; i < 30; i++) await produce({ a: noise(70_000, i) });
    await partition.deleteRecordsBefore(21n);
    await restart();
    const before = await fetchAll();
    await inline();
    assert.deepEqual(await fetchAll(), before);
    await partition.deleteRecordsBefore(-1n);
    await restart();
    assert.deepEqual([partition.logStartOffset, partition.log.logEndOffset], [30n, 30n]);
    await inline();
    await restart();
    assert.deepEqual([partition.logStartOffset, partition.log.logEndOffset], [30n, 30n]);
    await produce({ a: noise(70_000, 1) });
    assert.equal((await fetchAll()).length, 1);
  });

  it('says which payload is damaged, and changes nothing then', async () => {
    await start();
    for (let i = 0; i < 3; i++) await produce({ a: noise(70_000, i) });
    await broker.stop();
    const payload = join(directory, 't-0', 'payload');
    for (const name of readdirSync(payload).filter((each) => !each.endsWith('.extents')))
      rmSync(join(payload, name));
    await start();
    await assert.rejects(inline(), /Payload missing/);
    assert.deepEqual(
      readdirSync(join(directory, 't-0')).filter((name) => name.endsWith('.cleaned')),
      [],
    );
  });

  it('says which log is damaged, and removes no payload then', async () => {
    await start();
    await produce({ small: 'first' });
    for (let i = 0; i < 3; i++) await produce({ a: noise(70_000, i) });
    await restart();
    const log = join(directory, 't-0', `${'0'.repeat(20)}.log`);
    const before = readFileSync(log);
    const damaged = Buffer.from(before);
    damaged[16] = 99; // its magic
    writeFileSync(log, damaged);
    try {
      await assert.rejects(inline(), /is damaged at 0/);
      assert.ok(!partition.payloads.isEmpty);
    } finally {
      writeFileSync(log, before);
    }
  });

  it('finishes what a killed process has begun', async () => {
    await start();
    for (let i = 0; i < 40; i++) await produce({ a: noise(70_000, i) });
    await restart();
    const before = await fetchAll();
    const killed = inlinePartition(partition, () => {
      throw new Error('killed');
    });
    await assert.rejects(killed, /killed/);
    await broker.crash();
    await start();
    assert.deepEqual(await fetchAll(), before);
    await inline();
    await broker.crash();
    await start();
    assert.deepEqual(await fetchAll(), before);
    await assertNoReference();
  });
});

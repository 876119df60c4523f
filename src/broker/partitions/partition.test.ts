import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import { arenaStats } from '../../native/arena.ts';
import { Codec, compress } from '../../native/codec.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import type { Store } from '../../native/store.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { splitBatches as splitViews } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { findOffset } from './offset-lookup.ts';
import type { Partition } from './partition.ts';
import { enforcePayloadRetention } from './payload-retention.ts';
import { gather, inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 3 }] };
const NOW = BigInt(Date.now());

function batchOf(
  values: (string | Uint8Array | null)[],
  options: Parameters<typeof buildBatch>[1] = {},
): Uint8Array {
  const records = values.map((value, i) => ({
    key: Buffer.from(`k${i}`),
    value: typeof value === 'string' ? Buffer.from(value) : value,
  }));
  return buildBatch(records, { timestamp: NOW, ...options });
}

function splitBatches(bytes: Uint8Array): Uint8Array[] {
  return splitViews(bytes).map((view) => view.bytes);
}

describe('Partition', () => {
  let directory: string;
  let broker: TestBroker;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'partition-'));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function start(values: Record<string, string> = {}): Promise<Partition> {
    broker = await TestBroker.start(directory, [TOPIC], topicConfig(values));
    return broker.partitions.find('t', 0)!;
  }

  /** Produces as a large frame does, from native memory. */
  async function produce(partition: Partition, batch: Uint8Array, allReplicas = true) {
    const frame = inNativeMemory(batch);
    try {
      return await partition.produce(frame.bytes(), frame, allReplicas);
    } finally {
      frame.release();
    }
  }

  const payloadFiles = () => readdirSync(join(directory, 't-0', 'payload')).sort();

  it('gives back small batches', async () => {
    const partition = await start();
    const batch = batchOf(['a', 'b']);
    assert.equal((await partition.produce(Uint8Array.from(batch), null, true)).baseOffset, 0n);
    assert.equal((await partition.produce(Uint8Array.from(batch), null, false)).baseOffset, 2n);
    assert.equal(partition.highWatermark, 4n);
    const { result, bytes } = await broker.fetch('t', 0, 1n);
    assert.equal(result.highWatermark, 4n);
    assert.deepEqual(
      splitBatches(bytes).map((one) => withoutPlace(one)),
      [withoutPlace(batch), withoutPlace(batch)],
    );
    assert.equal(Buffer.from(bytes).readInt32BE(12), 3, 'leader epoch');
  });

  for (const codec of [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]) {
    it(`diverts large batches and gives them back byte for byte (codec ${codec})`, async () => {
      const partition = await start({ 'payload.min.bytes': '1000' });
      const values = [Buffer.alloc(50_000, 'xyz'), null, crypto.getRandomValues(new Uint8Array(60_000))];
      const options =
        codec === Codec.NONE
          ? {}
          : { attributes: codec, compress: (plain: Uint8Array) => compress(codec, plain) };
      const batch = batchOf(values, options);
      await produce(partition, batch);
      await partition.produce(batchOf(['small']), null, true);
      await produce(partition, batch);
      assert.ok(partition.log.sizeBytes < 2000);
      assert.equal(partition.payloads.liveBytes, 2 * (batch.byteLength - 61));
      assert.equal(broker.partitions.metrics.divertedRecords, 6);
      const { bytes, result } = await broker.fetch('t', 0, 0n);
      const batches = splitBatches(bytes);
      assert.equal(batches.length, 3);
      assert.deepEqual(withoutPlace(batches[0]!), withoutPlace(batch));
      assert.deepEqual(withoutPlace(batches[2]!), withoutPlace(batch));
      assert.equal(Buffer.from(batches[2]!).readBigInt64BE(0), 4n);
      assert.equal(result.recordBytes, bytes.byteLength);
    });
  }

  it('diverts small frames too, and keeps batches without any value in the log', async () => {
    const partition = await start({ 'payload.min.bytes': '0' });
    const batch = batchOf(['one', 'two']);
    await partition.produce(Uint8Array.from(batch), null, true);
    await partition.produce(batchOf([null, null]), null, true);
    const { bytes } = await broker.fetch('t', 0, 0n);
    assert.deepEqual(withoutPlace(splitBatches(bytes)[0]!), withoutPlace(batch));
    assert.equal(readRecords(splitBatches(bytes)[1]!)[1]!.offset, 3n);
    assert.equal(partition.payloads.liveBytes, batch.byteLength - 61);
  });

  it('keeps the order of requests, whatever takes longest', async () => {
    const partition = await start({ 'payload.min.bytes': '50000' });
    const large = batchOf([Buffer.alloc(3_000_000)]);
    const compressed = batchOf([Buffer.alloc(200_000)], {
      attributes: 1,
      compress: (plain) => compress(Codec.GZIP, plain),
    });
    const appended = [];
    for (let i = 0; i < 5; i++) {
      const ring = batchOf([`small ${i}`]);
      appended.push(
        produce(partition, large, i % 2 === 0),
        partition.produce(ring, null, true),
        produce(partition, compressed),
      );
      ring.fill(0);
    }
    const offsets = (await Promise.all(appended)).map(({ baseOffset }) => Number(baseOffset));
    assert.deepEqual(offsets, [...Array(15).keys()]);
    const { bytes } = await broker.fetch('t', 0, 0n);
    const small = splitBatches(bytes).filter(
      (batch) => batch.byteLength < 1000 && batch.byteLength !== compressed.byteLength,
    );
    assert.deepEqual(
      small.map((batch) => Buffer.from(readRecords(batch)[0]!.value!).toString()),
      ['small 0', 'small 1', 'small 2', 'small 3', 'small 4'],
    );
  });

  it('counts limits on what goes out, and gives the first batch whole', async () => {
    const partition = await start({ 'payload.min.bytes': '1000' });
    const batch = batchOf([Buffer.alloc(10_000)]);
    for (let i = 0; i < 5; i++) await produce(partition, batch);
    const size = batch.byteLength;
    assert.equal((await broker.fetch('t', 0, 0n, { maxBytes: 1 })).bytes.byteLength, size);
    assert.equal((await broker.fetch('t', 0, 0n, { maxBytes: 2 * size })).bytes.byteLength, 2 * size);
    assert.equal((await broker.fetch('t', 0, 0n, { maxBytes: 3 * size - 1 })).bytes.byteLength, 2 * size);
    assert.equal((await broker.fetch('t', 0, 3n)).bytes.byteLength, 2 * size);
    assert.equal((await broker.fetch('t', 0, 5n)).bytes.byteLength, 0);
    assert.equal((await broker.fetch('t', 0, 6n)).result.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
  });

  it('fills a fetch from small and diverted batches, recent or not', async () => {
    const partition = await start({ 'payload.min.bytes': '1000' });
    const large = batchOf([Buffer.alloc(2_000)]);
    const small = batchOf([Buffer.alloc(900)]);
    for (let i = 0; i < 150; i++) {
      await produce(partition, large, false);
      await partition.produce(Uint8Array.from(small), null, false);
    }
    const all = 150 * (large.byteLength + small.byteLength);
    assert.equal((await broker.fetch('t', 0, 0n)).bytes.byteLength, all);
    assert.equal((await broker.fetch('t', 0, 250n)).bytes.byteLength, all / 6);
    await broker.stop();
    await start({ 'payload.min.bytes': '1000' });
    assert.equal((await broker.fetch('t', 0, 0n)).bytes.byteLength, all);
  });

  it('answers each fault of a batch with Kafka’s error', async () => {
    const partition = await start({ 'max.message.bytes': '1000', 'cleanup.policy': 'compact' });
    const refused = async (batch: Uint8Array, code: number) => {
      await assert.rejects(async () => partition.produce(batch, null, true), { code });
      await assert.rejects(produce(partition, batch), { code });
    };
    const damaged = batchOf(['a']);
    damaged[70]! ^= 1;
    await refused(damaged, ErrorCode.CORRUPT_MESSAGE);
    await refused(batchOf([Buffer.alloc(1000)]), ErrorCode.MESSAGE_TOO_LARGE);
    await refused(Buffer.concat([batchOf(['a']), batchOf(['b'])]), ErrorCode.INVALID_RECORD);
    await assert.rejects(async () => partition.produce(new Uint8Array(0), null, true), {
      code: ErrorCode.INVALID_RECORD,
    });
    const old = batchOf(['a']);
    old[16] = 1;
    await refused(old, ErrorCode.INVALID_RECORD);
    await refused(batchOf(['a'], { timestamp: NOW + 10_000_000n }), ErrorCode.INVALID_TIMESTAMP);
    await refused(batchOf(['a'], { attributes: 0x4000 }), ErrorCode.INVALID_RECORD);
    await refused(
      batchOf(['a'], { attributes: 0x10, producerId: 1n, producerEpoch: 0, baseSequence: 0 }),
      ErrorCode.INVALID_TXN_STATE,
    );
    const keyless = buildBatch(
      [
        { key: Buffer.from('k'), value: null },
        { key: null, value: null },
        { key: Buffer.from('l'), value: null },
        { key: null, value: null },
      ],
      { timestamp: NOW },
    );
    await assert.rejects(
      async () => partition.produce(keyless, null, true),
      (error: { code: number; records: { index: number }[] }) => {
        assert.equal(error.code, ErrorCode.INVALID_RECORD);
        assert.deepEqual(
          error.records.map(({ index }) => index),
          [1, 3],
        );
        return true;
      },
    );
    assert.equal(partition.highWatermark, 0n);
  });

  it('recognizes retries of idempotent producers, also of diverted batches', async () => {
    const partition = await start({ 'payload.min.bytes': '1000' });
    const producer = { producerId: 9n, producerEpoch: 0 };
    const first = batchOf([Buffer.alloc(5000, 1)], { ...producer, baseSequence: 0 });
    const second = batchOf([Buffer.alloc(5000, 2)], { ...producer, baseSequence: 1 });
    assert.equal((await produce(partition, first)).baseOffset, 0n);
    assert.equal((await produce(partition, second)).baseOffset, 1n);
    assert.equal((await produce(partition, first)).baseOffset, 0n);
    await assert.rejects(produce(partition, batchOf(['x'], { ...producer, baseSequence: 7 })), {
      code: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    });
    assert.equal(partition.highWatermark, 2n);
    assert.equal(partition.payloads.liveBytes, 2 * (first.byteLength - 61));
    assert.equal(partition.log.activeProducers().length, 1);
  });

  it('sets the append time where the topic asks for it, also on diverted batches', async () => {
    const partition = await start({ 'message.timestamp.type': 'LogAppendTime', 'payload.min.bytes': '1000' });
    for (const value of ['small', Buffer.alloc(100_000), Buffer.alloc(300_000), 'last']) {
      const { logAppendTimeMs, baseOffset } = await produce(partition, batchOf([value], { timestamp: 5n }));
      const { bytes } = await broker.fetch('t', 0, baseOffset);
      assert.equal(readRecords(bytes)[0]!.timestamp, logAppendTimeMs);
      assert.ok(logAppendTimeMs >= NOW);
    }
  });

  it('compresses as the topic asks', async () => {
    const partition = await start({ 'compression.type': 'lz4', 'payload.min.bytes': '-1' });
    const gzip = { attributes: 1, compress: (plain: Uint8Array) => compress(Codec.GZIP, plain) };
    for (const options of [{}, gzip])
      await produce(partition, batchOf([Buffer.alloc(100_000, 'a'), 'b'], options));
    const { bytes } = await broker.fetch('t', 0, 0n);
    assert.ok(bytes.byteLength < 5000);
    for (const batch of splitBatches(bytes)) assert.equal(batch[22]! & 7, Codec.LZ4);
  });

  it('wakes a waiting fetch when there are enough bytes, and not before', async () => {
    const partition = await start();
    const batch = batchOf(['hello']);
    const waiting = broker.fetch('t', 0, 0n, { maxWaitMs: 10_000, minBytes: 2 * batch.byteLength });
    await partition.produce(Uint8Array.from(batch), null, true);
    assert.equal(partition.waiters.size, 1);
    await partition.produce(Uint8Array.from(batch), null, true);
    assert.equal((await waiting).bytes.byteLength, 2 * batch.byteLength);
    assert.equal(partition.waiters.size, 0);
    const empty = await broker.fetch('t', 0, 2n, { maxWaitMs: 20 });
    assert.equal(empty.bytes.byteLength, 0);
  });

  it('keeps ten thousand fetches waiting and answers them all', async () => {
    const partition = await start();
    const request = {
      topic: 't',
      partition: 0,
      currentLeaderEpoch: -1,
      fetchOffset: 0n,
      lastFetchedEpoch: -1,
      logStartOffset: -1n,
      maxBytes: 1000,
    };
    const parameters = {
      minBytes: 1,
      maxBytes: 1000,
      maxWaitMs: 60_000,
      isolation: 'read_uncommitted' as const,
      onClosed: () => () => undefined,
    };
    const waiting = Array.from({ length: 10_000 }, () =>
      broker.fetches.fetch([{ request, partition, errorCode: 0 }], parameters),
    );
    await setImmediate();
    assert.equal(partition.waiters.size, 10_000);
    await partition.produce(batchOf(['a']), null, false);
    for (const [result] of await Promise.all(waiting)) assert.ok((await gather(result!.records)).length > 0);
    assert.equal(partition.waiters.size, 0);
  });

  it('reclaims payload below the log start, and only that', async () => {
    const partition = await start({ 'payload.min.bytes': '1000', 'payload.segment.bytes': '1048576' });
    const batch = batchOf([Buffer.alloc(400_000)]);
    for (let i = 0; i < 6; i++) await produce(partition, batch);
    assert.equal(payloadFiles().filter((name) => name.endsWith('.payload')).length, 3);
    assert.equal(await partition.deleteRecordsBefore(3n), 3n);
    await partition.payloads.reclaimBefore(3n);
    assert.equal(partition.payloads.liveBytes, 3 * (batch.byteLength - 61));
    assert.equal(payloadFiles().filter((name) => name.endsWith('.payload')).length, 2);
    assert.equal((await broker.fetch('t', 0, 2n)).result.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    assert.equal((await broker.fetch('t', 0, 3n)).bytes.byteLength, 3 * batch.byteLength);
    assert.equal(await partition.deleteRecordsBefore(-1n), 6n);
    await partition.payloads.reclaimBefore(6n);
    assert.deepEqual(payloadFiles(), []);
  });

  it('applies retention by size and age to payload', async () => {
    const values = { 'payload.min.bytes': '1000', 'payload.segment.bytes': '1048576' };
    let partition = await start({ ...values, 'retention.bytes': '900000' });
    const batch = batchOf([Buffer.alloc(400_000)]);
    for (let i = 0; i < 6; i++) await produce(partition, batch);
    await partition.payloads.reclaimBefore(0n);
    await enforcePayloadRetention(partition, Number(NOW));
    assert.equal(partition.logStartOffset, 2n);
    await broker.stop();
    partition = await start({ ...values, 'retention.ms': '1000' });
    await enforcePayloadRetention(partition, Number(NOW) + 1000);
    assert.equal(partition.logStartOffset, 2n);
    await enforcePayloadRetention(partition, Number(NOW) + 1001);
    assert.equal(partition.logStartOffset, 6n);
    await partition.payloads.reclaimBefore(6n);
    assert.deepEqual(payloadFiles(), []);
  });

  it('survives a full disk: an error for what did not fit, nothing acknowledged lost, and on it goes', async () => {
    let full = false;
    const wrap = (store: Store): PayloadFiles => ({
      punch: (path, ranges) => store.punch(path, ranges),
      remove: (path) => store.remove(path),
      async open(path, options) {
        const file = await store.open(path, options);
        const append = file.append.bind(file);
        const failure = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
        return Object.assign(file, {
          append: (pieces: readonly (Uint8Array | MemoryPiece)[]) =>
            full ? { position: file.size, done: failure() } : append(pieces),
        });
      },
    });
    const config = topicConfig({ 'payload.min.bytes': '1000' });
    broker = await TestBroker.start(directory, [TOPIC], config, wrap);
    const partition = broker.partitions.find('t', 0)!;
    const batch = batchOf([Buffer.alloc(5_000)]);
    await produce(partition, batch);
    full = true;
    for (let i = 0; i < 3; i++)
      await assert.rejects(produce(partition, batch), { code: ErrorCode.KAFKA_STORAGE_ERROR });
    assert.equal((await partition.produce(batchOf(['small']), null, true)).baseOffset, 1n);
    full = false;
    assert.equal((await produce(partition, batch)).baseOffset, 2n);
    assert.equal(splitBatches((await broker.fetch('t', 0, 0n)).bytes).length, 3);
    await partition.payloads.reclaimBefore(0n);
    assert.equal(payloadFiles().filter((name) => name.endsWith('.payload')).length, 2);
  });

  it('answers with KAFKA_STORAGE_ERROR when offsets cannot be written down or looked for', async () => {
    const failing = (code: string) => async () => {
      throw Object.assign(new Error(code), { code });
    };
    const isFull = { value: false };
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({}), undefined, {
      faulty: (fileSystem) => ({
        ...fileSystem,
        replaceFile: (path, bytes) =>
          isFull.value ? failing('ENOSPC')() : fileSystem.replaceFile(path, bytes),
      }),
    });
    const partition = broker.partitions.find('t', 0)!;
    await produce(partition, batchOf(['a', 'b']));
    isFull.value = true;
    const { KAFKA_STORAGE_ERROR: code } = ErrorCode;
    await assert.rejects(partition.deleteRecordsBefore(1n), { code });
    isFull.value = false;
    assert.equal(await partition.deleteRecordsBefore(1n), 1n);
    const { log } = partition;
    log.offsetForTimestamp = failing('ENOMEM');
    log.offsetOfMaxTimestamp = failing('EIO');
    for (const timestamp of [1n, -3n])
      await assert.rejects(findOffset(partition, timestamp, 'read_committed'), { code });
  });

  it('answers with KAFKA_STORAGE_ERROR for damaged payload, after what precedes it', async () => {
    let partition = await start({ 'payload.min.bytes': '1000' });
    const batch = batchOf([Buffer.alloc(5_000, 1)]);
    for (let i = 0; i < 3; i++) await produce(partition, batch);
    await broker.stop();
    const [, payload] = payloadFiles();
    const length = batch.byteLength - 61;
    writeFileSync(join(directory, 't-0', 'payload', payload!), Buffer.alloc(length, 7), { flag: 'r+' });
    partition = await start({ 'payload.min.bytes': '1000' });
    assert.equal((await broker.fetch('t', 0, 0n)).result.errorCode, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.equal((await broker.fetch('t', 0, 1n)).bytes.byteLength, 2 * batch.byteLength);
    assert.equal(broker.partitions.metrics.payloadErrors, 1);
    await broker.stop();
    rmSync(join(directory, 't-0', 'payload'), { recursive: true });
    partition = await start({ 'payload.min.bytes': '1000' });
    await partition.produce(batchOf(['after']), null, true);
    assert.equal((await broker.fetch('t', 0, 1n)).result.errorCode, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.equal((await broker.fetch('t', 0, 3n)).result.errorCode, ErrorCode.NONE);
  });

  it('ends the log before the first payload that a crash lost', async () => {
    let partition = await start({ 'payload.min.bytes': '1000' });
    const batch = batchOf([Buffer.alloc(5_000, 1)]);
    for (let i = 0; i < 3; i++) await produce(partition, batch);
    await broker.crash();
    const [payload] = payloadFiles();
    const length = batch.byteLength - 61;
    writeFileSync(join(directory, 't-0', 'payload', payload!), Buffer.alloc(100), { flag: 'r+' });
    const file = join(directory, 't-0', 'payload', payload!);
    const good = Buffer.from(batch.subarray(61));
    writeFileSync(file, Buffer.concat([good, good, good.subarray(0, length - 1)]));
    partition = await start({ 'payload.min.bytes': '1000' });
    assert.equal(partition.highWatermark, 2n);
    assert.equal(partition.log.logEndOffset, 2n);
    assert.equal((await produce(partition, batch)).baseOffset, 2n);
    assert.equal((await broker.fetch('t', 0, 0n)).bytes.byteLength, 3 * batch.byteLength);
  });
});

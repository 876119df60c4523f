import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { FilePiece, MemoryPiece, type Piece } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { type FetchedPartition, FetchService } from './fetch-service.ts';
import type { Isolation } from './fetch-wait.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { Partition } from './partition.ts';
import { gather, inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 3 }] };
const NOW = BigInt(Date.now());

function batchOf(value: Uint8Array): Uint8Array {
  return buildBatch([{ key: Buffer.from('k'), value }], { timestamp: NOW });
}

describe('FetchService', () => {
  let directory: string;
  let broker: TestBroker;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fetch-'));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function start(direct = true): Promise<Partition> {
    const config = topicConfig({ 'payload.min.bytes': '20000' });
    broker = await TestBroker.start(directory, [TOPIC], config, undefined, { direct });
    return broker.partitions.find('t', 0)!;
  }

  const small = batchOf(Buffer.alloc(1000, 's'));
  const large = batchOf(Buffer.alloc(100_000, 'l'));

  /** Small ones go to the log, large ones become payload, each from memory that starts at its own distance from a block. */
  async function produceAll(partition: Partition): Promise<Buffer> {
    const batches = [small, large, small, small, large, large, small];
    for (const [i, batch] of batches.entries()) {
      const frame = inNativeMemory(Buffer.concat([Buffer.alloc(i * 7), batch]));
      const part = frame.slice(i * 7, batch.byteLength);
      frame.release();
      await partition.produce(part.bytes(), part, true);
      part.release();
    }
    return Buffer.concat(batches.map(withoutPlace));
  }

  async function fetch(offset = 0n, maxBytes = 1 << 26): Promise<FetchedPartition> {
    return (await fetchFrom([offset], maxBytes, 1 << 26))[0]!;
  }

  /** One request that asks for several places of the partition. */
  async function fetchFrom(
    offsets: bigint[],
    partitionMaxBytes: number,
    maxBytes: number,
    lastFetchedEpoch = -1,
    fetches = broker.fetches,
    holdsMemory = false,
  ): Promise<FetchedPartition[]> {
    const partition = broker.partitions.find('t', 0);
    const targets = offsets.map((fetchOffset) => ({
      request: {
        topic: 't',
        partition: 0,
        currentLeaderEpoch: -1,
        fetchOffset,
        lastFetchedEpoch,
        logStartOffset: -1n,
        maxBytes: partitionMaxBytes,
      },
      partition,
      errorCode: 0,
    }));
    const isolation: Isolation = 'read_uncommitted';
    const limits = { minBytes: 1, maxBytes, maxWaitMs: 0, isolation };
    return fetches.fetch(targets, { ...limits, holdsMemory, onClosed: () => () => undefined });
  }

  /** What a client gets, without what the broker changes. */
  async function contentOf(records: Piece[]): Promise<Buffer> {
    const bytes = await gather(records);
    for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
      bytes.fill(0, at, at + 8);
      bytes.fill(0, at + 12, at + 16);
    }
    return bytes;
  }

  /** Counts the batches of the log that are looked at from now on. */
  function countBatches({ log }: Partition): { count: number } {
    const seen = { count: 0 };
    const { readCached, read } = log;
    log.readCached = (...args) => {
      const found = readCached.apply(log, args);
      seen.count += found?.batches.length ?? 0;
      return found;
    };
    log.read = async (...args) => {
      const found = await read.apply(log, args);
      seen.count += found.batches.length;
      return found;
    };
    return seen;
  }

  it('does not look for more when an answer is almost full', async () => {
    const partition = await start();
    for (let i = 0; i < 20; i++) await partition.produce(Buffer.from(small), null, true);
    const size = small.byteLength;
    const seen = countBatches(partition);
    const countsOf = async (maxBytes: number) => {
      const answers = await fetchFrom([0n, 10n], 10 * size, maxBytes);
      for (const { records } of answers) await gather(records);
      return answers.map(({ recordBytes }) => recordBytes / size);
    };
    assert.deepEqual(await countsOf(size * 11.4), [10, 0]);
    assert.equal(seen.count, 10);
    assert.deepEqual(await countsOf(size * 13.4), [10, 3]);
  });

  it('sends what was appended lately from memory, without reading', async () => {
    const expected = await produceAll(await start());
    const { reads } = broker.store.stats();
    const { errorCode, records } = await fetch();
    assert.equal(errorCode, ErrorCode.NONE);
    assert.ok(records.some((piece) => piece instanceof MemoryPiece && piece.byteLength > 99_000));
    assert.ok(!records.some((piece) => piece instanceof FilePiece));
    assert.ok((await contentOf(records)).equals(expected));
    assert.equal(broker.store.stats().reads, reads);
  });

  for (const restarted of [false, true]) {
    const where = restarted ? 'of an earlier process' : 'from memory, without reading';
    it(`gives as much as was asked for of many payloads, ${where}`, async () => {
      let partition = await start();
      const count = 150;
      const batch = batchOf(Buffer.alloc(30_000, 'l'));
      for (let i = 0; i < count; i++) await partition.produce(batch, null, true);
      if (restarted) {
        await broker.stop();
        partition = await start();
      }
      const seen = countBatches(partition);
      const { reads } = broker.store.stats();
      const perFetch = 3;
      const maxBytes = Math.floor(batch.byteLength * (perFetch + 0.5));
      for (let offset = 0; offset < count; offset += perFetch) {
        const { errorCode, records, recordBytes } = await fetch(BigInt(offset), maxBytes);
        assert.equal(errorCode, ErrorCode.NONE);
        assert.equal(recordBytes, perFetch * batch.byteLength, `at ${offset}`);
        const bytes = await gather(records);
        for (let i = 0; i < perFetch; i++)
          assert.equal(bytes.readBigInt64BE(i * batch.byteLength), BigInt(offset + i));
      }
      assert.ok(seen.count <= 4 * count, `looked at ${seen.count} batches`);
      const one = await fetch(7n, 1);
      assert.equal(one.recordBytes, batch.byteLength);
      await gather(one.records);
      if (!restarted) assert.equal(broker.store.stats().reads, reads);
    });
  }

  it('looks at few references where each stands for much', async () => {
    await start();
    const count = 60;
    const batch = batchOf(Buffer.alloc(300_000, 'l'));
    const produced = broker.partitions.find('t', 0)!;
    for (let i = 0; i < count; i++) await produced.produce(batch, null, true);
    await broker.stop();
    const seen = countBatches(await start());
    const perFetch = 4;
    const maxBytes = Math.floor(batch.byteLength * (perFetch + 0.5));
    for (let offset = 0; offset < count; offset += perFetch) {
      const { records, recordBytes } = await fetch(BigInt(offset), maxBytes);
      assert.equal(recordBytes, perFetch * batch.byteLength, `at ${offset}`);
      await gather(records);
    }
    assert.ok(seen.count <= 3 * count, `looked at ${seen.count} batches`);
  });

  for (const restarted of [false, true]) {
    it(`gives every offset of small and large batches${restarted ? ' of an earlier process' : ''}, whatever is asked for`, async () => {
      const random = new SeededRandom(restarted ? 2 : 1);
      const partition = await start();
      const batches = Array.from({ length: 300 }, () => {
        const value = random.integer(0, 2) === 0 ? random.integer(30_000, 60_000) : random.integer(10, 3000);
        const records = random.integer(1, 3);
        return buildBatch(
          Array.from({ length: records }, () => ({ key: Buffer.from('k'), value: Buffer.alloc(value, 'v') })),
          { timestamp: NOW },
        );
      });
      for (const batch of batches) await partition.produce(batch, null, true);
      const end = partition.log.logEndOffset;
      if (restarted) {
        await broker.stop();
        await start();
      }
      for (let round = 0; round < 20; round++) {
        for (let offset = 0n; offset < end; ) {
          const { errorCode, records } = await fetch(offset, random.integer(1, 400_000));
          assert.equal(errorCode, ErrorCode.NONE);
          const bytes = await gather(records);
          for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
            assert.equal(bytes.readBigInt64BE(at), offset, `round ${round}`);
            offset += BigInt(bytes.readInt32BE(at + 23)) + 1n;
          }
        }
      }
    });
  }

  it('reads what is not in memory, and finds it there the next time', async () => {
    const expected = await produceAll(await start());
    await broker.stop();
    await start();
    const first = await fetch();
    assert.ok((await contentOf(first.records)).equals(expected));
    const { cacheMissBytes } = broker.store.stats();
    assert.ok(cacheMissBytes >= 300_000);
    // Payload that was read is checked again each time; the log's own bytes are not read from the device any more.
    assert.ok((await contentOf((await fetch()).records)).equals(expected));
    assert.equal(broker.store.stats().cacheMissBytes, cacheMissBytes);
  });

  it('waits for no memory while whoever asks holds some: there is nothing to give then', async () => {
    await produceAll(await start());
    await broker.stop();
    await start();
    let usedBytes = 1 << 30;
    const memory = new MemoryBudget(() => ({ capacityBytes: 1 << 30, usedBytes }), 0.5, systemClock);
    const fetches = new FetchService({ maxBytes: 1 << 26 }, memory, systemClock);
    const ask = () => fetchFrom([0n], 1 << 26, 1 << 26, -1, fetches, true);
    const [nothing] = await ask();
    assert.deepEqual([nothing!.errorCode, nothing!.recordBytes, nothing!.offsets], [ErrorCode.NONE, 0, null]);
    assert.equal(memory.waiters, 0);
    usedBytes = 0;
    const [all] = await ask();
    assert.deepEqual(all!.offsets, { base: 0n, end: 7n });
    await gather(all!.records);
  });

  it('sends ranges of files where they are in the page cache', async () => {
    const expected = await produceAll(await start(false));
    const { errorCode, records } = await fetch();
    assert.equal(errorCode, ErrorCode.NONE);
    assert.ok(records.some((piece) => piece instanceof FilePiece));
    assert.ok((await contentOf(records)).equals(expected));
  });

  it('tells a client that knows more than the log where they part', async () => {
    const partition = await start();
    await produceAll(partition);
    const end = partition.log.logEndOffset;
    const answer = async (fetchOffset: bigint, lastFetchedEpoch: number) => {
      const { errorCode, divergingEpoch } = (
        await fetchFrom([fetchOffset], 1 << 20, 1 << 20, lastFetchedEpoch)
      )[0]!;
      return { errorCode, divergingEpoch };
    };
    const parted = { errorCode: ErrorCode.NONE, divergingEpoch: { epoch: 3, endOffset: end } };
    assert.deepEqual(await answer(end + 5n, 3), parted);
    const outside = { errorCode: ErrorCode.OFFSET_OUT_OF_RANGE, divergingEpoch: null };
    assert.deepEqual(await answer(end + 5n, -1), outside);
    assert.deepEqual(await answer(-1n, 3), outside);
  });

  it('passes over no records that lie behind damage of the log', async () => {
    const config = topicConfig({ 'payload.min.bytes': '-1', 'segment.bytes': '1048576' });
    broker = await TestBroker.start(directory, [TOPIC], config);
    const filling = batchOf(Buffer.alloc(1_000_000, 'f'));
    for (const batch of [small, small, filling, filling])
      await broker.partitions.find('t', 0)!.produce(Buffer.from(batch), null, true);
    await broker.stop();
    const log = join(directory, 't-0', `${'0'.repeat(20)}.log`);
    const bytes = readFileSync(log);
    bytes[small.byteLength + 16] = 99; // the magic of the second batch
    writeFileSync(log, bytes);
    broker = await TestBroker.start(directory, [TOPIC], config);
    const [first, damaged, behind, next] = await fetchFrom([0n, 1n, 2n, 3n], 1 << 20, 1 << 22);
    const codes = [first, damaged, behind, next].map((one) => one!.errorCode);
    const { NONE, CORRUPT_MESSAGE } = ErrorCode;
    assert.deepEqual(codes, [NONE, CORRUPT_MESSAGE, CORRUPT_MESSAGE, NONE]);
    assert.equal((await gather(first!.records)).byteLength, small.byteLength);
    assert.equal((await gather(next!.records)).byteLength, filling.byteLength);
  });

  it('says so when records are missing that the log knows of, and keeps no memory', async () => {
    await produceAll(await start());
    await broker.stop();
    await start();
    await contentOf((await fetch(6n)).records);
    const [log] = readdirSync(join(directory, 't-0')).filter((name) => name.endsWith('.log'));
    truncateSync(join(directory, 't-0', log!), 500);
    const { errorCode, records } = await fetch();
    assert.equal(errorCode, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.deepEqual(records, []);
  });
});

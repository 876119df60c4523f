import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { arenaStats } from '../../native/arena.ts';
import { crc32c } from '../../native/batch.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { Store } from '../../native/store.ts';
import { silentLogger } from '../../util/logger.ts';
import { PayloadError } from './checked-reads.ts';
import { readExtentSummary } from './extents.ts';
import { OpenFiles } from './open-files.ts';
import { PartitionPayloads } from './partition-payloads.ts';
import type { Reference } from './payload-recovery.ts';
import type { PayloadFiles } from './ports.ts';
import { refusalOf, TestFiles } from './testing.ts';

const HEADER_CRC = crc32c(Buffer.from('header'));
const BLOCK = 4096;
const EXTENT = 10 * BLOCK;

describe('Cleaning of payload segments', () => {
  let directory: string;
  let files: TestFiles;
  let log: Reference[];
  let payloads: PartitionPayloads;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cleaning-'));
    files = new TestFiles();
    log = [];
    payloads = make(files);
  });
  afterEach(async () => {
    await payloads.close();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  const make = (over: PayloadFiles) =>
    new PartitionPayloads(directory, new OpenFiles(over, 4), { segmentBytes: 1 << 20 }, silentLogger);

  /** As many extents as asked for, in segments that are complete. */
  async function fill(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const bytes = Buffer.alloc(EXTENT, 1 + log.length);
      const extent = payloads.append(bytes);
      await extent.written;
      const offset = BigInt(log.length);
      extent.commit(offset, offset);
      const { segmentId, position, length } = extent;
      const batchCrc = crc32c(bytes, HEADER_CRC);
      const at = { baseOffset: offset, lastOffset: offset };
      log.push({ ...at, segmentId, position, length, headerCrc: HEADER_CRC, batchCrc });
    }
    payloads.endSegment();
    await payloads.reclaimBefore(0n);
  }

  const recover = (logStartOffset = 0n) =>
    payloads.recover({
      logStartOffset,
      logEndOffset: BigInt(log.length),
      recoveryPoint: null,
      async *references(from) {
        for (const reference of log) if (reference.lastOffset >= from) yield reference;
      },
      truncate: async () => undefined,
    });

  async function read(reference: Reference): Promise<number> {
    const piece = await payloads.read(reference);
    const [first] = piece.bytes();
    piece.memory.release();
    return first!;
  }

  async function check(isLive: (reference: Reference) => boolean): Promise<void> {
    for (const [i, reference] of log.entries())
      if (isLive(reference)) assert.equal(await read(reference), 1 + i);
  }

  const released = (isDead: (i: number) => boolean) => payloads.release(log.filter((_, i) => isDead(i)));

  it('gives back what compaction has released, keeps the rest, and knows it at the next start', async () => {
    await fill(10);
    assert.equal(payloads.totalBytes, 10 * EXTENT);
    await released((i) => i % 2 === 1);
    assert.deepEqual(await payloads.clean(0.4), { segments: 0, bytes: 0 });
    assert.deepEqual(await payloads.clean(0.8), { segments: 1, bytes: 5 * EXTENT });
    assert.equal(payloads.totalBytes, 5 * EXTENT);
    assert.equal(payloads.liveBytes, 5 * EXTENT);
    await check(({ baseOffset }) => baseOffset % 2n === 0n);
    // There is no more to be had.
    assert.deepEqual(await payloads.clean(1), { segments: 0, bytes: 0 });
    assert.equal(files.punched, 1);
    await payloads.close();
    // What a process that was killed has left where files are replaced by copies.
    const rest = join(directory, 'payload', '00000000000000000000.payload.moving');
    writeFileSync(rest, 'x');
    payloads = make(files);
    await recover();
    assert.ok(!existsSync(rest));
    assert.equal(payloads.totalBytes, 5 * EXTENT);
    await check(({ baseOffset }) => baseOffset % 2n === 0n);
    await assert.rejects(read(log[1]!), /no record refers to it/);
    await released((i) => i === 0);
    assert.deepEqual(await payloads.clean(1), { segments: 1, bytes: EXTENT });
  });

  it('leaves what was deleted until the next time, for those who have found it', async () => {
    await fill(10);
    await payloads.reclaimBefore(6n);
    assert.equal(payloads.liveBytes, 4 * EXTENT);
    assert.deepEqual(await payloads.clean(0.8), { segments: 0, bytes: 0 });
    await check(() => true);
    assert.deepEqual(await payloads.clean(0.8), { segments: 1, bytes: 6 * EXTENT });
    await check(({ baseOffset }) => baseOffset >= 6n);
    const summary = await readExtentSummary(join(directory, 'payload', '00000000000000000000.extents'));
    assert.deepEqual(
      [summary!.count, summary!.firstOffset, summary!.freedBytes, summary!.bytes],
      [4, 6n, 6 * EXTENT, 10 * EXTENT],
    );
  });

  it('waits for reads that have begun, and lets none begin that would find nothing', async () => {
    await fill(4);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    // The first read takes until it is let go.
    let isFirst = true;
    const held: PayloadFiles = {
      remove: (path) => files.remove(path),
      punch: (path, ranges) => files.punch(path, ranges),
      open: async (path, options) => {
        const file = await files.open(path, options);
        const readRanges = file.readRanges.bind(file);
        file.readRanges = (ranges) => {
          const gate = isFirst ? opened : Promise.resolve();
          isFirst = false;
          return gate.then(() => readRanges(ranges));
        };
        return file;
      },
    };
    await payloads.close();
    payloads = make(held);
    await recover();
    const early = read(log[1]!);
    while (isFirst) await setImmediate();
    await released((i) => i > 0);
    const cleaning = payloads.clean(0.8);
    const refusal = () =>
      read(log[2]!).then(
        () => '',
        (error: Error) => error.message,
      );
    while (!(await refusal()).includes('no record refers to it')) await setImmediate();
    for (let i = 0; i < 20; i++) await setImmediate();
    assert.equal(files.punched, 0);
    open();
    assert.equal(await early, 2);
    assert.deepEqual(await cleaning, { segments: 1, bytes: 3 * EXTENT });
    await assert.rejects(read(log[1]!), PayloadError);
    assert.equal(await read(log[0]!), 1);
    const [gone, there] = await payloads.readAll([log[1]!, log[0]!]);
    assert.ok(gone instanceof PayloadError && there instanceof MemoryPiece);
    assert.equal(there.bytes()[0], 1);
    there.memory.release();
  });

  it('is tried again when it fails, and goes on with other segments', async () => {
    await fill(4);
    await fill(4);
    await released((i) => i % 4 > 0);
    files.refusedPunches = 1;
    await assert.rejects(payloads.clean(0.8), /input\/output error/);
    assert.equal(payloads.totalBytes, 5 * EXTENT);
    assert.deepEqual(await payloads.clean(0.8), { segments: 1, bytes: 3 * EXTENT });
    assert.equal(payloads.totalBytes, 2 * EXTENT);
    await check(({ baseOffset }) => baseOffset % 4n === 0n);
  });

  it('is none of what somebody is still being sent some of, until the next time', async () => {
    await fill(4);
    await fill(4);
    await released((i) => i % 4 > 0);
    files.refusedPunches = 1;
    files.punchRefusal = refusalOf('EBUSY', 'parts wait to be sent');
    assert.deepEqual(await payloads.clean(0.8), { segments: 1, bytes: 3 * EXTENT });
    assert.deepEqual(await payloads.clean(0.8), { segments: 1, bytes: 3 * EXTENT });
    await check(({ baseOffset }) => baseOffset % 4n === 0n);
  });

  it('is none of a segment that takes extents, nor of blocks that are live in part', async () => {
    const extent = payloads.append(Buffer.alloc(100));
    await extent.written;
    extent.commit(0n, 0n);
    await payloads.reclaimBefore(0n);
    assert.deepEqual(await payloads.clean(1), { segments: 0, bytes: 0 });
    for (let i = 1n; i < 4n; i++) {
      const more = payloads.append(Buffer.alloc(100));
      await more.written;
      more.commit(i, i);
    }
    payloads.endSegment();
    await payloads.release(
      [1n, 2n, 3n].map((baseOffset) => ({ baseOffset, segmentId: 0, position: 0, length: 1 })),
    );
    assert.deepEqual(await payloads.clean(1), { segments: 0, bytes: 0 });
    assert.equal(files.punched, 0);
  });

  it('takes the space that the file system says, where it has holes', async () => {
    const store = new Store({ threads: 1 });
    payloads = make(store);
    await fill(10);
    await released((i) => i % 2 === 1);
    const { segments, bytes } = await payloads.clean(0.8);
    assert.equal(segments, 1);
    // Extents share blocks, and where the pieces of a file are takes some.
    assert.ok(bytes > 4 * EXTENT && bytes <= 5 * EXTENT, `${bytes}`);
    await check(({ baseOffset }) => baseOffset % 2n === 0n);
    const [name] = readdirSync(join(directory, 'payload')).filter((file) => file.endsWith('.payload'));
    const { size, blocks } = statSync(join(directory, 'payload', name!));
    assert.equal(payloads.totalBytes, Math.min(size, blocks * 512));
    await payloads.close();
    await store.shutdown();
  });
});

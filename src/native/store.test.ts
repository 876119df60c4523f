import assert from 'node:assert/strict';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { arenaStats, NativeMemory } from './arena.ts';
import { crc32c } from './batch.ts';
import { scanBatches } from './batch-scan.ts';
import type { RangeRead } from './listed-pieces.ts';
import { FilePiece, MemoryPiece, type Piece } from './pieces.ts';
import { aheadBytesFor, Store } from './store.ts';
import type { StoreFile } from './store-file.ts';

const bytes = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff));

/** What is in a file, without the zeros of space that is allocated ahead. */
function contentOf(file: StoreFile): Buffer {
  const content = readFileSync(file.path);
  assert.ok(content.length >= file.size, `${content.length} bytes of ${file.size}`);
  assert.ok(content.subarray(file.size).every((byte) => byte === 0));
  return content.subarray(0, file.size);
}

/** The bytes of pieces of memory, which it releases. */
function bytesOf(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => {
      assert.ok(piece instanceof MemoryPiece);
      const copy = Buffer.from(piece.bytes());
      piece.memory.release();
      return copy;
    }),
  );
}

describe('aheadBytesFor', () => {
  const MiB = 1 << 20;

  it('is a part of what a file will have that follows one that became full', () => {
    for (const [previous, file, ahead] of [
      [0, 1024, 0],
      [511, 1024, 0],
      [512, 1024, 64],
      [1024, 1024, 64],
      [256, 256, 16],
      [16, 16, 8],
      [4, 4, 4],
      [8192, 16_384, 64],
    ])
      assert.equal(aheadBytesFor(previous! * MiB, file! * MiB), ahead! * MiB, `${previous} of ${file} MiB`);
  });
});

describe('Store', () => {
  let dir: string;
  let store: Store;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-store-'));
    store = new Store({ threads: 2 });
  });
  afterEach(async () => {
    await store.shutdown();
    rmSync(dir, { recursive: true, force: true });
  });
  /** The thread that closes a file lets go of it after it has said so. */
  async function givenBack(): Promise<void> {
    while (arenaStats().usedBytes > 0) await setTimeout(5);
  }
  const open = (name = 'file', options = {}): Promise<StoreFile> =>
    store.open(join(dir, name), { create: true, ...options });

  it('appends pieces in order and reads them back', async () => {
    const file = await open();
    const memory = NativeMemory.allocate(10_000);
    assert.ok(memory);
    memory.bytes().set(bytes(10_000, 1));
    const first = file.append([Buffer.from('head'), new MemoryPiece(memory, 100, 5000), Buffer.from('tail')]);
    const slice = memory.slice(200, 300);
    const second = file.append([new MemoryPiece(slice, 50, 100)]);
    assert.deepEqual([first.position, second.position, file.size], [0, 5008, 5108]);
    slice.release();
    memory.release();
    await Promise.all([first.done, second.done]);
    const expected = Buffer.concat([
      Buffer.from('head'),
      bytes(10_000, 1).subarray(100, 5100),
      Buffer.from('tail'),
      bytes(10_000, 1).subarray(250, 350),
    ]);
    assert.deepEqual(contentOf(file), expected);
    const read = await file.read(4, 6000);
    assert.deepEqual(Buffer.from(read.bytes()), expected.subarray(4));
    read.release();
    const checked = await file.readCrc(1000, 2000, crc32c(expected.subarray(0, 1000)));
    assert.equal(checked.crc32c, crc32c(expected.subarray(0, 3000)));
    checked.piece.memory.release();
    const nothing = await file.read(9999, 10);
    assert.equal(nothing.byteLength, 0);
    nothing.release();
    await file.close();
    await givenBack();
  });

  it('joins neighbours and shares flushes', async () => {
    const file = await open();
    const parts = [bytes(32 << 20, 0), ...Array.from({ length: 500 }, (_, i) => bytes(100 + i, i))];
    const appended: Buffer[] = [];
    let before = store.stats();
    // The first keeps the writer busy while the others queue up, unless this thread is held up for longer than that.
    for (let isBusy = false; !isBusy; ) {
      before = store.stats();
      const writes = parts.map((part) => file.append([part]).done);
      isBusy = store.stats().writes === before.writes;
      const syncs = parts.map(() => file.sync());
      await Promise.all([...writes, ...syncs]);
      appended.push(...parts);
    }
    const stats = store.stats();
    assert.equal(stats.appends - before.appends, parts.length);
    assert.ok(stats.writes - before.writes < 250, `${stats.writes} writes`);
    assert.ok(stats.syncs - before.syncs < 50, `${stats.syncs} syncs`);
    assert.equal(stats.queuedBytes, 0);
    assert.ok(contentOf(file).equals(Buffer.concat(appended)));
    await file.sync();
    assert.equal(store.stats().syncs, stats.syncs, 'nothing to flush, no flush');
  });

  it('truncates in order and appends behind', async () => {
    const file = await open();
    const writes = [file.append([bytes(1000, 1)]).done];
    const truncated = file.truncate(300);
    assert.equal(file.size, 300);
    const { position, done } = file.append([bytes(50, 2)]);
    assert.equal(position, 300);
    await Promise.all([...writes, truncated, done, file.sync()]);
    assert.deepEqual(contentOf(file), Buffer.concat([bytes(1000, 1).subarray(0, 300), bytes(50, 2)]));
  });

  it('finds in memory what was appended or read', async () => {
    const file = await open();
    assert.equal(file.direct, true);
    const memory = NativeMemory.allocate(100_000)!;
    memory.bytes().set(bytes(100_000, 3));
    await Promise.all([
      file.append([bytes(1000, 1)]).done,
      file.append([bytes(500, 2)]).done,
      file.append([new MemoryPiece(memory)]).done,
    ]);
    memory.release();
    const all = Buffer.concat([bytes(1000, 1), bytes(500, 2), bytes(100_000, 3)]);
    const { reads } = store.stats();
    const found = file.find(100, 50_000);
    assert.ok(found);
    const origins = found.map((piece) => (piece as MemoryPiece).origin);
    assert.deepEqual([origins[0]?.position, origins[0]?.file], [100, file]);
    assert.ok(bytesOf(found).equals(all.subarray(100, 50_100)));
    // Neighbours that were copied are one piece, memory that was handed over is another.
    const whole = file.findChecked(900, 600);
    assert.ok(whole);
    assert.ok(bytesOf([whole]).equals(all.subarray(900, 1500)));
    assert.equal(file.findChecked(1400, 200), null);
    assert.ok(bytesOf([file.findChecked(1500, 100_000)!]).equals(all.subarray(1500)));
    assert.equal(file.find(1500, 100_001), null);
    assert.equal(store.stats().reads, reads);
    await file.close();

    const again = await open();
    assert.equal(again.find(0, 10), null);
    assert.ok(bytesOf(await again.readPieces(50, 1_000_000)).equals(all.subarray(50)));
    assert.deepEqual(await again.readPieces(1_000_000, 10), []);
    assert.ok(store.stats().reads > reads);
    assert.ok(store.stats().cacheMissBytes > 0);
    assert.ok(bytesOf(again.find(200, 60_000)!).equals(all.subarray(200, 60_200)));
    assert.equal(again.findChecked(200, 600), null, 'it was read, and perhaps not as it was received');
    const part = all.subarray(200, 60_200);
    for (const [expected, isRight] of [
      [crc32c(part) ^ 1, false],
      [crc32c(part), true],
    ] as const) {
      const range = { position: 200, length: part.byteLength, seed: 0, expected: expected >>> 0 };
      const [{ piece }] = (await again.readRanges([range])) as [RangeRead];
      assert.ok(bytesOf([piece]).equals(part));
      const checked = again.findChecked(200, part.byteLength);
      assert.equal(checked !== null, isRight, 'it was checked when it was read');
      if (checked !== null) assert.ok(bytesOf([checked]).equals(part));
    }
    assert.equal(again.findChecked(199, 10), null);
    await again.close();
    await givenBack();
  });

  it('aligns memory where that is asked for, and leaves a gap of zeros', async () => {
    const file = await open();
    const memory = NativeMemory.allocate(100_000)!;
    memory.bytes().set(bytes(100_000, 3));
    await file.append([bytes(10, 1)]).done;
    const { position, done } = file.append([new MemoryPiece(memory, 61)], { align: true });
    memory.release();
    await done;
    assert.equal(position % 512, 61);
    assert.ok(position > 10 && position < 10 + 2 * 4096);
    assert.equal(file.size, position + 99_939);
    const expected = [bytes(10, 1), Buffer.alloc(position - 10), bytes(100_000, 3).subarray(61)];
    assert.ok(contentOf(file).equals(Buffer.concat(expected)));
    assert.ok(bytesOf([file.findChecked(position, 99_939)!]).equals(expected[2]!));
  });

  it('keeps the size of a preallocated file and gives back the rest on close', async () => {
    const file = await open('log', { preallocateBytes: 1 << 20 });
    assert.equal(file.size, 0);
    assert.equal(statSync(file.path).size, 0);
    const reserved = statSync(file.path).blocks;
    await file.append([bytes(10, 1)]).done;
    await file.close();
    const { size, blocks } = statSync(file.path);
    assert.equal(size, 10);
    assert.ok(reserved === 0 || blocks < reserved);
    assert.throws(() => file.append([bytes(1, 1)]), { code: 'EBADF' });
    await assert.rejects(file.read(0, 1), { code: 'EBADF' });
  });

  it('reports what cannot be opened', async () => {
    await assert.rejects(store.open(join(dir, 'none')), { code: 'ENOENT' });
    await assert.rejects(store.open(dir), { code: /EISDIR|EINVAL/ });
    await assert.rejects(store.open(join(dir, 'none', 'file'), { create: true }), { code: 'ENOENT' });
  });

  it('reads a file that became shorter', async () => {
    const uncached = new Store({ threads: 1, direct: false });
    const file = await uncached.open(join(dir, 'file'), { create: true });
    await file.append([bytes(1000, 1)]).done;
    truncateSync(file.path, 400);
    const read = await file.read(100, 600);
    assert.equal(read.byteLength, 300);
    read.release();
    await uncached.shutdown();
  });

  it('gives back what is allocated ahead', async () => {
    const file = await open();
    for (let i = 0; i < 5; i++) await file.append([bytes(10_000, i)]).done;
    await file.trim();
    assert.equal(statSync(file.path).size, 50_000);
    const { position, done } = file.append([bytes(10, 9)]);
    assert.equal(position, 50_000);
    await done;
    assert.deepEqual(contentOf(file).subarray(50_000), bytes(10, 9));
  });

  it('finds what is in memory, and reads the rest', async () => {
    const file = await open();
    const content = bytes(300_000, 3);
    const memory = NativeMemory.allocate(content.length)!;
    memory.bytes().set(content);
    await file.append([bytes(1000, 1)]).done;
    const { position, done } = file.append([new MemoryPiece(memory)], { align: true });
    await done;
    assert.ok(position >= 1000 && position < 1000 + 2 * 4096, `at ${position}`);
    const found = file.findChecked(position + 5, 1000)!;
    assert.deepEqual(Buffer.from(found.bytes()), content.subarray(5, 1005));
    assert.equal(found.memory.handle, memory.handle, 'the memory itself, not a copy');
    found.memory.release();
    memory.release();
    assert.equal(file.findChecked(position, content.length + 1), null);
    await file.close();
    // Opened again nothing of it is in memory.
    const again = await store.open(file.path);
    assert.equal(again.findChecked(position, 1000), null);
    assert.equal(again.find(position, 1000), null);
    const pieces = await again.readPieces(position, content.length);
    assert.deepEqual(Buffer.concat(pieces.map((piece) => piece.bytes())), content);
    for (const piece of pieces) piece.memory.release();
    const kept = again.find(position + 7, 1000)!;
    assert.deepEqual(
      Buffer.concat(kept.map((piece) => (piece as MemoryPiece).bytes())),
      content.subarray(7, 1007),
    );
    for (const piece of kept) (piece as MemoryPiece).memory.release();
    assert.equal(again.findChecked(position, 1000), null, 'it was read, not appended');
  });

  it('uses the page cache where it is told to', async () => {
    const cached = new Store({ threads: 1, direct: false });
    const file = await cached.open(join(dir, 'file'), { create: true });
    assert.equal(file.direct, false);
    await file.append([bytes(1000, 1)], { align: true, fromMemory: true }).done;
    assert.equal(file.findChecked(0, 1000), null);
    assert.ok(file.find(0, 1000)![0] instanceof FilePiece);
    assert.equal(statSync(file.path).size, 1000);
    await cached.shutdown();
  });

  it('fails appends until truncated when the disk refuses', async () => {
    const path = join(dir, 'read-only');
    writeFileSync(path, 'good');
    const file = await store.open(path, { readOnly: true });
    const failed = [file.append([bytes(10, 1)]), file.append([bytes(10, 2)])];
    for (const { done } of failed) await assert.rejects(done!, { code: 'EBADF' });
    await assert.rejects(file.sync(), { code: 'EBADF' });
    await assert.rejects(file.append([bytes(10, 3)]).done!, { code: 'EBADF' });
    assert.equal(store.stats().queuedBytes, 0);
  });

  it('limits what is queued', async () => {
    const small = new Store({ threads: 1, maxQueuedBytes: 1000 });
    const file = await small.open(join(dir, 'limited'), { create: true });
    assert.throws(() => file.append([bytes(1001, 1)]), { code: 'ENOBUFS' });
    assert.equal(file.size, 0);
    await file.append([bytes(1000, 1)]).done;
    await small.shutdown();
  });

  it('waits for room in the arena, and says so when there is none in time', async () => {
    const impatient = new Store({ threads: 1, memoryTimeoutMs: 200 });
    const patient = new Store({ threads: 1, memoryTimeoutMs: 60_000 });
    const path = join(dir, 'file');
    const file = await impatient.open(path, { create: true });
    await file.append([bytes(8192, 1)]).done;
    const again = await patient.open(path, { readOnly: true });
    const { capacityBytes } = arenaStats();
    const all = NativeMemory.allocate(capacityBytes);
    assert.ok(all);
    await assert.rejects(file.read(0, 8192), { code: 'ETIMEDOUT' });
    assert.equal(impatient.stats().memoryWaits, 1);
    const waiting = again.read(0, 8192);
    while (patient.stats().memoryWaits === 0) await setTimeout(1);
    all.release();
    const read = await waiting;
    assert.deepEqual(Buffer.from(read.bytes()), bytes(8192, 1));
    read.release();
    await impatient.shutdown();
    await patient.shutdown();
  });

  it('replaces files atomically, in the order of the calls', async () => {
    const path = join(dir, 'checkpoint');
    await Promise.all(['one', 'two', 'three'].map((text) => store.atomicWrite(path, Buffer.from(text))));
    assert.equal(readFileSync(path, 'utf8'), 'three');
    await assert.rejects(store.atomicWrite(join(dir, 'none', 'file'), bytes(1, 1)), { code: 'ENOENT' });
    await store.syncDirectory(dir);
    await assert.rejects(store.syncDirectory(join(dir, 'none')), { code: 'ENOENT' });
  });

  it('makes directories and renames them', async () => {
    const path = join(dir, 'one', 'two');
    for (let i = 0; i < 2; i++) await store.makeDirectory(path);
    await store.rename(join(dir, 'one'), join(dir, 'three'));
    assert.deepEqual(readdirSync(join(dir, 'three')), ['two']);
    await assert.rejects(store.rename(path, join(dir, 'four')), { code: 'ENOENT' });
    await store.atomicWrite(join(dir, 'file'), bytes(1, 1));
    await assert.rejects(store.makeDirectory(join(dir, 'file', 'five')), { code: 'ENOTDIR' });
  });

  it('scans batches', async () => {
    const fixtures = JSON.parse(
      readFileSync(new URL('../../../src/native/fixtures/batches.json', import.meta.url), 'utf8'),
    ) as Record<string, string>;
    const batches = ['mixed-none', 'keyed-gzip', 'idempotent'].map((name) =>
      Buffer.from(fixtures[name]!, 'hex'),
    );
    const file = await open();
    await file.append(batches).done;
    const whole = await scanBatches(file, 0, Infinity, { verifyCrc: true });
    assert.equal(whole.reason, 'end');
    assert.equal(whole.end, file.size);
    assert.deepEqual(
      whole.batches.map((batch) => batch.sizeBytes),
      batches.map((batch) => batch.length),
    );
    assert.equal(whole.batches[2]?.producerId, 4711n);
    const part = await scanBatches(file, batches[0]!.length, 1);
    assert.deepEqual([part.reason, part.batches.length], ['limit', 1]);
    assert.equal((await scanBatches(file, 0, Infinity, { maxBatches: 2 })).batches.length, 2);

    await file.append([batches[0]!.subarray(0, 100)]).done;
    assert.equal((await scanBatches(file, whole.end, Infinity)).reason, 'torn');
    await file.truncate(whole.end + 100_000);
    await file.truncate(whole.end);
    await file.append([Buffer.alloc(70_000)]).done;
    assert.deepEqual(
      [(await scanBatches(file, 0, Infinity)).reason, (await scanBatches(file, 0, Infinity)).end],
      ['zeros', whole.end],
    );
    await file.truncate(whole.end);
    batches[1]![300]! ^= 1;
    await file.append([batches[1]!]).done;
    assert.equal((await scanBatches(file, 0, Infinity)).reason, 'end');
    const corrupt = await scanBatches(file, 0, Infinity, { verifyCrc: true });
    assert.deepEqual([corrupt.reason, corrupt.end, corrupt.batches.length], ['corrupt', whole.end, 3]);
  });

  it('locks a directory once', () => {
    const lock = store.lockDirectory(dir);
    assert.throws(() => store.lockDirectory(dir), { code: 'EBUSY', message: /this process/ });
    lock.release();
    lock.release();
    store.lockDirectory(dir).release();
  });
});

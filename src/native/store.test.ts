import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats, NativeMemory } from './arena.ts';
import { crc32c } from './batch.ts';
import { MemoryPiece } from './pieces.ts';
import { Store, type StoreFile, scanBatches } from './store.ts';

const bytes = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff));

/** What was appended, if the rest of the file, which is allocated ahead, is zeros. */
function written(file: StoreFile): Buffer {
  const all = readFileSync(file.path);
  assert.ok(all.subarray(file.size).every((byte) => byte === 0));
  return all.subarray(0, file.size);
}

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
    assert.deepEqual(written(file), expected);
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
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('joins neighbours and shares flushes', async () => {
    const file = await open();
    // The first keeps the writer busy while the others queue up.
    const parts = [bytes(32 << 20, 0), ...Array.from({ length: 500 }, (_, i) => bytes(100 + i, i))];
    const before = store.stats();
    const writes = parts.map((part) => file.append([part]).done);
    const syncs = parts.map(() => file.sync());
    await Promise.all([...writes, ...syncs]);
    const stats = store.stats();
    assert.equal(stats.appends - before.appends, parts.length);
    assert.ok(stats.writes - before.writes < 250, `${stats.writes} writes`);
    assert.ok(stats.syncs - before.syncs < 50, `${stats.syncs} syncs`);
    assert.equal(stats.queuedBytes, 0);
    assert.ok(written(file).equals(Buffer.concat(parts)));
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
    assert.deepEqual(written(file), Buffer.concat([bytes(1000, 1).subarray(0, 300), bytes(50, 2)]));
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
    const before = await open();
    await before.append([bytes(1000, 1)]).done;
    await before.close();
    const file = await open();
    truncateSync(file.path, 400);
    const read = await file.read(100, 600);
    assert.equal(read.byteLength, 300);
    read.release();
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
    const file = await impatient.open(join(dir, 'file'), { create: true });
    await file.append([bytes(8192, 1)]).done;
    const { capacityBytes } = arenaStats();
    const all = NativeMemory.allocate(capacityBytes);
    assert.ok(all);
    await assert.rejects(file.read(0, 8192), { code: 'ETIMEDOUT' });
    const waiting = file.read(0, 8192);
    setTimeout(() => all.release(), 20);
    const read = await waiting;
    assert.deepEqual(Buffer.from(read.bytes()), bytes(8192, 1));
    read.release();
    assert.equal(impatient.stats().memoryWaits, 2);
    await impatient.shutdown();
  });

  it('replaces files atomically, in the order of the calls', async () => {
    const path = join(dir, 'checkpoint');
    await Promise.all(['one', 'two', 'three'].map((text) => store.atomicWrite(path, Buffer.from(text))));
    assert.equal(readFileSync(path, 'utf8'), 'three');
    await assert.rejects(store.atomicWrite(join(dir, 'none', 'file'), bytes(1, 1)), { code: 'ENOENT' });
    await store.syncDirectory(dir);
    await assert.rejects(store.syncDirectory(join(dir, 'none')), { code: 'ENOENT' });
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

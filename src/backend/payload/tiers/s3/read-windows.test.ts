import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Bucket } from './bucket.ts';
import { ObjectError } from './objects.ts';
import type { ReadWindows } from './read-windows.ts';
import { MemoryObjects, TestBuckets } from './testing.ts';

const KEY = 'here/x';
const OBJECT_BYTES = 4 << 20;
const KIB = 1 << 10;

describe('ReadWindows', () => {
  let buckets: TestBuckets;
  let objects: MemoryObjects;
  let bucket: Bucket;
  let windows: ReadWindows;

  beforeEach(async () => {
    buckets = new TestBuckets();
    objects = new MemoryObjects();
    const content = Buffer.from(Array.from({ length: OBJECT_BYTES }, (_, i) => (i * 7) % 251));
    objects.objects.set(KEY, content);
    bucket = await buckets.open(objects, {
      cacheBytes: 300 * KIB,
      readAheadBytes: 100 * KIB,
      connections: 2,
    });
    windows = bucket.windows;
  });
  afterEach(async () => {
    bucket.close();
    await buckets.end();
  });

  async function read(position: number, length: number, expected?: number): Promise<void> {
    const { piece } = await windows.read(KEY, position, length, 0, expected);
    const wanted = objects.objects.get(KEY)!.subarray(position, position + length);
    const same = Buffer.compare(piece.bytes(), wanted) === 0;
    piece.memory.release();
    assert.ok(same, `${length} bytes at ${position}`);
  }

  const downloads = () => objects.downloads.map(({ position, length }) => [position, length]);

  it('get what is asked for, and more where somebody reads on', async () => {
    await read(1 << 20, 50 * KIB);
    await read((1 << 20) + 50 * KIB + 100, 50 * KIB);
    await read((1 << 20) + 100 * KIB + 200, 40 * KIB);
    await read(2 << 20, 10 * KIB);
    assert.deepEqual(downloads(), [
      [1 << 20, 50 * KIB],
      [(1 << 20) + 50 * KIB + 100, 100 * KIB],
      [2 << 20, 10 * KIB],
    ]);
    assert.deepEqual([windows.reads, windows.hits, windows.downloadedBytes], [4, 1, 160 * KIB]);
  });

  it('end where the object does', async () => {
    await read(OBJECT_BYTES - 10 * KIB, 20 * KIB);
    await read(OBJECT_BYTES + 1, 10);
  });

  it('are kept up to a limit, those used last', async () => {
    for (const at of [1, 2, 3]) await read(at << 20, 90 * KIB);
    await read(1 << 20, 90 * KIB);
    await read(100 * KIB, 90 * KIB);
    assert.ok(windows.bytes <= 300 * KIB);
    objects.downloads.length = 0;
    await read(1 << 20, 90 * KIB);
    assert.deepEqual(downloads(), []);
    await read(2 << 20, 90 * KIB);
    assert.equal(downloads().length, 1);
    bucket.windows.clear();
    while (readdirSync(buckets.directory).some((name) => name !== '.lock')) await setTimeout(1);
    assert.equal(windows.bytes, 0);
  });

  it('are downloaded once for all who wait, and a few at a time', async () => {
    let open = () => {};
    objects.gate = new Promise((resolve) => {
      open = resolve;
    });
    const reads = [1, 1, 2, 3, 3].map((at) => read(at << 20, 10 * KIB));
    while (objects.downloads.length < 2) await setTimeout(1);
    await setTimeout(1);
    assert.equal(objects.downloads.length, 2);
    open();
    await Promise.all(reads);
    assert.equal(objects.downloads.length, 3);
  });

  it('are not kept when they could not be downloaded, and refused when too many wait', async () => {
    objects.refused = 'download';
    await assert.rejects(read(0, 10), { code: 'EREFUSED' });
    assert.equal(windows.bytes, 0);
    objects.refused = null;
    await read(0, 10);
    let open = () => {};
    objects.gate = new Promise((resolve) => {
      open = resolve;
    });
    // Backwards: nobody reads on.
    const reads = Array.from({ length: 1100 }, (_, i) =>
      read(OBJECT_BYTES - 20 * (i + 1), 1).catch((error) => error),
    );
    await setTimeout(1);
    objects.gate = Promise.resolve();
    open();
    const errors = (await Promise.all(reads)).filter((error) => error instanceof ObjectError);
    assert.ok(errors.length > 0 && errors.every(({ code }) => code === 'EAGAIN'));
    await read(0, 10);
  });

  it('give their space to those that find the disk full', async () => {
    for (const at of [1, 2]) await read(at << 20, 90 * KIB);
    objects.fullDownloads = 1;
    await read(3 << 20, 90 * KIB);
    assert.equal(windows.bytes, 90 * KIB);
    // There is nothing more to be had.
    windows.clear();
    objects.fullDownloads = 1;
    await assert.rejects(read(1 << 20, 10), { code: 'ENOSPC' });
    await read(1 << 20, 10);
  });

  it('are downloaded anew, once, when they are not what they are to be', async () => {
    objects.damagedDownloads = 1;
    const { crc32c, piece } = await windows.read(KEY, 1 << 20, 10 * KIB, 0);
    piece.memory.release();
    await read(1 << 20, 10 * KIB, ~crc32c);
    assert.equal(objects.downloads.length, 2);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import { ExtentLists } from './extent-lists.ts';
import { type Extent, ExtentList, readExtentSummary, readExtents, writeExtents } from './extents.ts';
import { SegmentExtents } from './segment-extents.ts';

/** As versions before the checksums of pieces wrote it. */
function firstVersion(extents: readonly Extent[], bytes: number): Buffer {
  const buffer = Buffer.alloc(64 + 24 * extents.length);
  for (const [i, { baseOffset, lastOffset, position, length }] of extents.entries()) {
    const at = 64 + 24 * i;
    buffer.writeBigInt64BE(baseOffset, at);
    buffer.writeBigInt64BE(BigInt(position), at + 8);
    buffer.writeUInt32BE(length, at + 16);
    buffer.writeUInt32BE(Number(lastOffset - baseOffset), at + 20);
  }
  buffer.writeUInt32BE(0x4b465058, 0);
  buffer.writeUInt32BE(1, 4);
  buffer.writeUInt32BE(extents.length, 8);
  buffer.writeBigInt64BE(extents[0]!.baseOffset, 12);
  buffer.writeBigInt64BE(extents.at(-1)!.lastOffset, 20);
  buffer.writeBigInt64BE(BigInt(bytes), 28);
  buffer.writeBigInt64BE(BigInt(extents.reduce((sum, { length }) => sum + length, 0)), 36);
  buffer.writeUInt32BE(crc32c(buffer.subarray(64)), 56);
  buffer.writeUInt32BE(crc32c(buffer.subarray(0, 60)), 60);
  return buffer;
}

describe('lists of extents', () => {
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'extents-'));
    path = join(directory, 'list');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const long = 5 * EXTENT_PIECE_BYTES + 1;
  const extents: Extent[] = [
    { baseOffset: 7n, lastOffset: 9n, position: 0, length: 100, pieceCrcs: null },
    {
      baseOffset: 10n,
      lastOffset: 10n,
      position: 512,
      length: long,
      pieceCrcs: Uint32Array.from({ length: 6 }, (_, i) => 0xfffffff0 + i),
    },
    { baseOffset: 11n, lastOffset: 20n, position: 2 ** 40, length: 1, pieceCrcs: null },
    {
      baseOffset: 21n,
      lastOffset: 21n,
      position: 2 ** 40 + 1,
      length: 2 * EXTENT_PIECE_BYTES,
      pieceCrcs: Uint32Array.of(1, 2),
    },
  ];

  it('have the checksums of pieces, by extent', async () => {
    await writeExtents(path, extents, 2 ** 41);
    assert.deepEqual(await readExtents(path), extents);
    const list = (await ExtentList.read(path))!;
    for (const one of extents) assert.deepEqual(list.find(one.position), one);
    for (const position of [1, 511, 513, 2 ** 42]) assert.equal(list.find(position), null);
    const { count, bytes, firstOffset, lastOffset } = (await readExtentSummary(path))!;
    assert.deepEqual([count, bytes, firstOffset, lastOffset], [4, 2 ** 41, 7n, 21n]);
  });

  it('of the first version are read, and have none', async () => {
    writeFileSync(path, firstVersion(extents, 2 ** 41));
    const expected = extents.map((one) => ({ ...one, pieceCrcs: null }));
    assert.deepEqual(await readExtents(path), expected);
    assert.equal((await readExtentSummary(path))!.count, 4);
    assert.deepEqual((await ExtentList.read(path))!.find(512), expected[1]);
  });

  it('are not read when any byte of them is damaged, or some are missing', async () => {
    await writeExtents(path, extents, 2 ** 41);
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 4;
      writeFileSync(path, bad);
      assert.equal(await readExtents(path), null, `byte ${at}`);
    }
    for (const length of [0, 63, 64, good.length - 4]) {
      writeFileSync(path, good.subarray(0, length));
      assert.equal(await ExtentList.read(path), null);
    }
  });

  it('are not taken for missing while they cannot be read', async () => {
    await writeExtents(path, extents, 2 ** 41);
    const lists = new ExtentLists();
    const segment = SegmentExtents.listed(path, lists, (await readExtentSummary(path))!);
    const drop = () => segment.drop(({ baseOffset }) => baseOffset === extents[0]!.baseOffset);
    const { readFile } = promises;
    promises.readFile = () =>
      Promise.reject<never>(Object.assign(new Error('too many open files'), { code: 'EMFILE' }));
    syncBuiltinESMExports();
    try {
      await assert.rejects(drop(), { code: 'EMFILE' });
      await assert.rejects(segment.countLiveFrom(extents[1]!.baseOffset), { code: 'EMFILE' });
      assert.equal(await lists.get(path), null);
    } finally {
      promises.readFile = readFile;
      syncBuiltinESMExports();
    }
    const all = segment.liveBytes;
    await segment.countLiveFrom(extents[1]!.baseOffset);
    assert.equal(segment.liveBytes, all - extents[0]!.length);
    await drop();
    assert.equal((await readExtents(path))!.length, extents.length - 1);
  });

  it('are kept in memory up to a limit, and read anew when they were written anew', async () => {
    const paths = [0, 1, 2].map((i) => join(directory, String(i)));
    for (const one of paths) await writeExtents(one, extents, 2 ** 41);
    const { byteLength } = (await ExtentList.read(paths[0]!))!;
    const lists = new ExtentLists(2 * byteLength);
    assert.equal(await lists.get(path), null);
    const first = await lists.get(paths[0]!);
    const second = await lists.get(paths[1]!);
    assert.equal(await lists.get(paths[0]!), first);
    assert.notEqual(await lists.get(paths[2]!), null);
    assert.equal(lists.bytes, 2 * byteLength);
    assert.equal(await lists.get(paths[0]!), first, 'the one that was used last stays');
    assert.notEqual(await lists.get(paths[1]!), second);
    await writeExtents(paths[1]!, extents.slice(0, 1), 100);
    lists.forget(paths[1]!);
    assert.equal((await lists.get(paths[1]!))!.count, 1);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { crc32c, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import { releasePieces } from '../../native/pieces.ts';
import { silentLogger } from '../../util/logger.ts';
import { OpenFiles } from './open-files.ts';
import { PartitionPayloads } from './partition-payloads.ts';
import { TestFiles } from './testing.ts';

describe('pieces of extents', () => {
  let directory: string;
  let payloads: PartitionPayloads;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'pieces-'));
    payloads = make();
  });
  afterEach(async () => {
    await payloads.close();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  function make(): PartitionPayloads {
    const open = new OpenFiles(new TestFiles(), 4);
    return new PartitionPayloads(directory, open, { segmentBytes: 1 << 20 }, silentLogger);
  }

  it('are read and checked alone, before and after they are listed on disk; damage is found where it is', async () => {
    const bytes = Buffer.from(
      Uint8Array.from({ length: 3 * EXTENT_PIECE_BYTES + 5 }, (_, i) => (i * 7) & 255),
    );
    const piece = (first: number, end: number) =>
      bytes.subarray(first * EXTENT_PIECE_BYTES, end * EXTENT_PIECE_BYTES);
    const pieceCrcs = Uint32Array.from({ length: 4 }, (_, i) => crc32c(piece(i, i + 1)));
    const small = payloads.append(Buffer.from('before'));
    await small.written;
    small.commit(0n, 0n);
    const extent = payloads.append(bytes, false, pieceCrcs);
    await extent.written;
    extent.commit(1n, 1n);
    const { segmentId, position, length } = extent;
    const where = { segmentId, position, length };
    const stretch = (first: number, end: number) => ({ first, end });
    const check = async () => {
      const crcs = (await payloads.pieceCrcs(segmentId, position, length))!;
      assert.deepEqual(crcs, pieceCrcs);
      for (const [first, end] of [
        [0, 1],
        [1, 3],
        [2, 4],
        [0, 4],
      ] as const) {
        const [read] = await payloads.readPieces(where, crcs, [{ first, end }]);
        assert.ok(piece(first, end).equals(read!.bytes()));
        read!.memory.release();
      }
      assert.equal(await payloads.pieceCrcs(segmentId, position, length - 1), null);
      assert.equal(await payloads.pieceCrcs(segmentId, small.position, small.length), null);
      assert.equal(await payloads.pieceCrcs(segmentId + 1, position, length), null);
      return crcs;
    };
    await check();
    await payloads.flush();
    await payloads.close();
    payloads = make();
    await payloads.recover({
      logStartOffset: 0n,
      logEndOffset: 2n,
      recoveryPoint: null,
      references: () => assert.fail('a clean start reads neither payload nor log'),
      truncate: async () => undefined,
    });
    const crcs = await check();
    const path = join(directory, 'payload', `${'0'.repeat(20)}.payload`);
    const damaged = readFileSync(path);
    damaged[position + EXTENT_PIECE_BYTES + 3]! ^= 1;
    writeFileSync(path, damaged);
    await assert.rejects(payloads.readPieces(where, crcs, [stretch(2, 4), stretch(0, 2)]), {
      reason: 'damaged',
    });
    releasePieces(await payloads.readPieces(where, crcs, [stretch(2, 4), stretch(0, 1)]));
    truncateSync(path, position + 2 * EXTENT_PIECE_BYTES);
    await assert.rejects(payloads.readPieces(where, crcs, [stretch(2, 4)]), { reason: 'missing' });
  });
});

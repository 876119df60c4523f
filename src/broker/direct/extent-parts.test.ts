import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Stretch } from '../../backend/payload/checked-reads.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { Blocks } from '../../native/direct.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { bytesOf, ExtentParts, stretchesOf } from './extent-parts.ts';

const PIECES = 40;
const LENGTH = PIECES * EXTENT_PIECE_BYTES - 1000;

function holds({ first, end }: Stretch, from: number, to: number): boolean {
  return first * EXTENT_PIECE_BYTES <= from && to <= end * EXTENT_PIECE_BYTES;
}

function blockStarts({ offset, count, stride }: Blocks): number[] {
  return Array.from({ length: count }, (_, i) => offset + i * stride);
}

describe('parts of extents', () => {
  const range = fc
    .record({
      offset: fc.nat(LENGTH - 1),
      block: fc.integer({ min: 1, max: 50_000 }),
      count: fc.integer({ min: 1, max: 6 }),
      gap: fc.nat(200_000),
    })
    .map(({ gap, ...rest }) => ({ ...rest, stride: rest.block + gap }))
    .filter(({ offset, block, count, stride }) => offset + (count - 1) * stride + block <= LENGTH);
  const selection = fc.array(range, { minLength: 1, maxLength: 4 });

  it('hold all blocks, each in one of them, and not much else', () => {
    fc.assert(
      fc.property(selection, (blocks) => {
        const stretches = stretchesOf(blocks, LENGTH);
        if (stretches === null) return;
        for (const [i, { first, end }] of stretches.entries()) {
          assert.ok(first < end && end <= PIECES);
          if (i > 0) assert.ok(first > stretches[i - 1]!.end, 'they are apart, and in order');
        }
        for (const one of blocks)
          for (const at of blockStarts(one))
            assert.ok(
              stretches.some((stretch) => holds(stretch, at, at + one.block)),
              `${at}+${one.block}`,
            );
        assert.ok(bytesOf(stretches, LENGTH) <= LENGTH);
      }),
    );
  });

  it('are all of the extent where most of it, or too many parts of it, are wanted', () => {
    const one = (offset: number, block: number): Blocks => ({ offset, count: 1, block, stride: block });
    assert.deepEqual(stretchesOf([one(40_000, 10)], LENGTH), [{ first: 1, end: 2 }]);
    assert.equal(stretchesOf([one(0, LENGTH)], LENGTH), null);
    assert.equal(stretchesOf([], LENGTH), null);
    const sparse = { offset: 0, count: 1000, block: 1, stride: 10 * EXTENT_PIECE_BYTES };
    assert.equal(stretchesOf([sparse], 10_000 * EXTENT_PIECE_BYTES), null);
    const many = { ...sparse, count: 1_000_000 };
    assert.equal(stretchesOf([many], 10_000_000 * EXTENT_PIECE_BYTES), null);
  });

  it('give the same bytes as the whole', () => {
    const whole = NativeMemory.allocate(LENGTH)!;
    const bytes = whole.bytes();
    for (let i = 0; i < LENGTH; i++) bytes[i] = (i * 31 + (i >> 12)) & 0xff;
    fc.assert(
      fc.property(selection, (blocks) => {
        const stretches = stretchesOf(blocks, LENGTH) ?? [{ first: 0, end: PIECES }];
        const parts = new ExtentParts(
          LENGTH,
          stretches.map(({ first, end }) => {
            const start = first * EXTENT_PIECE_BYTES;
            const length = Math.min(end * EXTENT_PIECE_BYTES, LENGTH) - start;
            return { start, piece: new MemoryPiece(whole.slice(start, length)) };
          }),
        );
        const found: Uint8Array[] = [];
        for (const { piece, blocks: within, bytes: size } of parts.pick(0, blocks)) {
          const before = found.reduce((sum, { byteLength }) => sum + byteLength, 0);
          for (const one of within)
            for (const at of blockStarts(one)) found.push(piece.bytes().subarray(at, at + one.block));
          assert.equal(found.reduce((sum, { byteLength }) => sum + byteLength, 0) - before, size);
        }
        const expected = blocks.flatMap((one) =>
          blockStarts(one).map((at) => bytes.subarray(at, at + one.block)),
        );
        assert.ok(Buffer.concat(found).equals(Buffer.concat(expected)));
        parts.release();
      }),
      { numRuns: 50 },
    );
    whole.release();
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('are not taken for the whole', () => {
    const piece = new MemoryPiece(NativeMemory.allocate(EXTENT_PIECE_BYTES)!);
    const parts = new ExtentParts(LENGTH, [{ start: EXTENT_PIECE_BYTES, piece }]);
    assert.throws(() => parts.pick(0, [{ offset: 0, count: 1, block: 1, stride: 1 }]), RangeError);
    assert.throws(() => parts.takeWhole(), /only parts/);
    parts.release();
  });
});

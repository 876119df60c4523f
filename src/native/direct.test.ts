import assert from 'node:assert/strict';
import fc from 'fast-check';
import { NativeMemory } from './arena.ts';
import { crc32c } from './batch.ts';
import { type Move, moveBlocks, moveBlocksNow } from './direct.ts';

const BYTES = 100_000;

describe('moves of blocks', () => {
  let memory: NativeMemory;
  let target: NativeMemory;

  before(() => {
    memory = NativeMemory.allocate(BYTES)!;
    target = NativeMemory.allocate(BYTES)!;
    memory.bytes().set(Uint8Array.from({ length: BYTES }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
  });
  after(() => {
    memory.release();
    target.release();
  });

  const blocks = fc
    .record({
      offset: fc.nat(50_000),
      count: fc.integer({ min: 1, max: 20 }),
      block: fc.nat(2_000),
      gap: fc.nat(500),
    })
    .map(({ offset, count, block, gap }) => ({ offset, count, block, stride: block + gap }));

  it('are the same at once and on a worker thread, and those of plain slices', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(blocks, { minLength: 1, maxLength: 4 }), async (shapes) => {
        const expected = shapes.map(({ offset, count, block, stride }) =>
          Buffer.concat(
            Array.from({ length: count }, (_, i) =>
              memory.bytes().slice(offset + i * stride, offset + i * stride + block),
            ),
          ),
        );
        let to = 0;
        const moves: Move[] = [];
        const places: number[] = [];
        for (const [i, shape] of shapes.entries()) {
          if (to + expected[i]!.byteLength > BYTES) to = 0;
          moves.push({ kind: 'check', memory, blocks: [shape] });
          moves.push({ kind: 'gather', memory, blocks: [shape], target, targetOffset: to });
          places.push(to);
          to += expected[i]!.byteLength;
        }
        const sums = expected.flatMap((bytes) => Array(2).fill({ error: 0, crc: crc32c(bytes) }));
        for (const move of [moveBlocksNow, moveBlocks]) {
          target.bytes().fill(0);
          assert.deepEqual(await move(moves), sums);
          const last = expected.length - 1;
          const at = places[last]!;
          assert.deepEqual(
            Buffer.from(target.bytes().slice(at, at + expected[last]!.byteLength)),
            expected[last],
          );
        }
      }),
      { numRuns: 100 },
    );
  });

  it('are refused when a range lies outside its memory, and nothing has moved', () => {
    target.bytes().fill(0);
    const inside = [{ offset: 0, count: 1, block: 10, stride: 10 }];
    const outside = [{ offset: BYTES - 5, count: 1, block: 10, stride: 10 }];
    const gather = { kind: 'gather', memory, target, targetOffset: 0 } as const;
    assert.throws(
      () =>
        moveBlocksNow([
          { ...gather, blocks: inside },
          { ...gather, blocks: outside },
        ]),
      RangeError,
    );
    assert.ok(target.bytes().every((byte) => byte === 0));
  });
});

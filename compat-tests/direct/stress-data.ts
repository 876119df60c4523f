import type { Range, Selection } from '../../src/client/index.ts';

/** The same in every process. */
const pattern = Buffer.from(Array.from({ length: 65_537 }, (_, i) => (i * i * 31 + (i >> 3)) & 0xff));

/** Of events: with their metadata, or apart; in one piece, or copied by several threads. */
export const sizes = [100, 20_000, 300_000, 2_000_000, 6_000_001] as const;

/** `size` bytes that differ by `seed`. */
export function contentOf(size: number, seed: number): Buffer {
  return Buffer.alloc(size, pattern.subarray((seed * 101) % 60_000));
}

/** What a selection selects of `data`, by plain slices. */
export function dataAt(data: Buffer, selection: Selection): Buffer {
  if (selection === 'none') return Buffer.alloc(0);
  if (selection === 'all') return data;
  const ranges = (Array.isArray(selection) ? selection : [selection]) as readonly Range[];
  return Buffer.concat(
    ranges.flatMap(({ offset, length, count = 1, stride = length }) =>
      Array.from({ length: count }, (_, i) =>
        data.subarray(offset + i * stride, offset + i * stride + length),
      ),
    ),
  );
}

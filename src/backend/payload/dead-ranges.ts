import type { Extent } from './extents.ts';

/** Space is given back in blocks of so many bytes: those of most file systems. */
const BLOCK_BYTES = 4096;

/**
 * The whole blocks of a file of `bytes` of which no extent needs anything, as positions and lengths by turns, ascending. The last block of the
 * file need not be whole.
 */
export function deadRanges(live: readonly Extent[], bytes: number): Float64Array {
  const ranges: number[] = [];
  let at = 0;
  const add = (end: number) => {
    const first = Math.ceil(at / BLOCK_BYTES) * BLOCK_BYTES;
    const last = end === bytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES;
    if (last > first) ranges.push(first, last - first);
  };
  for (const { position, length } of [...live].sort((a, b) => a.position - b.position)) {
    if (position > at) add(position);
    at = Math.max(at, position + length);
  }
  if (at < bytes) add(bytes);
  return Float64Array.from(ranges);
}

/** Whether some of the range lies in one of `ranges`. */
export function overlaps(ranges: Float64Array, position: number, length: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  // The first that ends behind the position.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[2 * middle]! + ranges[2 * middle + 1]! <= position) low = middle + 1;
    else high = middle;
  }
  return low < ranges.length / 2 && ranges[2 * low]! < position + length;
}

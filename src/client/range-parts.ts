import type { Range } from './selection.ts';

/** Ranges that are asked for by themselves, and where the bytes that they select go in the target. */
export interface RangePart {
  readonly ranges: readonly Required<Range>[];
  readonly from: number;
  readonly bytes: number;
}

/** One stretch of data, in which blocks lie. */
interface OpenPart {
  readonly ranges: Required<Range>[];
  readonly from: number;
  bytes: number;
  blocks: number;
  first: number;
  end: number;
}

/**
 * Cuts ranges into parts, in their order, each of at most so many blocks and `spanBytes`, which lie in `spanBytes` of the data: what a gateway has to read for
 * one is not much more.
 */
export function partsOf(
  ranges: readonly Required<Range>[],
  spanBytes: number,
  maxBlocks: number,
): RangePart[] {
  const parts: OpenPart[] = [];
  let from = 0;
  for (const range of ranges) {
    for (const { offset, length, count, stride } of cut(range, spanBytes, maxBlocks)) {
      const end = offset + (count - 1) * stride + length;
      let part = parts[parts.length - 1];
      const fits =
        part !== undefined &&
        part.blocks + count <= maxBlocks &&
        part.bytes + count * length <= spanBytes &&
        Math.max(part.end, end) - Math.min(part.first, offset) <= spanBytes;
      if (part === undefined || !fits) {
        part = { ranges: [], from, bytes: 0, blocks: 0, first: offset, end };
        parts.push(part);
      }
      part.ranges.push({ offset, length, count, stride });
      part.bytes += count * length;
      part.blocks += count;
      part.first = Math.min(part.first, offset);
      part.end = Math.max(part.end, end);
      from += count * length;
    }
  }
  return parts;
}

/** One range as several, none of which is longer or has more blocks. */
function* cut(range: Required<Range>, spanBytes: number, maxBlocks: number): Generator<Required<Range>> {
  const { offset, length, count, stride } = range;
  if (length > spanBytes) {
    for (let i = 0; i < count; i++) {
      const at = offset + i * stride;
      for (let done = 0; done < length; done += spanBytes) {
        const bytes = Math.min(spanBytes, length - done);
        yield { offset: at + done, length: bytes, count: 1, stride: bytes };
      }
    }
    return;
  }
  const inSpan = stride === 0 ? count : Math.floor((spanBytes - length) / stride) + 1;
  const step = Math.min(inSpan, maxBlocks);
  for (let done = 0; done < count; done += step)
    yield { offset: offset + done * stride, length, count: Math.min(step, count - done), stride };
}

import { NativeMemory } from './arena.ts';
import { type FileSource, MemoryPiece } from './pieces.ts';

const PIECE_FIELDS = 4;
const RANGE_FIELDS = 4;
const RANGE_READ_FIELDS = PIECE_FIELDS + 1;

/** A range of a file. */
export interface ReadRange {
  readonly position: number;
  readonly length: number;
  /** What its CRC-32C continues from; null: none is computed. */
  readonly seed: number | null;
  /** What that is to be; null: not known. */
  readonly expected: number | null;
}

/** What was read of a range: less at the end of the file. The caller releases the memory. */
export interface RangeRead {
  readonly piece: MemoryPiece;
  readonly crc32c: number;
}

/** What native code reports of ranges that it has read: pieces with their CRCs, and the errors of those that it could not read. */
export type RangeReads = [flat: Float64Array, errors: (Error | undefined)[] | null];

/** Takes pieces that were found in memory, mostly few: an array for each time would cost more than finding them. */
export const foundPieces = new Float64Array(64 * PIECE_FIELDS);

/** Ranges as native code takes them. */
export function listedRanges(ranges: readonly ReadRange[]): Float64Array {
  const flat = new Float64Array(ranges.length * RANGE_FIELDS);
  let at = 0;
  for (const { position, length, seed, expected } of ranges) {
    flat[at++] = position;
    flat[at++] = length;
    flat[at++] = seed ?? -1;
    flat[at++] = expected ?? -1;
  }
  return flat;
}

/** What was read of each range, in their order, or why it could not be. */
export function rangesReadOf(
  [flat, errors]: RangeReads,
  file: FileSource,
  ranges: readonly ReadRange[],
): (RangeRead | Error)[] {
  return ranges.map(({ position }, i) => {
    const error = errors?.[i];
    if (error !== undefined) return error;
    const at = i * RANGE_READ_FIELDS;
    return { piece: pieceAt(flat, at, file, position), crc32c: flat[at + PIECE_FIELDS]! };
  });
}

function pieceAt(flat: Float64Array, at: number, file: FileSource, position: number): MemoryPiece {
  const length = flat[at + 3]!;
  const memory = NativeMemory.adopt(flat[at]!, flat[at + 1]!, length, flat[at + 2]!);
  return new MemoryPiece(memory, 0, length, { file, position });
}

/** The first `count` pieces of a file from `position` on, as native code lists them. */
export function piecesOf(
  flat: Float64Array,
  file: FileSource,
  position: number,
  count = flat.length / PIECE_FIELDS,
): MemoryPiece[] {
  const pieces: MemoryPiece[] = [];
  let next = position;
  for (let i = 0; i < count * PIECE_FIELDS; i += PIECE_FIELDS) {
    const piece = pieceAt(flat, i, file, next);
    pieces.push(piece);
    next += piece.byteLength;
  }
  return pieces;
}

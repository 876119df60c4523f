import { NativeMemory } from './arena.ts';
import { type FileSource, MemoryPiece } from './pieces.ts';

const PIECE_FIELDS = 4;

/** Takes pieces that were found in memory, mostly few: an array for each time would cost more than finding them. */
export const foundPieces = new Float64Array(64 * PIECE_FIELDS);

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
    const length = flat[i + 3]!;
    const memory = NativeMemory.adopt(flat[i]!, flat[i + 1]!, length, flat[i + 2]!);
    pieces.push(new MemoryPiece(memory, 0, length, { file, position: next }));
    next += length;
  }
  return pieces;
}

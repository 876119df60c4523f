import type { Stretch } from '../../backend/payload/checked-reads.ts';
import { EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { Blocks } from '../../native/direct.ts';
import type { MemoryPiece } from '../../native/pieces.ts';

/** Reading so many pieces that nobody wants is quicker than another read. */
const MAX_GAP_PIECES = 1;
/** More reads than this for one extent are not quicker than one of all of it. */
const MAX_STRETCHES = 32;
const MAX_TOUCHED = 4096;
/** Nor are reads of more than this share of it. */
const MAX_SHARE = 0.75;

/** Which pieces of an extent of `length` bytes hold the blocks; null when all of it is to be read. */
export function stretchesOf(blocks: readonly Blocks[], length: number): Stretch[] | null {
  const touched: Stretch[] = [];
  const touch = (from: number, to: number) =>
    touched.push({ first: Math.floor(from / EXTENT_PIECE_BYTES), end: Math.ceil(to / EXTENT_PIECE_BYTES) });
  for (const { offset, count, block, stride } of blocks) {
    if (block === 0 || count === 0) continue;
    const isDense = stride - block < 2 * EXTENT_PIECE_BYTES;
    const ranges = isDense ? 1 : count;
    if (touched.length + ranges > MAX_TOUCHED) return null;
    if (isDense) touch(offset, offset + (count - 1) * stride + block);
    else for (let i = 0; i < count; i++) touch(offset + i * stride, offset + i * stride + block);
  }
  const stretches: { first: number; end: number }[] = [];
  let pieces = 0;
  for (const { first, end } of touched.sort((a, b) => a.first - b.first)) {
    const last = stretches[stretches.length - 1];
    if (last === undefined || first > last.end + MAX_GAP_PIECES) {
      stretches.push({ first, end });
      pieces += end - first;
    } else if (end > last.end) {
      pieces += end - last.end;
      last.end = end;
    }
  }
  const isMost = pieces * EXTENT_PIECE_BYTES > length * MAX_SHARE;
  return isMost || stretches.length === 0 || stretches.length > MAX_STRETCHES ? null : stretches;
}

/** Bytes of stretches of an extent of `length` bytes. */
export function bytesOf(stretches: readonly Stretch[], length: number): number {
  let bytes = 0;
  for (const { first, end } of stretches)
    bytes += Math.min(end * EXTENT_PIECE_BYTES, length) - first * EXTENT_PIECE_BYTES;
  return bytes;
}

/** Blocks that lie in one part of an extent. */
export interface Picked {
  /** What they lie in. */
  readonly piece: MemoryPiece;
  /** Relative to the piece's memory. */
  readonly blocks: readonly Blocks[];
  readonly bytes: number;
}

/** What is in memory of an extent: all of it, or the parts that were read. */
export class ExtentParts {
  /** Of the extent. */
  readonly byteLength: number;
  readonly #parts: readonly { readonly start: number; readonly piece: MemoryPiece }[];

  /** Takes over the pieces; each begins `start` bytes behind the beginning of the extent, in order. */
  constructor(byteLength: number, parts: readonly { start: number; piece: MemoryPiece }[]) {
    this.byteLength = byteLength;
    this.#parts = parts;
  }

  /** Takes over the piece, which is all of an extent. */
  static whole(piece: MemoryPiece): ExtentParts {
    return new ExtentParts(piece.byteLength, [{ start: 0, piece }]);
  }

  /**
   * Blocks of a value that begins `valueOffset` bytes behind the beginning of the extent, in their order, neighbours in one part together. The
   * pieces stay this object's.
   * @throws RangeError when a block lies in no part
   */
  pick(valueOffset: number, blocks: readonly Blocks[]): Picked[] {
    const [first] = this.#parts;
    if (first?.piece.byteLength === this.byteLength) return pickOfWhole(first.piece, valueOffset, blocks);
    const picked: (Picked & { blocks: Blocks[]; bytes: number })[] = [];
    for (const { offset, count, block, stride } of blocks) {
      for (let done = 0; done < count && block > 0; ) {
        const at = valueOffset + offset + done * stride;
        const part = this.#parts.find(
          ({ start, piece }) => start <= at && at + block <= start + piece.byteLength,
        );
        if (part === undefined) throw new RangeError(`${block} bytes at ${at} are not in memory`);
        const { start, piece } = part;
        const room = start + piece.byteLength - at - block;
        const here = stride > 0 ? Math.min(count - done, Math.floor(room / stride) + 1) : count - done;
        let last = picked[picked.length - 1];
        if (last?.piece !== piece) {
          last = { piece, blocks: [], bytes: 0 };
          picked.push(last);
        }
        last.blocks.push({ offset: piece.offset + at - start, count: here, block, stride });
        last.bytes += here * block;
        done += here;
      }
    }
    return picked;
  }

  /** The one piece that is all of the extent, which is the caller's from now on. */
  takeWhole(): MemoryPiece {
    const [only] = this.#parts;
    if (this.#parts.length !== 1 || only!.piece.byteLength !== this.byteLength)
      throw new Error('only parts of the extent are in memory');
    return only!.piece;
  }

  release(): void {
    for (const { piece } of this.#parts) piece.memory.release();
  }
}

/** Where nothing has to be looked for. */
function pickOfWhole(piece: MemoryPiece, valueOffset: number, blocks: readonly Blocks[]): Picked[] {
  const picked: Blocks[] = [];
  let bytes = 0;
  for (const { offset, count, block, stride } of blocks) {
    if (block === 0 || count === 0) continue;
    const at = valueOffset + offset;
    if (at + (count - 1) * stride + block > piece.byteLength)
      throw new RangeError(`${block} bytes at ${at} are not in memory`);
    picked.push({ offset: piece.offset + at, count, block, stride });
    bytes += count * block;
  }
  return bytes > 0 ? [{ piece, blocks: picked, bytes }] : [];
}

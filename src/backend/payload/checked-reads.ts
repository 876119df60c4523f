import { crc32cJoin, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import { type MemoryPiece, releasePieces } from '../../native/pieces.ts';
import { isLackOfMemory } from './lack-of-memory.ts';
import type { PayloadSegment } from './segment.ts';
import { StoreError } from './stores/messages.ts';

/** `unreachable`: it was not looked at, for want of a store, a bucket, descriptors or rights; the same read is worth another try. */
export type PayloadErrorReason = 'missing' | 'damaged' | 'unreachable';

/** A file that fails with one of these is not there, or the disk does not give it; of stores and object stores only the first one says that. */
const NOT_THERE: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'EIO', 'EUCLEAN', 'EBADMSG']);

/** Whether the bytes were looked for. */
function isAnswer(error: Error & { code?: unknown }): boolean {
  if (error instanceof StoreError) return error.code === 'ENOENT';
  return typeof error.code !== 'string' || NOT_THERE.has(error.code);
}

/** The payload that a reference points to is not there, or is not what was produced. */
export class PayloadError extends Error {
  readonly reason: PayloadErrorReason;
  readonly segmentId: number;

  constructor(reason: PayloadErrorReason, segmentId: number, detail: string) {
    super(`Payload ${reason}: ${detail}`);
    this.reason = reason;
    this.segmentId = segmentId;
  }
}

/** A range of a segment, and what its CRC-32C, which continues from `seed`, has to be. */
export interface CheckedRange extends ReadRange {
  readonly seed: number;
  readonly expected: number;
}

/**
 * Reads ranges of a segment, and checks them.
 * @returns for each, in their order, a piece whose memory the caller releases, or a PayloadError if the bytes are not there or not what they
 *     should be, or an error of which `isLackOfMemory` is true
 */
export async function readChecked(
  segment: PayloadSegment,
  ranges: readonly CheckedRange[],
): Promise<(MemoryPiece | Error)[]> {
  const reads = await segment.read(ranges).catch((error: Error) => ranges.map(() => error));
  return ranges.map((range, i) => checked(segment, range, reads[i]!));
}

function checked(
  { id, path, outage }: PayloadSegment,
  { position, length, expected }: CheckedRange,
  read: RangeRead | Error,
): MemoryPiece | Error {
  if (read instanceof Error) {
    if (isLackOfMemory(read)) return read;
    const reason = isAnswer(read) ? 'missing' : 'unreachable';
    return new PayloadError(reason, id, outage ?? `${path}: ${String(read)}`);
  }
  const { piece, crc32c } = read;
  if (piece.byteLength === length && crc32c === expected) return piece;
  const short = piece.byteLength < length;
  piece.memory.release();
  return new PayloadError(short ? 'missing' : 'damaged', id, `${path} at ${position}, ${length} bytes`);
}

/** `PayloadFile.readRanges` where ranges are read one by one. */
export function readEach(
  ranges: readonly ReadRange[],
  read: (range: ReadRange) => Promise<RangeRead>,
): Promise<(RangeRead | Error)[]> {
  return Promise.all(ranges.map((range) => read(range).catch((error: Error) => error)));
}

/** Neighbouring pieces of EXTENT_PIECE_BYTES of an extent: those from `first` to `end` (exclusive). */
export interface Stretch {
  readonly first: number;
  readonly end: number;
}

/** A stretch of an extent, to be checked by the checksums of all its pieces. */
export function rangeOfPieces(
  extent: { position: number; length: number },
  crcs: Uint32Array,
  { first, end }: Stretch,
): CheckedRange {
  const start = first * EXTENT_PIECE_BYTES;
  const length = Math.min(end * EXTENT_PIECE_BYTES, extent.length) - start;
  let expected = 0;
  for (let i = first, left = length; i < end; i++, left -= EXTENT_PIECE_BYTES)
    expected = crc32cJoin(expected, crcs[i]!, Math.min(left, EXTENT_PIECE_BYTES));
  return { position: extent.position + start, length, seed: 0, expected };
}

/** Where the extent of a batch is, and what checks it together with the batch's header. */
export interface ExtentReference {
  readonly segmentId: number;
  readonly position: number;
  readonly length: number;
  /** CRC-32C of the original header from the attributes on. */
  readonly headerCrc: number;
  /** The original batch's CRC. */
  readonly batchCrc: number;
}

export function rangeOfExtent({ position, length, headerCrc, batchCrc }: ExtentReference): CheckedRange {
  return { position, length, seed: headerCrc, expected: batchCrc };
}

/** The pieces; when one could not be read, none is kept, and its error is thrown. */
export function allOrNone(reads: readonly (MemoryPiece | Error)[]): MemoryPiece[] {
  const failed = reads.find((read) => read instanceof Error);
  const pieces = reads.filter((read): read is MemoryPiece => !(read instanceof Error));
  if (failed === undefined) return pieces;
  releasePieces(pieces);
  throw failed;
}

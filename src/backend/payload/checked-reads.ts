import { crc32cJoin, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { isLackOfMemory } from './lack-of-memory.ts';
import type { PayloadSegment } from './segment.ts';

/** `unreachable`: it may be at a store, or in a bucket, that does not answer now; the same read is worth another try. */
export type PayloadErrorReason = 'missing' | 'damaged' | 'unreachable';

/** What reads fail with then: of a store, and of an object store that is away or refuses. */
const UNREACHABLE: ReadonlySet<unknown> = new Set(['EAGAIN', 'EHOSTDOWN', 'EREFUSED']);

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

/**
 * Reads a range of a segment, and checks its CRC-32C, which continues from `seed`.
 * @returns a piece whose memory the caller releases
 * @throws PayloadError if the bytes are not there or not what they should be
 */
export async function readChecked(
  segment: PayloadSegment,
  position: number,
  length: number,
  seed: number,
  expected: number,
): Promise<MemoryPiece> {
  const { id, path } = segment;
  const { piece, crc32c } = await segment.read(position, length, seed, expected).catch((error: unknown) => {
    if (isLackOfMemory(error)) throw error;
    const reason = UNREACHABLE.has((error as { code?: unknown }).code) ? 'unreachable' : 'missing';
    throw new PayloadError(reason, id, segment.outage ?? `${path}: ${String(error)}`);
  });
  if (piece.byteLength === length && crc32c === expected) return piece;
  const short = piece.byteLength < length;
  piece.memory.release();
  throw new PayloadError(short ? 'missing' : 'damaged', id, `${path} at ${position}, ${length} bytes`);
}

/** As `readChecked`, of pieces `first` to `end` (exclusive) of an extent, by the checksums of all its pieces. */
export function readCheckedPieces(
  segment: PayloadSegment,
  extent: { position: number; length: number },
  crcs: Uint32Array,
  first: number,
  end: number,
): Promise<MemoryPiece> {
  const start = first * EXTENT_PIECE_BYTES;
  const length = Math.min(end * EXTENT_PIECE_BYTES, extent.length) - start;
  let expected = 0;
  for (let i = first, left = length; i < end; i++, left -= EXTENT_PIECE_BYTES)
    expected = crc32cJoin(expected, crcs[i]!, Math.min(left, EXTENT_PIECE_BYTES));
  return readChecked(segment, extent.position + start, length, 0, expected);
}

import { isBytes, MemoryPiece, type Piece } from '../../native/pieces.ts';
import { ApiError } from '../../protocol/errors.ts';
import { Attribute, type BatchView, splitBatches } from '../../protocol/records/batch-header.ts';
import { decodePayloadReference } from '../../protocol/records/payload-reference.ts';
import { SIGNED_REFERENCE_SIZE } from '../../protocol/records/signed-reference.ts';
import { findReference } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';

/** Where extents in memory are found. */
type Extents = Pick<Partition['payloads'], 'find'>;

/**
 * The extents of the first reference batches of fetched records, as they were signed: while they are in memory, are not compressed, and take no more
 * than `maxBytes` in all. Whoever sends them releases them.
 */
export function extentsOf(payloads: Extents, records: readonly Piece[], maxBytes: number): MemoryPiece[] {
  const found: MemoryPiece[] = [];
  let room = maxBytes;
  for (const batch of referenceBatches(records)) {
    const extent = findExtent(payloads, batch, room);
    if (extent === null) break;
    found.push(extent);
    room -= extent.byteLength;
  }
  return found;
}

function* referenceBatches(records: readonly Piece[]): Generator<BatchView> {
  for (const piece of records) {
    // What is in a file may be references as well.
    if (!isBytes(piece)) return;
    // What is in native memory is plain.
    if (piece instanceof MemoryPiece) continue;
    for (const batch of splitBatches(piece)) if (batch.header.isReference) yield batch;
  }
}

/** Null: it has to be asked for. */
function findExtent(payloads: Extents, { bytes }: BatchView, maxBytes: number): MemoryPiece | null {
  const at = findReference(bytes, SIGNED_REFERENCE_SIZE);
  if (at < 0) return null;
  try {
    const { segmentId, extentPosition, extentLength, originalAttributes } = decodePayloadReference(
      bytes.subarray(at),
    );
    const isCompressed = (originalAttributes & Attribute.compressionMask) !== 0;
    if (isCompressed || extentLength > maxBytes) return null;
    return payloads.find(Number(segmentId), extentPosition, extentLength);
  } catch (error) {
    // Damaged: whoever asks for it is told.
    if (error instanceof ApiError) return null;
    throw error;
  }
}

import { isBytes, MemoryPiece, type Piece } from '../../native/pieces.ts';
import { Attribute, splitBatches } from '../../protocol/records/batch-header.ts';
import { decodePayloadReference } from '../../protocol/records/payload-reference.ts';
import { SIGNED_REFERENCE_SIZE } from '../../protocol/records/signed-reference.ts';
import { findReference } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';

/**
 * The extents of the first reference batches of fetched records, as they were signed: while they are in memory, are not compressed, and take no more
 * than `maxBytes` in all. Whoever sends them releases them.
 */
export function extentsOf(
  { payloads }: Partition,
  records: readonly Piece[],
  maxBytes: number,
): MemoryPiece[] {
  const extents: MemoryPiece[] = [];
  let room = maxBytes;
  for (const piece of records) {
    if (!isBytes(piece)) return extents;
    // What is in native memory is plain.
    if (piece instanceof MemoryPiece) continue;
    for (const { header, bytes } of splitBatches(piece)) {
      if (!header.isReference) continue;
      const at = findReference(bytes, SIGNED_REFERENCE_SIZE);
      if (at < 0) return extents;
      const reference = decodePayloadReference(bytes.subarray(at));
      const { segmentId, extentPosition, extentLength, originalAttributes } = reference;
      const isCompressed = (originalAttributes & Attribute.compressionMask) !== 0;
      const extent =
        isCompressed || extentLength > room
          ? null
          : payloads.find(Number(segmentId), extentPosition, extentLength);
      if (extent === null) return extents;
      extents.push(extent);
      room -= extentLength;
    }
  }
  return extents;
}

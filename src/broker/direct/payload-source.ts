import { isLackOfMemory } from '../../backend/payload/lack-of-memory.ts';
import { PayloadError } from '../../backend/payload/partition-payloads.ts';
import { NativeMemory } from '../../native/arena.ts';
import { recompressBatch } from '../../native/batch.ts';
import { Codec } from '../../native/codec.ts';
import { moveBlocks } from '../../native/direct.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { BATCH_HEADER_SIZE, BatchHeader, MAGIC } from '../../protocol/records/batch-header.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';

const COMPRESSION_MASK = 0x07;

/** Where the extents that references point into come from: this process's payload tier, or stores elsewhere. */
export interface PayloadSource {
  /** The records section of the batch that a reference belongs to, as it is, if it is in memory. The caller releases the piece. */
  find(signed: SignedReference): MemoryPiece | null;
  /**
   * The same from the device; whoever calls has made sure that there is room for it. The caller releases the piece.
   * @throws ApiError that says why it cannot be had
   */
  read(signed: SignedReference): Promise<MemoryPiece>;
}

/** The payload of the partitions that this broker serves. */
export class LocalPayloads implements PayloadSource {
  readonly #partitions: PartitionManager;

  constructor(partitions: PartitionManager) {
    this.#partitions = partitions;
  }

  find(signed: SignedReference): MemoryPiece | null {
    const { segmentId, extentPosition, extentLength } = signed.reference;
    return this.#partitionOf(signed).payloads.find(Number(segmentId), extentPosition, extentLength);
  }

  async read(signed: SignedReference): Promise<MemoryPiece> {
    const { reference, claim } = signed;
    const { segmentId, extentPosition, extentLength, originalCrc } = reference;
    const partition = this.#partitionOf(signed);
    try {
      return await partition.payloads.read(
        Number(segmentId),
        extentPosition,
        extentLength,
        claim.headerCrc,
        originalCrc,
      );
    } catch (error) {
      if (isLackOfMemory(error)) throw lackOfMemory();
      if (!(error instanceof PayloadError)) throw error;
      partition.reportPayloadError(claim.baseOffset, error);
      throw new ApiError(ErrorCode.KAFKA_STORAGE_ERROR, error.message);
    }
  }

  #partitionOf({ reference, claim }: SignedReference): Partition {
    const partition = this.#partitions.findById(claim.topicId, claim.partition);
    if (partition === null) {
      const code = this.#partitions.errorOfMissingById(claim.topicId, claim.partition);
      throw new ApiError(code as ErrorCode, 'The topic of the reference is gone');
    }
    if (claim.baseOffset + BigInt(reference.recordIndex) < partition.logStartOffset)
      throw new ApiError(ErrorCode.OFFSET_OUT_OF_RANGE, 'The record has been deleted');
    return partition;
  }
}

/** Bytes of native memory that `uncompressed` takes for an extent at most; 0 when there is nothing to expand. */
export function expansionBytes({ reference }: SignedReference): number {
  if ((reference.originalAttributes & COMPRESSION_MASK) === Codec.NONE) return 0;
  return 2 * BATCH_HEADER_SIZE + reference.extentLength + reference.uncompressedLength;
}

/** An extent without compression; takes over the piece. Whoever calls has made sure that there is room, see `expansionBytes`. */
export async function uncompressed(
  extent: MemoryPiece,
  { reference }: SignedReference,
): Promise<MemoryPiece> {
  if ((reference.originalAttributes & COMPRESSION_MASK) === Codec.NONE) return extent;
  const whole = NativeMemory.allocate(BATCH_HEADER_SIZE + extent.byteLength);
  if (whole === null) {
    extent.memory.release();
    throw lackOfMemory();
  }
  try {
    const header = new BatchHeader(whole.bytes());
    header.magic = MAGIC;
    header.attributes = reference.originalAttributes;
    const { byteLength: block } = extent;
    const from = extent.memory.slice(extent.offset, block);
    try {
      const blocks = [{ offset: 0, count: 1, block, stride: block }];
      const target = { target: whole, targetOffset: BATCH_HEADER_SIZE };
      await moveBlocks([{ kind: 'gather', memory: from, blocks, checksum: false, ...target }]);
    } finally {
      from.release();
    }
    const plain = await recompressBatch(new MemoryPiece(whole), Codec.NONE, reference.uncompressedLength);
    return sectionOf(plain);
  } finally {
    whole.release();
    extent.memory.release();
  }
}

/** What follows the header, in native memory. */
function sectionOf(batch: Uint8Array | MemoryPiece): MemoryPiece {
  if (batch instanceof MemoryPiece)
    return new MemoryPiece(
      batch.memory,
      batch.offset + BATCH_HEADER_SIZE,
      batch.byteLength - BATCH_HEADER_SIZE,
    );
  const memory = NativeMemory.allocate(batch.byteLength);
  if (memory === null) throw lackOfMemory();
  memory.bytes().set(batch);
  return new MemoryPiece(memory, BATCH_HEADER_SIZE);
}

/** The client may try again. */
export function lackOfMemory(): ApiError {
  return new ApiError(ErrorCode.REQUEST_TIMED_OUT, 'The gateway is short of memory; try again');
}

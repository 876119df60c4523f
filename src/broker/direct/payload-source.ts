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
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';

const COMPRESSION_MASK = 0x07;

/** Where the extents that references point into come from: this process's payload tier, or stores elsewhere. */
export interface PayloadSource {
  /**
   * The records section of the batch that a reference belongs to, without compression. The caller releases the piece.
   * @throws ApiError that says why it cannot be had
   */
  open(signed: SignedReference): Promise<MemoryPiece>;
}

/** The payload of the partitions that this broker serves. */
export class LocalPayloads implements PayloadSource {
  readonly #partitions: PartitionManager;
  readonly #memory: MemoryBudget;

  constructor(partitions: PartitionManager, memory: MemoryBudget) {
    this.#partitions = partitions;
    this.#memory = memory;
  }

  async open(signed: SignedReference): Promise<MemoryPiece> {
    const { reference, claim } = signed;
    const partition = this.#partitions.findById(claim.topicId, claim.partition);
    if (partition === null) {
      const code = this.#partitions.errorOfMissingById(claim.topicId, claim.partition);
      throw new ApiError(code as ErrorCode, 'The topic of the reference is gone');
    }
    if (claim.baseOffset + BigInt(reference.recordIndex) < partition.logStartOffset)
      throw new ApiError(ErrorCode.OFFSET_OUT_OF_RANGE, 'The record has been deleted');
    const segment = Number(reference.segmentId);
    const { extentPosition, extentLength } = reference;
    const extent =
      partition.payloads.find(segment, extentPosition, extentLength) ?? (await this.#read(partition, signed));
    const codec = reference.originalAttributes & COMPRESSION_MASK;
    return codec === Codec.NONE ? extent : this.#decompress(extent, signed);
  }

  async #read(partition: Partition, { reference, claim }: SignedReference): Promise<MemoryPiece> {
    const { segmentId, extentPosition, extentLength, originalCrc } = reference;
    const room = this.#memory.acquire(extentLength);
    if (room !== undefined) await room;
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
    } finally {
      this.#memory.taken(extentLength);
    }
  }

  /** Releases the extent. */
  async #decompress(extent: MemoryPiece, { reference }: SignedReference): Promise<MemoryPiece> {
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
        await moveBlocks([{ kind: 'gather', memory: from, blocks, ...target }]);
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

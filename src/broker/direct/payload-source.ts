import { PayloadError, type Stretch } from '../../backend/payload/checked-reads.ts';
import { isLackOfMemory } from '../../backend/payload/lack-of-memory.ts';
import { NativeMemory } from '../../native/arena.ts';
import { EXTENT_PIECE_BYTES, recompressBatch } from '../../native/batch.ts';
import { Codec } from '../../native/codec.ts';
import { type Blocks, moveBlocks } from '../../native/direct.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { BATCH_HEADER_SIZE, BatchHeader, MAGIC } from '../../protocol/records/batch-header.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { bytesOf, ExtentParts, stretchesOf } from './extent-parts.ts';
import { isLive } from './live-references.ts';

const COMPRESSION_MASK = 0x07;

/** Where the extents that references point into come from: this process's payload tier, or stores elsewhere. */
export interface PayloadSource {
  /** The records section of the batch that a reference belongs to, as it is, if it is in memory. The caller releases the piece. */
  find(signed: SignedReference): MemoryPiece | null;
  /** As much of it as parts of values need, if that is in memory. The caller releases it. */
  findParts(signed: SignedReference, parts: readonly PartOfValue[]): ExtentParts | null;
  /**
   * The same from the device; whoever calls has made sure that there is room for it. The caller releases the piece.
   * @throws ApiError that says why it cannot be had
   */
  read(signed: SignedReference): Promise<MemoryPiece>;
  /** How parts of an extent that is not in memory are read: those alone where they can be checked so, else all of it. */
  plan(signed: SignedReference, parts: readonly PartOfValue[]): Promise<ReadPlan>;
}

/** Blocks of a value of an extent. */
export interface PartOfValue {
  readonly valueOffset: number;
  readonly blocks: readonly Blocks[];
}

export interface ReadPlan {
  /** That are read. */
  readonly bytes: number;
  /**
   * Whoever calls has made sure that there is room for it, and releases the result.
   * @throws ApiError that says why it cannot be had
   */
  read(): Promise<ExtentParts>;
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

  findParts(signed: SignedReference, parts: readonly PartOfValue[]): ExtentParts | null {
    const whole = this.find(signed);
    if (whole !== null) return ExtentParts.whole(whole);
    const stretches = stretchesFor(signed, parts);
    if (stretches === null) return null;
    const { segmentId, extentPosition, extentLength } = signed.reference;
    const { payloads } = this.#partitionOf(signed);
    const found: { start: number; piece: MemoryPiece }[] = [];
    for (const one of stretches) {
      const start = one.first * EXTENT_PIECE_BYTES;
      const bytes = bytesOf([one], extentLength);
      const piece = payloads.find(Number(segmentId), extentPosition + start, bytes);
      if (piece === null) {
        for (const { piece: unused } of found) unused.memory.release();
        return null;
      }
      found.push({ start, piece });
    }
    return new ExtentParts(extentLength, found);
  }

  async read(signed: SignedReference): Promise<MemoryPiece> {
    const { reference, claim } = signed;
    const extent = {
      segmentId: Number(reference.segmentId),
      position: reference.extentPosition,
      length: reference.extentLength,
      headerCrc: claim.headerCrc,
      batchCrc: reference.originalCrc,
    };
    return this.#reading(signed, ({ payloads }) => payloads.read(extent));
  }

  async plan(signed: SignedReference, parts: readonly PartOfValue[]): Promise<ReadPlan> {
    const { segmentId, extentPosition: position, extentLength: length } = signed.reference;
    const extent = { segmentId: Number(segmentId), position, length };
    const stretches = stretchesFor(signed, parts);
    const crcs = stretches && (await this.#pieceCrcs(signed, extent));
    if (crcs === null) return { bytes: length, read: async () => ExtentParts.whole(await this.read(signed)) };
    return {
      bytes: bytesOf(stretches!, length),
      read: () =>
        this.#reading(signed, async ({ payloads }) => {
          const pieces = await payloads.readPieces(extent, crcs, stretches!);
          const read = pieces.map((piece, i) => ({
            start: stretches![i]!.first * EXTENT_PIECE_BYTES,
            piece,
          }));
          return new ExtentParts(length, read);
        }),
    };
  }

  /** Null when they are not known; an error is found again by who reads. */
  async #pieceCrcs(
    signed: SignedReference,
    { segmentId, position, length }: { segmentId: number; position: number; length: number },
  ): Promise<Uint32Array | null> {
    try {
      return await this.#partitionOf(signed).payloads.pieceCrcs(segmentId, position, length);
    } catch (error) {
      if (error instanceof ApiError) return null;
      throw error;
    }
  }

  async #reading<T>(signed: SignedReference, read: (partition: Partition) => Promise<T>): Promise<T> {
    const partition = this.#partitionOf(signed);
    try {
      return await read(partition);
    } catch (error) {
      if (isLackOfMemory(error)) throw lackOfMemory();
      if (!(error instanceof PayloadError)) throw error;
      // It may have gone meanwhile.
      this.#partitionOf(signed);
      if (error.reason === 'missing' && !(await isLive(partition, signed))) throw deleted();
      partition.reportPayloadError(signed.claim.baseOffset, error);
      throw new ApiError(ErrorCode.KAFKA_STORAGE_ERROR, error.message);
    }
  }

  #partitionOf({ reference, claim }: SignedReference): Partition {
    const partition = this.#partitions.findById(claim.topicId, claim.partition);
    if (partition === null) {
      const code = this.#partitions.errorOfMissingById(claim.topicId, claim.partition);
      throw new ApiError(code as ErrorCode, 'The topic of the reference is gone');
    }
    if (claim.baseOffset + BigInt(reference.recordIndex) < partition.logStartOffset) throw deleted();
    return partition;
  }
}

function deleted(): ApiError {
  return new ApiError(ErrorCode.OFFSET_OUT_OF_RANGE, 'The record has been deleted');
}

/** What has to be read for parts of values; null: all of the extent. */
function stretchesFor(signed: SignedReference, parts: readonly PartOfValue[]): Stretch[] | null {
  const { extentLength } = signed.reference;
  const wanted = isCompressed(signed) ? null : stretchesOf(parts.flatMap(blocksInExtent), extentLength);
  // What lies outside is refused by who uses it.
  const isInside = (wanted?.at(-1)?.end ?? 0) <= Math.ceil(extentLength / EXTENT_PIECE_BYTES);
  return isInside ? wanted : null;
}

function blocksInExtent({ valueOffset, blocks }: PartOfValue): Blocks[] {
  return blocks.map((one) => ({ ...one, offset: valueOffset + one.offset }));
}

function isCompressed({ reference }: SignedReference): boolean {
  return (reference.originalAttributes & COMPRESSION_MASK) !== Codec.NONE;
}

/** Bytes of native memory that `uncompressed` takes for an extent at most; 0 when there is nothing to expand. */
export function expansionBytes(signed: SignedReference): number {
  if (!isCompressed(signed)) return 0;
  const { reference } = signed;
  return 2 * BATCH_HEADER_SIZE + reference.extentLength + reference.uncompressedLength;
}

/** An extent without compression; takes over the piece. Whoever calls has made sure that there is room, see `expansionBytes`. */
export async function uncompressed(extent: MemoryPiece, signed: SignedReference): Promise<MemoryPiece> {
  if (!isCompressed(signed)) return extent;
  const { reference } = signed;
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

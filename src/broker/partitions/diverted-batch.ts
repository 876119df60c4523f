import type { BatchDescriptor } from '../../backend/log/log-reader.ts';
import type { Reference } from '../../backend/payload/payload-recovery.ts';
import { crc32c, restoredBytes } from '../../native/batch.ts';
import { isBytes, MemoryPiece, releasePieces } from '../../native/pieces.ts';
import { BATCH_HEADER_SIZE, HeaderField } from '../../protocol/records/batch-header.ts';
import {
  decodePayloadReference,
  PAYLOAD_REFERENCE_SIZE,
  restoreBatchHeader,
} from '../../protocol/records/payload-reference.ts';

/** The attribute of a batch whose values are payload references. */
export const REFERENCE_ATTRIBUTE = 0x4000;

const REFERENCE_MARK = 0x4b465052; // 'KFPR'
/** The part of a batch that its CRC covers begins here. */
const CRC_COVERS_FROM = 21;

/** Neighbouring reference batches are read together, up to so many bytes. */
const RUN_MAX_BYTES = 262_144;

/** What compaction has left of a batch is made anew up to this size, uncompressed; a larger batch goes out as it was produced. */
const RESTORED_MAX_BYTES = 64 << 20;

/** Batches that RecentlyDiverted keeps, some 500 bytes each. */
const RECENT_MAX = 64;

/** A batch whose records lie in the payload tier, as it was produced. */
export interface DivertedBatch extends Reference {
  /** The original header, with the offset and leader epoch that the broker assigned. */
  header: Uint8Array;
  /** Of the batch as it goes out. */
  sizeBytes: number;
  /** The reference batch, when compaction has removed some of its records: what goes out is made of the rest. */
  partial: Uint8Array | null;
}

/** The newest diverted batches of a partition: consumers at its end need not read their references. */
export class RecentlyDiverted {
  /** By base offset; a reference batch as the log got it is read when somebody asks. Null: none was diverted. */
  #batches: Map<bigint, DivertedBatch | Uint8Array> | null = null;

  /** `reference` must not change any more. */
  add(baseOffset: bigint, reference: Uint8Array): void {
    this.#batches ??= new Map();
    this.#batches.set(baseOffset, reference);
    if (this.#batches.size <= RECENT_MAX) return;
    const [oldest] = this.#batches.keys();
    this.#batches.delete(oldest!);
  }

  /** What was added is no longer what the log has. */
  clear(): void {
    this.#batches = null;
  }

  get(baseOffset: bigint): DivertedBatch | undefined {
    const found = this.#batches?.get(baseOffset);
    if (!(found instanceof Uint8Array)) return found;
    const batch = readDivertedBatch(found) ?? undefined;
    if (batch !== undefined) this.#batches?.set(baseOffset, batch);
    return batch;
  }
}

/**
 * What a reference batch stands for.
 * @param bytes the reference batch
 * @returns null if none of its records has a payload reference
 * @throws ApiError KAFKA_STORAGE_ERROR if its reference is damaged
 */
function readDivertedBatch(bytes: Uint8Array): DivertedBatch | null {
  const at = findReference(bytes);
  if (at < 0) return null;
  const reference = decodePayloadReference(bytes.subarray(at, at + PAYLOAD_REFERENCE_SIZE));
  const header = restoreBatchHeader(bytes, reference);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const baseOffset = view.getBigInt64(0);
  const restored =
    view.getInt32(HeaderField.recordCount) < reference.originalRecordCount ? restoredBytes(bytes) : 0;
  const isPartial = restored > 0 && restored <= RESTORED_MAX_BYTES;
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(view.getInt32(23)),
    segmentId: Number(reference.segmentId),
    position: reference.extentPosition,
    length: reference.extentLength,
    batchCrc: reference.originalCrc,
    headerCrc: crc32c(header.subarray(CRC_COVERS_FROM)),
    header,
    sizeBytes: isPartial ? restored : BATCH_HEADER_SIZE + reference.extentLength,
    partial: isPartial ? Uint8Array.from(bytes) : null,
  };
}

/**
 * Where the first payload reference of a reference batch is; -1 if there is none.
 * @param referenceBytes of a value that is one: with what direct clients get behind it
 */
export function findReference(bytes: Uint8Array, referenceBytes = PAYLOAD_REFERENCE_SIZE): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cursor = { at: BATCH_HEADER_SIZE };
  while (cursor.at < bytes.byteLength) {
    const size = readVarint(bytes, cursor);
    const end = cursor.at + size;
    if (size <= 0 || end > bytes.byteLength) return -1;
    cursor.at++; // attributes
    readVarint(bytes, cursor); // timestamp delta, whose value is not needed
    readVarint(bytes, cursor);
    const keyLength = readVarint(bytes, cursor);
    cursor.at += Math.max(0, keyLength);
    const valueLength = readVarint(bytes, cursor);
    const { at } = cursor;
    if (valueLength === referenceBytes && at + referenceBytes <= end && view.getUint32(at) === REFERENCE_MARK)
      return at;
    cursor.at = end;
  }
  return -1;
}

/** Reads a zig-zag varint; of one longer than 32 bits only the low bits. */
function readVarint(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = bytes[cursor.at++] ?? 0;
    if (shift < 32) value |= (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) break;
  }
  return (value >>> 1) ^ -(value & 1);
}

/**
 * Reads reference batches of the log, neighbours together. Those without a reference are missing in the result, and so are those behind the
 * one with which `enoughBytes` of them as they go out are there.
 */
export async function readDivertedBatches(
  batches: readonly BatchDescriptor[],
  enoughBytes = Number.POSITIVE_INFINITY,
): Promise<Map<bigint, DivertedBatch>> {
  const found = new DivertedBatches(enoughBytes);
  for (let from = 0; from < batches.length && !found.isEnough; ) {
    const to = endOfRun(batches, from);
    const first = batches[from]!;
    const memory = await first.file.read(first.position, bytesOfRun(batches, from, to));
    try {
      found.addRun(batches.slice(from, to), memory.bytes());
    } finally {
      memory.release();
    }
    from = to;
  }
  return found.byBaseOffset;
}

/** As `readDivertedBatches`, of what is in memory; null when some of it is not. */
export function findDivertedBatches(
  batches: readonly BatchDescriptor[],
  enoughBytes: number,
): Map<bigint, DivertedBatch> | null {
  const found = new DivertedBatches(enoughBytes);
  for (let from = 0; from < batches.length && !found.isEnough; ) {
    const to = endOfRun(batches, from);
    const first = batches[from]!;
    const pieces = first.file.find(first.position, bytesOfRun(batches, from, to));
    if (pieces === null) return null;
    try {
      if (!pieces.every(isBytes)) return null;
      const parts = pieces.map((piece) => (piece instanceof MemoryPiece ? piece.bytes() : piece));
      found.addRun(batches.slice(from, to), parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    } finally {
      releasePieces(pieces);
    }
    from = to;
  }
  return found.byBaseOffset;
}

/** Diverted batches, collected until there are enough. */
class DivertedBatches {
  readonly byBaseOffset = new Map<bigint, DivertedBatch>();
  #missingBytes: number;

  constructor(enoughBytes: number) {
    this.#missingBytes = enoughBytes;
  }

  get isEnough(): boolean {
    return this.byBaseOffset.size > 0 && this.#missingBytes <= 0;
  }

  /** `bytes`: those of the batches, which lie behind each other. */
  addRun(batches: readonly BatchDescriptor[], bytes: Uint8Array): void {
    for (const { baseOffset, position, sizeBytes } of batches) {
      if (this.isEnough) return;
      const start = position - batches[0]!.position;
      const diverted = readDivertedBatch(bytes.subarray(start, start + sizeBytes));
      if (diverted === null) continue;
      this.byBaseOffset.set(baseOffset, diverted);
      this.#missingBytes -= diverted.sizeBytes;
    }
  }
}

function bytesOfRun(batches: readonly BatchDescriptor[], from: number, to: number): number {
  const last = batches[to - 1]!;
  return last.position + last.sizeBytes - batches[from]!.position;
}

/** Where the run of batches that lie behind each other in one file ends. */
function endOfRun(batches: readonly BatchDescriptor[], from: number): number {
  const first = batches[from]!;
  let to = from + 1;
  for (; to < batches.length; to++) {
    const previous = batches[to - 1]!;
    const next = batches[to]!;
    if (next.file !== first.file || next.position !== previous.position + previous.sizeBytes) break;
    if (next.position + next.sizeBytes - first.position > RUN_MAX_BYTES) break;
  }
  return to;
}

import { ApiError, ErrorCode } from '../errors.ts';
import { BATCH_HEADER_SIZE, BatchHeader, LOG_OVERHEAD } from './batch-header.ts';

/** Bytes of an encoded payload reference. */
export const PAYLOAD_REFERENCE_SIZE = 64;

const MARK = 0x4b465052; // 'KFPR'
const VERSION = 1;

/**
 * The value of a record in a reference batch: where in the payload tier the producer's bytes are. All records of a batch point into
 * one extent, the batch's records section exactly as produced.
 */
export interface PayloadReference {
  /** Reserved for later formats; 0. */
  flags: number;
  /** Attributes of the batch as it was produced. */
  originalAttributes: number;
  /** CRC-32C of the batch as it was produced. */
  originalCrc: number;
  storeId: number;
  segmentId: bigint;
  /** Position of the extent in its segment, bytes. */
  extentPosition: number;
  /** Bytes of the extent, compressed if the batch was. */
  extentLength: number;
  /** Position of this record's value in the uncompressed extent. */
  valueOffset: number;
  valueLength: number;
  /** CRC-32C of the value. */
  valueCrc: number;
  /** Records in the batch as it was produced; compaction may have left fewer. */
  originalRecordCount: number;
  /** This record's place among them, from 0. */
  recordIndex: number;
  /** Bytes of the extent when uncompressed. */
  uncompressedLength: number;
}

export function encodePayloadReference(reference: PayloadReference): Uint8Array {
  const bytes = new Uint8Array(PAYLOAD_REFERENCE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MARK);
  view.setUint8(4, VERSION);
  view.setUint8(5, reference.flags);
  view.setInt16(6, reference.originalAttributes);
  view.setUint32(8, reference.originalCrc);
  view.setUint32(12, reference.storeId);
  view.setBigUint64(16, reference.segmentId);
  view.setBigUint64(24, BigInt(reference.extentPosition));
  view.setUint32(32, reference.extentLength);
  view.setUint32(36, reference.valueOffset);
  view.setUint32(40, reference.valueLength);
  view.setUint32(44, reference.valueCrc);
  view.setUint32(48, reference.originalRecordCount);
  view.setUint32(52, reference.recordIndex);
  view.setUint32(56, reference.uncompressedLength);
  return bytes;
}

/**
 * Decodes the reference at the beginning of `bytes`.
 * @throws ApiError KAFKA_STORAGE_ERROR if the bytes are no payload reference, or one that contradicts itself
 */
export function decodePayloadReference(bytes: Uint8Array): PayloadReference {
  if (bytes.byteLength < PAYLOAD_REFERENCE_SIZE) throw damaged(`${bytes.byteLength} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, PAYLOAD_REFERENCE_SIZE);
  if (view.getUint32(0) !== MARK) throw damaged('wrong mark');
  if (view.getUint8(4) !== VERSION) throw damaged(`version ${view.getUint8(4)}`);
  const extentPosition = view.getUint32(24) * 2 ** 32 + view.getUint32(28);
  if (!Number.isSafeInteger(extentPosition)) throw damaged(`extent position ${extentPosition}`);
  return checked({
    flags: view.getUint8(5),
    originalAttributes: view.getInt16(6),
    originalCrc: view.getUint32(8),
    storeId: view.getUint32(12),
    segmentId: view.getBigUint64(16),
    extentPosition,
    extentLength: view.getUint32(32),
    valueOffset: view.getUint32(36),
    valueLength: view.getUint32(40),
    valueCrc: view.getUint32(44),
    originalRecordCount: view.getUint32(48),
    recordIndex: view.getUint32(52),
    uncompressedLength: view.getUint32(56),
  });
}

/** Where the offset, length and CRC-32C of the value are in a reference, and the record's index: all in which references of one batch differ. */
const VALUE_AT = 36;
const INDEX_AT = 52;
const VALUE_BYTES = 12;
/** Bytes of what references of one batch differ in, by itself. */
export const OF_SAME_BATCH_SIZE = 16;

/** Copies that from the reference that begins at `from` to `at` of another array. */
export function copyOfSameBatch(bytes: Uint8Array, from: number, to: Uint8Array, at: number): void {
  for (let i = 0; i < VALUE_BYTES; i++) to[at + i] = bytes[from + VALUE_AT + i]!;
  for (let i = 0; i < OF_SAME_BATCH_SIZE - VALUE_BYTES; i++)
    to[at + VALUE_BYTES + i] = bytes[from + INDEX_AT + i]!;
}

/**
 * As `decodePayloadReference`, for one that differs from another of its batch in nothing but its value: from all of it, or from what `copyOfSameBatch`
 * has copied.
 */
export function decodeOfSameBatch(bytes: Uint8Array, other: PayloadReference): PayloadReference {
  const isAll = bytes.byteLength !== OF_SAME_BATCH_SIZE;
  const valueAt = isAll ? VALUE_AT : 0;
  const indexAt = isAll ? INDEX_AT : VALUE_BYTES;
  return checked({
    flags: other.flags,
    originalAttributes: other.originalAttributes,
    originalCrc: other.originalCrc,
    storeId: other.storeId,
    segmentId: other.segmentId,
    extentPosition: other.extentPosition,
    extentLength: other.extentLength,
    valueOffset: uint32At(bytes, valueAt),
    valueLength: uint32At(bytes, valueAt + 4),
    valueCrc: uint32At(bytes, valueAt + 8),
    originalRecordCount: other.originalRecordCount,
    recordIndex: uint32At(bytes, indexAt),
    uncompressedLength: other.uncompressedLength,
  });
}

/** Cheaper than a view for a few of them. */
function uint32At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function checked(reference: PayloadReference): PayloadReference {
  if (reference.valueOffset + reference.valueLength > reference.uncompressedLength) {
    throw damaged('the value lies outside the extent');
  }
  if (reference.recordIndex >= reference.originalRecordCount)
    throw damaged('the record lies outside the batch');
  return reference;
}

/**
 * Place in the extent, length and CRC-32C of the value that a reference, which may have a claim behind it, points to: all that a client needs to know of it. It begins at `at`.
 * @throws ApiError KAFKA_STORAGE_ERROR if the bytes are no payload reference
 */
export function referencedValue(bytes: Uint8Array, at = 0): { offset: number; length: number; crc: number } {
  const left = bytes.byteLength - at;
  if (left < PAYLOAD_REFERENCE_SIZE) throw damaged(`${left} bytes`);
  if (uint32At(bytes, at) !== MARK) throw damaged('wrong mark');
  return {
    offset: uint32At(bytes, at + VALUE_AT),
    length: uint32At(bytes, at + VALUE_AT + 4),
    crc: uint32At(bytes, at + VALUE_AT + 8),
  };
}

/**
 * The header of the batch as it was produced, from that of the reference batch: attributes, CRC and length are put back. Base offset
 * and leader epoch are those of the log. The extent follows it on the wire.
 */
export function restoreBatchHeader(referenceBatch: Uint8Array, reference: PayloadReference): Uint8Array {
  const bytes = new Uint8Array(referenceBatch.subarray(0, BATCH_HEADER_SIZE));
  const header = new BatchHeader(bytes);
  header.batchLength = BATCH_HEADER_SIZE - LOG_OVERHEAD + reference.extentLength;
  header.attributes = reference.originalAttributes;
  header.crc = reference.originalCrc;
  header.recordCount = reference.originalRecordCount;
  return bytes;
}

function damaged(what: string): ApiError {
  return new ApiError(ErrorCode.KAFKA_STORAGE_ERROR, `Damaged payload reference: ${what}`);
}

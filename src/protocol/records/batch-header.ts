import { ApiError, ErrorCode } from '../errors.ts';

/** Bytes of a magic 2 batch before its first record. */
export const BATCH_HEADER_SIZE = 61;

/** Bytes before those that the batch length counts: base offset and the length itself. */
export const LOG_OVERHEAD = 12;

/** The CRC covers everything from the attributes to the end. */
export const CRC_COVERS_FROM = 21;

export const MAGIC = 2;

export const NO_PRODUCER_ID = -1n;
export const NO_PRODUCER_EPOCH = -1;
export const NO_SEQUENCE = -1;
export const NO_TIMESTAMP = -1n;
export const NO_PARTITION_LEADER_EPOCH = -1;

/** Kafka's compression codecs, as in the attributes. */
export const Compression = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;

/** Bits of a batch's attributes. */
export const Attribute = {
  compressionMask: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  control: 0x20,
  /** The base timestamp is the time at which the batch's tombstones may be dropped (KIP-534). */
  deleteHorizon: 0x40,
  /** Kafabric's own: a reference batch, whose values are payload references. No plain client may produce it. */
  reference: 0x4000,
} as const;

/** Where the fields of the header lie. */
export const HeaderField = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

/**
 * The header of a magic 2 batch, read and changed in place. A change of what the CRC covers (everything but base offset, length
 * and leader epoch) needs a new CRC.
 */
export class BatchHeader {
  readonly #view: DataView;
  readonly #at: number;

  /**
   * `bytes` holds at least the 61 header bytes from `offset` on.
   * @param view all of `bytes`, where there is one: it costs more than a header
   */
  constructor(bytes: Uint8Array, offset = 0, view = viewOf(bytes)) {
    this.#view = view;
    this.#at = offset;
  }

  get baseOffset(): bigint {
    return this.#view.getBigInt64(this.#at + HeaderField.baseOffset);
  }
  set baseOffset(value: bigint) {
    this.#view.setBigInt64(this.#at + HeaderField.baseOffset, value);
  }

  /** Bytes after this field: the whole batch less 12. */
  get batchLength(): number {
    return this.#view.getInt32(this.#at + HeaderField.batchLength);
  }
  set batchLength(value: number) {
    this.#view.setInt32(this.#at + HeaderField.batchLength, value);
  }

  /** Bytes of the whole batch, header included. */
  get sizeInBytes(): number {
    return this.batchLength + LOG_OVERHEAD;
  }

  get partitionLeaderEpoch(): number {
    return this.#view.getInt32(this.#at + HeaderField.partitionLeaderEpoch);
  }
  set partitionLeaderEpoch(value: number) {
    this.#view.setInt32(this.#at + HeaderField.partitionLeaderEpoch, value);
  }

  get magic(): number {
    return this.#view.getInt8(this.#at + HeaderField.magic);
  }
  set magic(value: number) {
    this.#view.setInt8(this.#at + HeaderField.magic, value);
  }

  get crc(): number {
    return this.#view.getUint32(this.#at + HeaderField.crc);
  }
  set crc(value: number) {
    this.#view.setUint32(this.#at + HeaderField.crc, value);
  }

  get attributes(): number {
    return this.#view.getInt16(this.#at + HeaderField.attributes);
  }
  set attributes(value: number) {
    this.#view.setInt16(this.#at + HeaderField.attributes, value);
  }

  get lastOffsetDelta(): number {
    return this.#view.getInt32(this.#at + HeaderField.lastOffsetDelta);
  }
  set lastOffsetDelta(value: number) {
    this.#view.setInt32(this.#at + HeaderField.lastOffsetDelta, value);
  }

  get lastOffset(): bigint {
    return this.baseOffset + BigInt(this.lastOffsetDelta);
  }

  /** Milliseconds since the epoch, -1 for none. */
  get baseTimestamp(): bigint {
    return this.#view.getBigInt64(this.#at + HeaderField.baseTimestamp);
  }
  set baseTimestamp(value: bigint) {
    this.#view.setBigInt64(this.#at + HeaderField.baseTimestamp, value);
  }

  /** Milliseconds since the epoch, -1 for none. */
  get maxTimestamp(): bigint {
    return this.#view.getBigInt64(this.#at + HeaderField.maxTimestamp);
  }
  set maxTimestamp(value: bigint) {
    this.#view.setBigInt64(this.#at + HeaderField.maxTimestamp, value);
  }

  get producerId(): bigint {
    return this.#view.getBigInt64(this.#at + HeaderField.producerId);
  }
  set producerId(value: bigint) {
    this.#view.setBigInt64(this.#at + HeaderField.producerId, value);
  }

  get producerEpoch(): number {
    return this.#view.getInt16(this.#at + HeaderField.producerEpoch);
  }
  set producerEpoch(value: number) {
    this.#view.setInt16(this.#at + HeaderField.producerEpoch, value);
  }

  get baseSequence(): number {
    return this.#view.getInt32(this.#at + HeaderField.baseSequence);
  }
  set baseSequence(value: number) {
    this.#view.setInt32(this.#at + HeaderField.baseSequence, value);
  }

  get recordCount(): number {
    return this.#view.getInt32(this.#at + HeaderField.recordCount);
  }
  set recordCount(value: number) {
    this.#view.setInt32(this.#at + HeaderField.recordCount, value);
  }

  get compression(): number {
    return this.attributes & Attribute.compressionMask;
  }

  get isLogAppendTime(): boolean {
    return (this.attributes & Attribute.logAppendTime) !== 0;
  }

  get isTransactional(): boolean {
    return (this.attributes & Attribute.transactional) !== 0;
  }

  get isControl(): boolean {
    return (this.attributes & Attribute.control) !== 0;
  }

  get isReference(): boolean {
    return (this.attributes & Attribute.reference) !== 0;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A batch inside the records section of a message or of a log. */
export class BatchView {
  readonly header: BatchHeader;
  /** Where it starts in the bytes that were split. */
  readonly position: number;
  readonly #all: Uint8Array;

  constructor(header: BatchHeader, position: number, all: Uint8Array) {
    this.header = header;
    this.position = position;
    this.#all = all;
  }

  /** The whole batch, header included; a view, made anew each time. */
  get bytes(): Uint8Array {
    return this.#all.subarray(this.position, this.position + this.header.sizeInBytes);
  }
}

/**
 * Splits a records section into its batches, which must fill it. Neither CRCs nor records are looked at.
 * @throws ApiError CORRUPT_MESSAGE for a batch that does not fit, UNSUPPORTED_FOR_MESSAGE_FORMAT for the message sets of magic 0
 *   and 1 that Kafka 4 no longer takes
 */
export function splitBatches(bytes: Uint8Array): BatchView[] {
  const batches: BatchView[] = [];
  const view = viewOf(bytes);
  for (let position = 0; position < bytes.byteLength; ) {
    const left = bytes.byteLength - position;
    if (left > HeaderField.magic) requireMagic(bytes[position + HeaderField.magic]!);
    if (left < BATCH_HEADER_SIZE)
      throw new ApiError(ErrorCode.CORRUPT_MESSAGE, `${left} bytes are too few for a batch`);
    const header = new BatchHeader(bytes, position, view);
    const size = header.sizeInBytes;
    if (size < BATCH_HEADER_SIZE || size > left)
      throw new ApiError(ErrorCode.CORRUPT_MESSAGE, `a batch of ${size} bytes, ${left} left`);
    batches.push(new BatchView(header, position, bytes));
    position += size;
  }
  return batches;
}

function requireMagic(magic: number): void {
  if (magic === MAGIC) return;
  if (magic < MAGIC) {
    throw new ApiError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, `magic ${magic} is no longer supported`);
  }
  throw new ApiError(ErrorCode.CORRUPT_MESSAGE, `unknown magic ${magic}`);
}

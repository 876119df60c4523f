/** How native code hands over batches: slots of 8 bytes, as numbered in native/binding/batch_slots.h. */
export const BATCH_SLOTS = 24;
export const OPTION_SLOTS = 7;

/** Of kExtentPieceBytes in native/batch/reference.h. */
export const EXTENT_PIECE_BYTES = 32 * 1024;

/** What a batch is told that decompresses to more than is allowed. */
export const UNCOMPRESSED_TOO_LARGE = 'The uncompressed records are larger than allowed';

/** Texts for the numbers of BatchProblem in native/batch/check.h. */
const PROBLEMS: readonly string[] = [
  '',
  'The record batch is truncated',
  'The record batch is smaller than its header',
  'The record batch does not have format version 2',
  'The record batch is larger than the topic allows',
  'The record batch has a wrong CRC',
  'The base offset of the record batch is not 0',
  'The record count does not match the offset range of the record batch',
  'Clients are not allowed to write control records',
  'The record batch carries an attribute that is reserved for payload references',
  'The record batch has a producer id but no sequence number',
  'The compression type of the record batch is unknown',
  'The compressed records cannot be read',
  UNCOMPRESSED_TOO_LARGE,
  'The size of the record does not match its content',
  'The record is malformed',
  'The record has an invalid number of headers',
  'The record has a header without a key',
  'The offsets of the records are not consecutive',
  'Compacted topic cannot accept message without key',
  'The timestamp of the record is out of range',
  'Producer should not set timestamp type to LogAppendTime',
  'There are bytes behind the last record of the batch',
];

/** What the header of a record batch says, and where the batch is. */
export interface BatchHeader {
  /** Of the batch's first byte in the input or file. */
  position: number;
  /** Of the whole batch; when it is torn, up to the end of the input. */
  sizeBytes: number;
  magic: number;
  baseOffset: bigint;
  partitionLeaderEpoch: number;
  crc: number;
  attributes: number;
  lastOffsetDelta: number;
  baseTimestamp: bigint;
  /** The header's max timestamp; see BatchCheck.maxTimestamp for that of the records. */
  headerMaxTimestamp: bigint;
  producerId: bigint;
  producerEpoch: number;
  baseSequence: number;
  recordCount: number;
}

/**
 * What native code says about a batch beside the slots: its reference batch, alone or with the CRCs of the pieces of its records section, or the
 * records at fault when they are several.
 */
export type Attachment = Uint8Array | [reference: Uint8Array, pieces: Uint32Array] | Int32Array;

/** The outcome of validating one batch. */
export interface BatchCheck extends BatchHeader {
  /** Kafka's error code; 0 when the batch is valid. */
  error: number;
  errorMessage: string | null;
  /** Indices of the records at fault, ascending; the first 4096 if they are more. */
  errorRecords: readonly number[];
  /** Of the records section after decompression. */
  uncompressedBytes: number;
  /** Some record has no key. */
  keyless: boolean;
  /** The highest timestamp of the records, -1n when none has one. */
  maxTimestamp: bigint;
  /** Of the first record with that timestamp, or -1. */
  offsetDeltaOfMaxTimestamp: number;
  /** What a client's batch has to say once it is stored (see storeTimestamps); meaningful when it is valid. */
  storedAttributes: number;
  storedMaxTimestamp: bigint;
  storedCrc: number;
  /** The reference batch, still without its location (see locateReferenceBatch), when one was asked for. */
  reference: Uint8Array | null;
  /**
   * With it, where the records section is neither small nor compressed: the CRC-32C of each EXTENT_PIECE_BYTES of it, and of what is left; else
   * null.
   */
  pieceCrcs: Uint32Array | null;
}

/** Reads batch number `index`. Both views are on the same bytes. */
export function readHeader(doubles: Float64Array, integers: BigInt64Array, index: number): BatchHeader {
  const at = index * BATCH_SLOTS;
  return {
    position: doubles[at]!,
    sizeBytes: doubles[at + 1]!,
    magic: doubles[at + 15]!,
    baseOffset: integers[at + 16]!,
    partitionLeaderEpoch: doubles[at + 13]!,
    crc: doubles[at + 14]!,
    attributes: doubles[at + 7]!,
    lastOffsetDelta: doubles[at + 6]!,
    baseTimestamp: integers[at + 17]!,
    headerMaxTimestamp: integers[at + 20]!,
    producerId: integers[at + 19]!,
    producerEpoch: doubles[at + 11]!,
    baseSequence: doubles[at + 12]!,
    recordCount: doubles[at + 5]!,
  };
}

/** Reads the check of batch number `index`. Both views are on the same bytes. */
export function readCheck(
  doubles: Float64Array,
  integers: BigInt64Array,
  index: number,
  attachment: Attachment | null,
): BatchCheck {
  const at = index * BATCH_SLOTS;
  const problem = doubles[at + 3]!;
  // Written out: spreading readHeader's object costs forty times as much.
  return {
    position: doubles[at]!,
    sizeBytes: doubles[at + 1]!,
    magic: doubles[at + 15]!,
    baseOffset: integers[at + 16]!,
    partitionLeaderEpoch: doubles[at + 13]!,
    crc: doubles[at + 14]!,
    attributes: doubles[at + 7]!,
    lastOffsetDelta: doubles[at + 6]!,
    baseTimestamp: integers[at + 17]!,
    headerMaxTimestamp: integers[at + 20]!,
    producerId: integers[at + 19]!,
    producerEpoch: doubles[at + 11]!,
    baseSequence: doubles[at + 12]!,
    recordCount: doubles[at + 5]!,
    error: doubles[at + 2]!,
    errorMessage: problem === 0 ? null : PROBLEMS[problem]!,
    errorRecords: errorRecords(doubles[at + 4]!, attachment),
    uncompressedBytes: doubles[at + 8]!,
    keyless: doubles[at + 9] === 1,
    maxTimestamp: integers[at + 18]!,
    offsetDeltaOfMaxTimestamp: doubles[at + 10]!,
    storedAttributes: doubles[at + 22]!,
    storedMaxTimestamp: integers[at + 21]!,
    storedCrc: doubles[at + 23]!,
    reference:
      attachment instanceof Uint8Array ? attachment : Array.isArray(attachment) ? attachment[0] : null,
    pieceCrcs: Array.isArray(attachment) ? attachment[1] : null,
  };
}

const NO_RECORDS: readonly number[] = [];

function errorRecords(first: number, attachment: Attachment | null): readonly number[] {
  if (attachment instanceof Int32Array) return Array.from(attachment);
  return first < 0 ? NO_RECORDS : [first];
}

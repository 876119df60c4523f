import { binding } from './addon.ts';
import {
  type Attachment,
  BATCH_SLOTS,
  type BatchCheck,
  OPTION_SLOTS,
  readCheck,
  UNCOMPRESSED_TOO_LARGE,
} from './batch-layout.ts';
import { completion } from './completions.ts';
import { MemoryPiece } from './pieces.ts';

export type { BatchCheck, BatchHeader } from './batch-layout.ts';

interface BatchBinding {
  crc32c(bytes: Uint8Array, seed: number): number;
  crc32cImplementation: string;
  batchCheck(
    bytes: Uint8Array,
    start: number,
    options: Float64Array,
    slots: Float64Array,
    attachments: Attachment[],
  ): number;
  batchCheckMemory(
    id: number,
    options: Float64Array,
    maxBatches: number,
    handle: number,
    offset: number,
    length: number,
  ): void;
  batchCheckCopy(id: number, options: Float64Array, maxBatches: number, bytes: Uint8Array): void;
  batchPatchOffset(batch: Uint8Array, baseOffset: bigint, leaderEpoch: number): void;
  batchPatchTime(batch: Uint8Array, logAppendTime: boolean, maxTimestamp: bigint): void;
  batchLocateReference(
    reference: Uint8Array,
    header: Uint8Array,
    storeId: number,
    segmentId: bigint,
    position: number,
  ): boolean;
}

export interface CheckOptions {
  /** Limit on the records section of one batch after decompression; at most 2^31 - 1. */
  maxUncompressedBytes: number;
  /** Limit on a whole batch as it is (`max.message.bytes`); default none. */
  maxBatchBytes?: number;
  /**
   * 'client' (default) applies all rules for producers; 'broker' only checks structure, for control batches, internal topics and
   * batches that were validated before.
   */
  origin?: 'client' | 'broker';
  /** Default true. */
  verifyCrc?: boolean;
  /** Refuse records without a key (compacted topics). */
  requireKeys?: boolean;
  /** The topic's `message.timestamp.type`; 'CreateTime' by default. The limits below hold for CreateTime only. */
  timestampType?: 'CreateTime' | 'LogAppendTime';
  /** Now, in ms since the epoch; needed with the two limits that follow (default: none). */
  nowMs?: number;
  timestampBeforeMaxMs?: number;
  timestampAfterMaxMs?: number;
  /**
   * Build a reference batch when the mean record size (records section as produced, divided by the record count) is at least
   * this many bytes; default never.
   */
  referenceMinBytes?: number;
}

/** Where the payload tier put the records section of a batch. */
export interface ExtentLocation {
  /** uint32 */
  storeId: number;
  /** uint64 */
  segmentId: bigint | number;
  /** Of the extent's first byte in the segment. */
  extentPosition: number;
}

const native = binding<BatchBinding>();

/** Batches in one answer of native code; more are fetched in rounds. */
const ROUND = 32;
const MAX_BATCHES = 65_536;
/** What JavaScript may wait for: well under a millisecond with any codec but gzip, which takes one. */
const QUICK_BYTES = 64 * 1024;
const QUICK_UNCOMPRESSED_BYTES = 256 * 1024;
const slots = new Float64Array(ROUND * BATCH_SLOTS);
const slotIntegers = new BigInt64Array(slots.buffer);
const optionSlots = new Float64Array(OPTION_SLOTS);

function packOptions(options: CheckOptions): Float64Array {
  optionSlots[0] = options.maxUncompressedBytes;
  optionSlots[1] = options.maxBatchBytes ?? Number.POSITIVE_INFINITY;
  optionSlots[2] =
    (options.origin === 'broker' ? 0 : 1) |
    (options.verifyCrc === false ? 0 : 2) |
    (options.requireKeys ? 4 : 0) |
    (options.timestampType === 'LogAppendTime' ? 0 : 8);
  optionSlots[3] = options.nowMs ?? 0;
  optionSlots[4] = options.nowMs === undefined ? Infinity : (options.timestampBeforeMaxMs ?? Infinity);
  optionSlots[5] = options.nowMs === undefined ? Infinity : (options.timestampAfterMaxMs ?? Infinity);
  optionSlots[6] = options.referenceMinBytes ?? Number.POSITIVE_INFINITY;
  return optionSlots;
}

/** CRC-32C, continuing from `seed` (the CRC of the bytes before; 0 at the start). */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native.crc32c(bytes, seed);
}

/** What computes CRC-32C on this machine: 'sse4.2', 'armv8' or 'table'. */
export const crc32cImplementation = native.crc32cImplementation;

/**
 * Validates record batches as Kafka validates what a producer sends: structure, CRC, every record. One entry for each batch; after a batch
 * whose end is not known there are none. Holds up JavaScript for as long as it takes: for trusted or small input; see checkBatchesSoon.
 */
export function checkBatches(bytes: Uint8Array | MemoryPiece, options: CheckOptions): BatchCheck[] {
  const input = bytes instanceof MemoryPiece ? bytes.bytes() : bytes;
  const packed = packOptions(options);
  const checks: BatchCheck[] = [];
  for (let start = 0; start < input.length && checks.length < MAX_BATCHES; ) {
    const attachments: Attachment[] = [];
    const count = native.batchCheck(input, start, packed, slots, attachments);
    for (let i = 0; i < count; i++) checks.push(readCheck(slots, slotIntegers, i, attachments[i] ?? null));
    const last = checks[checks.length - 1]!;
    start = last.position + last.sizeBytes;
  }
  return checks;
}

/**
 * As `checkBatches`, on a worker thread. Memory is retained meanwhile (the caller keeps its own reference), bytes are copied before this
 * returns.
 */
export async function checkBatchesAsync(
  input: Uint8Array | MemoryPiece,
  options: CheckOptions,
): Promise<BatchCheck[]> {
  if (input.byteLength === 0) return [];
  const [doubles, attachments] = await completion<[Float64Array, Attachment[]]>((id) => {
    const packed = packOptions(options);
    if (!(input instanceof MemoryPiece)) return native.batchCheckCopy(id, packed, MAX_BATCHES, input);
    const { memory, offset, byteLength } = input;
    const from = memory.blockOffset + offset;
    native.batchCheckMemory(id, packed, MAX_BATCHES, memory.handle, from, byteLength);
  });
  const integers = new BigInt64Array(doubles.buffer);
  const checks: BatchCheck[] = [];
  for (let i = 0; i < doubles.length / BATCH_SLOTS; i++) {
    checks.push(readCheck(doubles, integers, i, attachments[i] ?? null));
  }
  return checks;
}

/**
 * Checks at once when that takes little time, else on a worker thread: the way to check what clients send. The size of the input says
 * little: 30 KB can decompress to a gigabyte, which would hold up JavaScript for seconds.
 */
export function checkBatchesSoon(
  input: Uint8Array | MemoryPiece,
  options: CheckOptions,
): BatchCheck[] | Promise<BatchCheck[]> {
  if (input.byteLength > QUICK_BYTES) return checkBatchesAsync(input, options);
  const maxUncompressedBytes = Math.min(options.maxUncompressedBytes, QUICK_UNCOMPRESSED_BYTES);
  const checks = checkBatches(input, { ...options, maxUncompressedBytes });
  const refused = checks.some(({ errorMessage }) => errorMessage === UNCOMPRESSED_TOO_LARGE);
  if (!refused || maxUncompressedBytes === options.maxUncompressedBytes) return checks;
  return checkBatchesAsync(input, options);
}

function writable(batch: Uint8Array | MemoryPiece): Uint8Array {
  return batch instanceof MemoryPiece ? batch.bytes() : batch;
}

/**
 * Sets what the broker assigns, in place. `appendTimestamp` (ms) is given for topics with LogAppendTime only: it sets the timestamp type
 * and the max timestamp, and recomputes the CRC.
 */
export function patchHeader(
  batch: Uint8Array | MemoryPiece,
  baseOffset: bigint,
  leaderEpoch: number,
  appendTimestamp?: bigint,
): void {
  const bytes = writable(batch);
  native.batchPatchOffset(bytes, baseOffset, leaderEpoch);
  if (appendTimestamp !== undefined) native.batchPatchTime(bytes, true, appendTimestamp);
}

/**
 * Corrects the max timestamp of a batch with CreateTime, in place; the CRC is recomputed if it differed. Kafka does so for
 * clients that set it wrongly (BatchCheck: maxTimestamp is not headerMaxTimestamp).
 */
export function patchMaxTimestamp(batch: Uint8Array | MemoryPiece, maxTimestamp: bigint): void {
  native.batchPatchTime(writable(batch), false, maxTimestamp);
}

/**
 * Completes the reference batch of a BatchCheck, in place. `original` is the original batch, at least its header, with its final
 * offset, epoch and timestamps (patchHeader first). Throws if the two do not belong together.
 */
export function locateReferenceBatch(
  reference: Uint8Array,
  original: Uint8Array | MemoryPiece,
  location: ExtentLocation,
): void {
  const fits = native.batchLocateReference(
    reference,
    writable(original),
    location.storeId,
    BigInt(location.segmentId),
    location.extentPosition,
  );
  if (!fits) throw new Error('not the reference batch of this batch');
}

/**
 * The reference batch of one valid batch, in one step and at once: keys, headers and value checksums are read here. Where batches are
 * large or compressed, have it built by checkBatchesAsync (referenceMinBytes) and use locateReferenceBatch.
 */
export function buildReferenceBatch(
  batch: Uint8Array | MemoryPiece,
  location: ExtentLocation,
  maxUncompressedBytes = 2 ** 31 - 1,
): Uint8Array {
  const bytes = writable(batch);
  const [check] = checkBatches(bytes, { maxUncompressedBytes, origin: 'broker', referenceMinBytes: 0 });
  if (check?.error !== 0 || !check.reference) {
    throw new Error(check?.errorMessage ?? 'The record batch is empty');
  }
  locateReferenceBatch(check.reference, bytes, location);
  return check.reference;
}

import { binding } from './addon.ts';
import { NativeMemory } from './arena.ts';
import {
  type Attachment,
  BATCH_SLOTS,
  type BatchCheck,
  OPTION_SLOTS,
  readCheck,
  UNCOMPRESSED_TOO_LARGE,
} from './batch-layout.ts';
import type { Codec } from './codec.ts';
import { completion } from './completions.ts';
import { MemoryPiece } from './pieces.ts';

export { type BatchCheck, type BatchHeader, EXTENT_PIECE_BYTES } from './batch-layout.ts';

interface BatchBinding {
  crc32c(bytes: Uint8Array, seed: number): number;
  crc32cJoin(first: number, second: number, secondBytes: number): number;
  crc32cOfMemory(id: number, seed: number, handle: number, offset: number, length: number): void;
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
  batchTakeCheck(
    options: Float64Array,
    slots: Float64Array,
    handle: number,
    offset: number,
    length: number,
  ): Attachment | null | undefined;
  batchCheckCopy(id: number, options: Float64Array, maxBatches: number, bytes: Uint8Array): void;
  batchRecompressMemory(
    id: number,
    codec: number,
    maxUncompressedBytes: number,
    handle: number,
    offset: number,
    length: number,
  ): void;
  batchRecompressCopy(id: number, codec: number, maxUncompressedBytes: number, bytes: Uint8Array): void;
  batchRestore(id: number, reference: Uint8Array, handle: number, offset: number, length: number): void;
  batchRestoredBytes(reference: Uint8Array): number;
  batchLocateReference(
    reference: Uint8Array,
    header: Uint8Array,
    storeId: number,
    segmentId: bigint,
    position: number,
  ): boolean;
  batchSignedBytes(batches: Uint8Array): number;
  batchSignReferences(
    batches: Uint8Array,
    claim: Uint8Array,
    secret: Uint8Array,
    principal: Uint8Array,
    out: Uint8Array,
  ): number;
  batchIsClaimRight(reference: Uint8Array, secret: Uint8Array, principal: Uint8Array): boolean;
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
  /** Now, in ms since the epoch: the append time, and what the two limits that follow are measured from (default: no limits). */
  nowMs?: number;
  timestampBeforeMaxMs?: number;
  timestampAfterMaxMs?: number;
  /**
   * Build a reference batch when the mean record size (records section as produced, divided by the record count) is at least
   * this many bytes; default never.
   */
  referenceMinBytes?: number;
  /** Look at no other batch than the first: where there has to be one alone, others may be thousands, and large when they are decompressed. */
  onlyFirst?: boolean;
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

const BATCH_HEADER_BYTES = 61;
const COMPRESSION_MASK = 0x07;
/** Batches in one answer of native code; more are fetched in rounds. */
const ROUND = 32;
const MAX_BATCHES = 65_536;
/** What JavaScript may wait for: well under a millisecond with any codec but gzip, which takes one. */
const QUICK_BYTES = 64 * 1024;
const QUICK_UNCOMPRESSED_BYTES = 256 * 1024;
/** So much is decompressed at once in one turn of the event loop: a request may have thousands of batches, each small until then. */
const QUICK_BYTES_IN_TURN = 8 << 20;
const slots = new Float64Array(ROUND * BATCH_SLOTS);
const firstSlots = slots.subarray(0, BATCH_SLOTS);
const slotIntegers = new BigInt64Array(slots.buffer);
const optionSlots = new Float64Array(OPTION_SLOTS);
const MAX_UNCOMPRESSED_SLOT = 0;

function packOptions(options: CheckOptions): Float64Array {
  optionSlots[MAX_UNCOMPRESSED_SLOT] = options.maxUncompressedBytes;
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

/** The CRC-32C of two stretches one behind the other, from the CRC of each and the length of the second; reads nothing. */
export function crc32cJoin(first: number, second: number, secondBytes: number): number {
  return first === 0 ? second : native.crc32cJoin(first, second, secondBytes);
}

/** As `crc32c`, of memory that is held until it is done, by a native thread. */
export function crc32cSoon({ memory, offset, byteLength }: MemoryPiece, seed = 0): Promise<number> {
  return completion((id) =>
    native.crc32cOfMemory(id, seed, memory.handle, memory.blockOffset + offset, byteLength),
  );
}

/** What computes CRC-32C on this machine: 'avx512', 'sse4.2', 'armv8' or 'table'. */
export const crc32cImplementation = native.crc32cImplementation;

/**
 * Validates record batches as Kafka validates what a producer sends: structure, CRC, every record. One entry for each batch; after a batch
 * whose end is not known there are none. Holds up JavaScript for as long as it takes: for trusted or small input; see checkBatchesSoon.
 */
export function checkBatches(bytes: Uint8Array | MemoryPiece, options: CheckOptions): BatchCheck[] {
  return checkPacked(bytes, packOptions(options), mostOf(options));
}

/** How many batches are looked at. */
function mostOf({ onlyFirst = false }: CheckOptions): number {
  return onlyFirst ? 1 : MAX_BATCHES;
}

function checkPacked(bytes: Uint8Array | MemoryPiece, packed: Float64Array, most: number): BatchCheck[] {
  const input = bytes instanceof MemoryPiece ? bytes.bytes() : bytes;
  const room = most === 1 ? firstSlots : slots;
  const checks: BatchCheck[] = [];
  for (let start = 0; start < input.length && checks.length < most; ) {
    const attachments: Attachment[] = [];
    const count = native.batchCheck(input, start, packed, room, attachments);
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
    const most = mostOf(options);
    if (!(input instanceof MemoryPiece)) return native.batchCheckCopy(id, packed, most, input);
    const { memory, offset, byteLength } = input;
    const from = memory.blockOffset + offset;
    native.batchCheckMemory(id, packed, most, memory.handle, from, byteLength);
  });
  const integers = new BigInt64Array(doubles.buffer);
  const checks: BatchCheck[] = [];
  for (let i = 0; i < doubles.length / BATCH_SLOTS; i++) {
    checks.push(readCheck(doubles, integers, i, attachments[i] ?? null));
  }
  return checks;
}

let decompressedInTurn = 0;

/** Counts what was decompressed at once; of what was refused nobody knows how much it was. */
function countDecompressed(checks: readonly BatchCheck[]): void {
  for (const { attributes, error, uncompressedBytes } of checks) {
    if ((attributes & COMPRESSION_MASK) === 0) continue;
    if (decompressedInTurn === 0)
      setImmediate(() => {
        decompressedInTurn = 0;
      });
    decompressedInTurn += error === 0 ? uncompressedBytes : QUICK_UNCOMPRESSED_BYTES;
  }
}

/** What the thread that received the batch has found; null when it did not look, or these options want another look. */
function takeCheck({ memory, offset, byteLength }: MemoryPiece, options: CheckOptions): BatchCheck | null {
  const from = memory.blockOffset + offset;
  const attachment = native.batchTakeCheck(packOptions(options), slots, memory.handle, from, byteLength);
  return attachment === undefined ? null : readCheck(slots, slotIntegers, 0, attachment);
}

/**
 * Answers at once when the batch was checked as it arrived (see native/batch/produce_check.h), each of them once: its owner may change it
 * then. Otherwise checks at once when that takes little time, else on a worker thread: the way to check what clients send. The size of the input says
 * little: 30 KB can decompress to a gigabyte, which would hold up JavaScript for seconds.
 */
export function checkBatchesSoon(
  input: Uint8Array | MemoryPiece,
  options: CheckOptions,
): BatchCheck[] | Promise<BatchCheck[]> {
  const known = input instanceof MemoryPiece ? takeCheck(input, options) : null;
  if (known !== null) return [known];
  if (input.byteLength > QUICK_BYTES || decompressedInTurn > QUICK_BYTES_IN_TURN)
    return checkBatchesAsync(input, options);
  const packed = packOptions(options);
  const isLimited = options.maxUncompressedBytes > QUICK_UNCOMPRESSED_BYTES;
  if (isLimited) packed[MAX_UNCOMPRESSED_SLOT] = QUICK_UNCOMPRESSED_BYTES;
  const checks = checkPacked(input, packed, mostOf(options));
  countDecompressed(checks);
  const refused = isLimited && checks.some(({ errorMessage }) => errorMessage === UNCOMPRESSED_TOO_LARGE);
  return refused ? checkBatchesAsync(input, options) : checks;
}

function writable(batch: Uint8Array | MemoryPiece): Uint8Array {
  return batch instanceof MemoryPiece ? batch.bytes() : batch;
}

/**
 * Writes timestamp type, max timestamp and CRC into the header of a client's batch as its check found that they have to be: the append
 * time for topics with LogAppendTime, else the highest timestamp of the records, which Kafka corrects where clients have it wrong.
 */
export function storeTimestamps(batch: Uint8Array | MemoryPiece, check: BatchCheck): void {
  const { storedAttributes, storedMaxTimestamp, storedCrc } = check;
  if (storedAttributes === check.attributes && storedMaxTimestamp === check.headerMaxTimestamp) return;
  const bytes = writable(batch);
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, BATCH_HEADER_BYTES);
  header.writeUInt32BE(storedCrc, 17);
  header.writeUInt16BE(storedAttributes, 21);
  header.writeBigInt64BE(storedMaxTimestamp, 35);
}

/**
 * The same records with another compression, made on a worker thread from a batch that was checked. Memory is retained meanwhile, bytes are
 * copied before this returns. A large result is in native memory, of which the caller owns the reference, while the arena has room.
 */
export async function recompressBatch(
  batch: Uint8Array | MemoryPiece,
  codec: Codec,
  maxUncompressedBytes: number,
): Promise<Uint8Array | MemoryPiece> {
  const result = await completion<Uint8Array | [handle: number, offset: number, length: number]>((id) => {
    if (!(batch instanceof MemoryPiece))
      return native.batchRecompressCopy(id, codec, maxUncompressedBytes, batch);
    const { memory, offset, byteLength } = batch;
    const from = memory.blockOffset + offset;
    native.batchRecompressMemory(id, codec, maxUncompressedBytes, memory.handle, from, byteLength);
  });
  return result instanceof Uint8Array ? result : new MemoryPiece(NativeMemory.adopt(...result));
}

/** Bytes of the batch that `restoreBatch` makes of a reference batch; 0 when that is damaged. */
export function restoredBytes(reference: Uint8Array): number {
  return native.batchRestoredBytes(reference);
}

/**
 * The batch that a reference batch stands for when compaction has left only some of its records: uncompressed, made on a worker thread.
 * `extent` is its payload, which was checked; it is retained meanwhile. The caller owns what memory the result has. Rejects with EBADMSG
 * when the two do not belong together.
 */
export async function restoreBatch(
  reference: Uint8Array,
  extent: MemoryPiece,
): Promise<Uint8Array | MemoryPiece> {
  const { memory, offset, byteLength } = extent;
  const result = await completion<Uint8Array | [handle: number, offset: number, length: number]>((id) =>
    native.batchRestore(id, reference, memory.handle, memory.blockOffset + offset, byteLength),
  );
  return result instanceof Uint8Array ? result : new MemoryPiece(NativeMemory.adopt(...result));
}

/**
 * Completes the reference batch of a BatchCheck, in place. `original` is the original batch, at least its header, with its final
 * timestamps (storeTimestamps first). Throws if the two do not belong together.
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

/** Who signs claims, and for whom. */
export interface ClaimSigner {
  /** Of HMAC-SHA-256; at most 64 bytes. */
  readonly secret: Uint8Array;
  /** The name of who may use them. */
  readonly principal: Uint8Array;
}

/**
 * Reference batches, which are one behind the other, with a signed claim behind each reference, and lengths and CRC to match; what is no reference
 * stays as it is.
 * @param claim 80 bytes, complete but for what differs between batches: the CRC of the original header, the base offset, the signature
 * @throws Error when one is damaged
 */
export function signReferences(
  batches: Uint8Array,
  claim: Uint8Array,
  { secret, principal }: ClaimSigner,
): Uint8Array {
  // One piece of memory for all: what lies outside V8's heap has it collected, as often as there is much of it.
  const out = Buffer.allocUnsafe(native.batchSignedBytes(batches));
  const bytes = native.batchSignReferences(batches, claim, secret, principal, out);
  if (bytes === 0 && batches.byteLength > 0) throw new Error('a damaged reference batch');
  return out.subarray(0, bytes);
}

/** Whether the claim of a signed reference was signed so. It takes as long wherever the signature is wrong. */
export function isClaimRight(reference: Uint8Array, { secret, principal }: ClaimSigner): boolean {
  return native.batchIsClaimRight(reference, secret, principal);
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

import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { type Move, moveBlocks } from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';
import type { Clock } from '../../util/clock.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Attachment } from './attachments.ts';
import type { DirectLimits } from './direct-gets.ts';
import { lackOfMemory } from './payload-source.ts';

/** How often memory that was free, but in no one piece, is asked for again. */
const RETRY_MS = 5;
const MAX_WAIT_MS = 30_000;

/** A batch whose data is in the client's memory. */
export interface PutBatch {
  /** The batch without the data. */
  readonly batch: Uint8Array;
  /** What is left out, in order: `at` is where in `batch` it belongs. */
  readonly data: readonly { at: number; region: number; offset: number; length: number }[];
}

/** Batches that are whole, in one piece of native memory. */
export interface Assembled {
  /** The caller releases it. */
  readonly memory: NativeMemory;
  /** Views of it, in the order of the batches. */
  readonly batches: Uint8Array[];
}

/** Takes the data of puts from the memory of clients, and makes the batches whole; what follows is Produce. */
export class DirectPuts {
  readonly #limits: DirectLimits;
  readonly #memory: MemoryBudget;
  readonly #clock: Clock;
  /** Since the start. */
  readonly counters = { batches: 0, bytes: 0 };

  constructor(limits: DirectLimits, memory: MemoryBudget, clock: Clock) {
    this.#limits = limits;
    this.#memory = memory;
    this.#clock = clock;
  }

  /**
   * @param timeoutMs how long memory may be waited for
   * @throws ApiError when a descriptor is not inside what was attached, or a limit is exceeded
   */
  async assemble(puts: readonly PutBatch[], attachment: Attachment, timeoutMs: number): Promise<Assembled> {
    const total = this.#check(puts, attachment);
    const memory = await this.#allocate(total, Math.min(timeoutMs, MAX_WAIT_MS));
    try {
      const batches: Uint8Array[] = [];
      const moves: Move[] = [];
      const bytes = memory.bytes();
      let at = 0;
      for (const put of puts) {
        const start = at;
        at = layOut(put, memory, bytes, start, moves);
        batches.push(bytes.subarray(start, at));
      }
      for (const { error } of await moveBlocks(moves)) {
        if (error !== 0)
          throw invalid(`the attached memory cannot be read (errno ${error}): it must keep its size`);
      }
      this.counters.batches += batches.length;
      this.counters.bytes += total;
      return { memory, batches };
    } catch (error) {
      memory.release();
      throw error;
    }
  }

  /** Returns the bytes of all batches together. */
  #check(puts: readonly PutBatch[], attachment: Attachment): number {
    const { maxRequestBytes, maxRanges } = this.#limits;
    let total = 0;
    let ranges = 0;
    for (const { batch, data } of puts) {
      if (batch.byteLength < BATCH_HEADER_SIZE) throw invalid('a batch without a whole header');
      total += batch.byteLength;
      ranges += data.length;
      let last = BATCH_HEADER_SIZE;
      for (const { at, region, offset, length } of data) {
        if (at < last || at > batch.byteLength)
          throw invalid(`data at ${at} is not in order, or outside the batch`);
        if (length < 0 || !attachment.holds(region, offset, length))
          throw invalid(
            `${length} bytes at ${offset} of region ${region} are not in memory that was attached`,
          );
        last = at;
        total += length;
      }
    }
    if (puts.length === 0) throw invalid('a put needs a batch');
    if (total > maxRequestBytes)
      throw new ApiError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${total} bytes in one request, ${maxRequestBytes} are allowed (direct.max.request.bytes)`,
      );
    const { capacityBytes } = arenaStats();
    if (total > capacityBytes / 2)
      throw new ApiError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${total} bytes in one request, the gateway has memory for half of ${capacityBytes} (arena.bytes)`,
      );
    if (ranges > maxRanges)
      throw invalid(`${ranges} ranges in one request, ${maxRanges} are allowed (direct.max.ranges)`);
    return total;
  }

  async #allocate(bytes: number, timeoutMs: number): Promise<NativeMemory> {
    const deadline = this.#clock.now() + timeoutMs;
    const room = this.#memory.acquire(bytes);
    if (room !== undefined) await room;
    try {
      for (;;) {
        const memory = NativeMemory.allocate(bytes);
        if (memory !== null) return memory;
        if (this.#clock.now() >= deadline) throw lackOfMemory();
        await new Promise<void>((resolve) => this.#clock.setTimer(RETRY_MS, resolve));
      }
    } finally {
      this.#memory.taken(bytes);
    }
  }
}

/** Puts the parts of a batch that are there in their places, and says what is to be moved between them. Returns the end of the batch. */
function layOut(
  { batch, data }: PutBatch,
  memory: NativeMemory,
  bytes: Uint8Array,
  start: number,
  moves: Move[],
): number {
  let from = 0;
  let to = start;
  for (const { at, region, offset, length } of data) {
    bytes.set(batch.subarray(from, at), to);
    to += at - from;
    from = at;
    if (length > 0) {
      const blocks = [{ offset: to, count: 1, block: length, stride: length }];
      moves.push({ kind: 'pull', memory, blocks, region, targetOffset: offset });
    }
    to += length;
  }
  bytes.set(batch.subarray(from), to);
  return to + batch.byteLength - from;
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}

import { arenaStats, NativeMemory } from '../../native/arena.ts';
import type { Move } from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';
import type { Clock } from '../../util/clock.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Attachment } from './attachments.ts';
import type { DirectLimits } from './direct-gets.ts';
import { ROOM_TIMEOUT_MS } from './extent-access.ts';
import { lackOfMemory } from './payload-source.ts';
import { TurnsOf } from './turns.ts';

/** How often memory that was free, but in no one piece, is asked for again. */
const RETRY_MS = 5;

/** A batch whose data is in the client's memory. */
export interface PutBatch {
  /** The batch without the data; empty when all of it is in one piece of the gateway's memory that is lent to the client. */
  readonly batch: Uint8Array;
  /** What is left out, in order: `at` is where in `batch` it belongs. Region -n is what lease n lends. */
  readonly data: readonly { at: number; region: number; offset: number; length: number }[];
}

/** Batches that are whole, in one piece of native memory. */
export interface Assembled {
  /** The caller releases it. */
  readonly memory: NativeMemory;
  /** Views of it, in the order of the batches. */
  readonly batches: Uint8Array[];
  /** The lease whose memory this is: not to be lent any longer once it has been appended. */
  readonly lease: number | null;
}

/** Takes the data of puts from the memory of clients, and makes the batches whole; what follows is Produce. */
export class DirectPuts {
  readonly #limits: DirectLimits;
  readonly #memory: MemoryBudget;
  readonly #clock: Clock;
  readonly #referenceMinBytes: number;
  /** In which the puts of a client take memory: they are appended in this order. */
  readonly #turns = new TurnsOf();
  /** Since the start. */
  readonly counters = { batches: 0, bytes: 0 };

  /** @param referenceMinBytes `payload.min.bytes`, by which batches are checked as soon as they are whole */
  constructor(limits: DirectLimits, memory: MemoryBudget, clock: Clock, referenceMinBytes = -1) {
    this.#referenceMinBytes = referenceMinBytes;
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
    const there = inPlace(puts, attachment);
    if (there !== null) {
      this.counters.batches++;
      this.counters.bytes += total;
      return there;
    }
    return attachment.hold(total, () => this.#take(puts, attachment, total, timeoutMs));
  }

  async #take(
    puts: readonly PutBatch[],
    attachment: Attachment,
    total: number,
    timeoutMs: number,
  ): Promise<Assembled> {
    const deadline = this.#clock.now() + Math.min(timeoutMs, ROOM_TIMEOUT_MS);
    const memory = await this.#turns.of(attachment).take(() => this.#allocate(total, deadline));
    try {
      const batches: Uint8Array[] = [];
      const moves: Move[] = [];
      const bytes = memory.bytes();
      const ranges: { offset: number; byteLength: number }[] = [];
      let at = 0;
      for (const put of puts) {
        const start = at;
        at = layOut(put, attachment, memory, bytes, start, moves);
        batches.push(bytes.subarray(start, at));
        ranges.push({ offset: start, byteLength: at - start });
      }
      await attachment.pull(moves, { memory, ranges, referenceMinBytes: this.#referenceMinBytes });
      this.counters.batches += batches.length;
      this.counters.bytes += total;
      return { memory, batches, lease: null };
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
      const isInPlace = batch.byteLength === 0;
      if (isInPlace ? puts.length !== 1 || data.length !== 1 : batch.byteLength < BATCH_HEADER_SIZE)
        throw invalid('a batch without a whole header');
      total += batch.byteLength;
      ranges += data.length;
      let last = isInPlace ? 0 : BATCH_HEADER_SIZE;
      for (const { at, region, offset, length } of data) {
        if (at < last || at > batch.byteLength)
          throw invalid(`data at ${at} is not in order, or outside the batch`);
        if (length < (isInPlace ? BATCH_HEADER_SIZE : 0) || !attachment.holds(region, offset, length))
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

  /** Memory for a put, when there is some. @param isGone whether nobody wants it any more @throws ApiError when that takes too long */
  allocate(bytes: number, isGone: () => boolean): Promise<NativeMemory> {
    return this.#allocate(bytes, this.#clock.now() + ROOM_TIMEOUT_MS, isGone);
  }

  async #allocate(bytes: number, deadline: number, isGone?: () => boolean): Promise<NativeMemory> {
    if (!(await this.#memory.acquireWithin(bytes, deadline - this.#clock.now(), isGone)))
      throw lackOfMemory();
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

/** The batch where the client has written it; null when it has to be made, or copied. */
function inPlace([put]: readonly PutBatch[], attachment: Attachment): Assembled | null {
  if (put!.batch.byteLength > 0) return null;
  const [{ region, offset, length }] = put!.data as [PutBatch['data'][number]];
  const { session } = attachment;
  if (!session?.writable(-region))
    throw invalid('a whole batch has to be in memory of the gateway that is lent to the client');
  const memory = session.take(-region);
  if (memory === null) return null;
  return {
    memory: memory.retain(),
    batches: [memory.bytes().subarray(offset, offset + length)],
    lease: -region,
  };
}

/** Puts the parts of a batch that are there in their places, and says what is to be moved between them. Returns the end of the batch. */
function layOut(
  { batch, data }: PutBatch,
  attachment: Attachment,
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
    const lent = region < 0 ? (attachment.session?.writable(-region) ?? null) : null;
    if (region < 0 && lent === null) throw invalid(`lease ${-region} was released before it had been used`);
    if (length > 0 && lent !== null) {
      const blocks = [{ offset, count: 1, block: length, stride: length }];
      const target = { target: memory, targetOffset: to };
      moves.push({ kind: 'gather', memory: lent, blocks, ...target, checksum: false });
    } else if (length > 0) {
      const blocks = [{ offset: to, count: 1, block: length, stride: length }];
      // The batch has a CRC of its own, which is checked when it is whole.
      moves.push({ kind: 'pull', memory, blocks, region, targetOffset: offset, checksum: false });
    }
    to += length;
  }
  bytes.set(batch.subarray(from), to);
  return to + batch.byteLength - from;
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}

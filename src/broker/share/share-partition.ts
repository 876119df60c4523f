import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { FetchWait, Watched } from '../partitions/fetch-wait.ts';
import type { OffsetRange } from './aborted-records.ts';
import type { ShareGroupSettings } from './config.ts';
import {
  type AcknowledgementBatch,
  AcknowledgeType,
  type Acquired,
  InFlight,
  type Transition,
} from './in-flight.ts';
import { type PartitionState, type SharePartitionKey, UNINITIALIZED_OFFSET } from './partition-state.ts';
import type { StateWrite } from './state-shard.ts';

/** Where the states of share partitions are kept; its methods reject with an ApiError. */
export interface Persister {
  read(key: SharePartitionKey, leaderEpoch: number): Promise<PartitionState>;
  write(key: SharePartitionKey, write: StateWrite): Promise<void>;
}

/** What a share partition needs of the log that it reads. */
export interface SharedLog {
  readonly logStartOffset: bigint;
  readonly leaderEpoch: number;
  /** Where a group begins that has not read yet. */
  firstOffset(settings: ShareGroupSettings): Promise<bigint>;
}

/** Counters of all share partitions, for the metrics. */
export interface ShareMetrics {
  accepted: number;
  released: number;
  rejected: number;
  renewed: number;
  /** Records whose member did not acknowledge them in time. */
  timedOut: number;
  acquired: number;
}

export interface SharePartitionOptions {
  readonly key: SharePartitionKey;
  readonly log: SharedLog;
  readonly persister: Persister;
  readonly settings: () => ShareGroupSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: ShareMetrics;
  /** Its state belongs to somebody else now, or is gone: it must not be used any more. */
  fenced(): void;
}

/** What a fetch found in the log. */
export interface FoundRecords {
  /** Where the fetch began. */
  readonly from: bigint;
  /** Where the first batch begins, and the offset behind the last. */
  readonly base: bigint;
  readonly end: bigint;
  /** What belongs to aborted transactions, which the group does not want. */
  readonly aborted: readonly OffsetRange[];
  readonly most: number;
}

/** After how many milliseconds what could not be written is tried again. */
const RETRY_MS = 1_000;

/** One partition as one share group sees it: who has which record, until when, and what is done with. */
export class SharePartition implements Watched {
  /** Fetches that wait for records to become available. */
  readonly waiters = new Set<FetchWait>();
  /** Fetches that wait because somebody else looks for records. */
  readonly turn: Watched = { waiters: new Set<FetchWait>() };
  readonly #options: SharePartitionOptions;
  #inFlight = new InFlight(0n);
  #stateEpoch = 0;
  #fetching = false;
  #closed = false;
  /** Rises with everything that may make records available. */
  #changes = 0;
  #turns = 0;
  #timer: Timer | null = null;
  #timerAtMs = 0;

  private constructor(options: SharePartitionOptions) {
    this.#options = options;
  }

  /** With the state that is stored. Rejects with an ApiError. */
  static async open(options: SharePartitionOptions): Promise<SharePartition> {
    const { key, log, persister, settings } = options;
    const partition = new SharePartition(options);
    const state = await persister.read(key, log.leaderEpoch);
    partition.#stateEpoch = state.stateEpoch;
    const start =
      state.startOffset === UNINITIALIZED_OFFSET ? await log.firstOffset(settings()) : state.startOffset;
    partition.#inFlight = new InFlight(start, state.batches);
    partition.#followLog();
    // Where the group begins must not change with the next start.
    if (state.startOffset === UNINITIALIZED_OFFSET) await partition.#write({ runs: [] });
    return partition;
  }

  get inFlight(): InFlight {
    return this.#inFlight;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Nobody else may look for records meanwhile; false if somebody does. */
  beginFetch(): boolean {
    if (this.#closed || this.#fetching) return false;
    this.#fetching = true;
    return true;
  }

  endFetch(): void {
    this.#fetching = false;
    this.#turns++;
    for (const waiter of [...this.turn.waiters]) waiter.finish();
  }

  /** Rises with every `endFetch`. */
  get turns(): number {
    return this.#turns;
  }

  /** Another number than before: records may have become available. */
  get changes(): number {
    return this.#changes;
  }

  /** The offsets that a fetch of so many records should look at; null if there is nothing to acquire. */
  wanted(maxRecords: number): { from: bigint; upTo: bigint } | null {
    this.#followLog();
    return this.#inFlight.wanted(maxRecords, this.#options.settings());
  }

  /** Gives the member what is available of what was found. */
  acquire(memberId: string, found: FoundRecords): Acquired[] {
    if (this.#closed) return [];
    const { clock, metrics } = this.#options;
    const settings = this.#options.settings();
    const deadlineMs = clock.now() + settings.lockDurationMs;
    const acquired = this.#inFlight.acquire(found, memberId, deadlineMs, settings);
    for (const { first, last } of found.aborted) this.#inFlight.archive(first, last, memberId);
    const kept = found.aborted.length === 0 ? acquired : without(acquired, found.aborted);
    for (const { firstOffset, lastOffset } of kept) metrics.acquired += Number(lastOffset - firstOffset) + 1;
    this.#schedule();
    return kept;
  }

  /** Resolves when what the member says of its records is written. Rejects with an ApiError; then nothing has changed. */
  async acknowledge(memberId: string, batches: readonly AcknowledgementBatch[]): Promise<void> {
    if (this.#closed) throw new ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    this.#followLog();
    const { clock } = this.#options;
    const { lockDurationMs, deliveryCountLimit, mayRenew } = this.#options.settings();
    if (!mayRenew && batches.some(({ acknowledgeTypes }) => acknowledgeTypes.includes(AcknowledgeType.RENEW)))
      throw new ApiError(
        ErrorCode.INVALID_RECORD_STATE,
        'Renew acknowledgements are disabled for the group.',
      );
    const deadlineMs = clock.now() + lockDurationMs;
    const transition = this.#inFlight.acknowledge(memberId, batches, { deadlineMs, deliveryCountLimit });
    this.#count(batches);
    await this.#persist(transition);
  }

  /** Takes back what the member has. Rejects as `acknowledge`. */
  async releaseAll(memberId: string): Promise<void> {
    if (this.#closed) return;
    await this.#persist(this.#inFlight.release({ memberId }, this.#options.settings().deliveryCountLimit));
  }

  /** Ends it without a trace: what members have will not be taken from them any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#wake();
  }

  async #persist(transition: Transition): Promise<void> {
    if (transition.runs.length === 0) {
      this.#schedule();
      return;
    }
    try {
      await this.#write(transition);
    } catch (error) {
      this.#inFlight.rollBack(transition);
      this.#schedule(RETRY_MS);
      if (isFencing(error)) this.#options.fenced();
      throw error;
    }
    this.#inFlight.commit(transition);
    this.#schedule();
    this.#wake();
  }

  #write(transition: Transition): Promise<void> {
    const { key, log, persister } = this.#options;
    const startOffset = this.#inFlight.startOffsetAfter(transition);
    return persister.write(key, {
      stateEpoch: this.#stateEpoch,
      leaderEpoch: log.leaderEpoch,
      startOffset,
      deliveryCompleteCount: this.#inFlight.deliveryCompleteCount(startOffset),
      batches: this.#inFlight.batchesOf(transition),
    });
  }

  /** Records that were deleted from the log are not given to anybody. */
  #followLog(): void {
    this.#inFlight.moveStart(this.#options.log.logStartOffset);
  }

  /** Sees to the record whose time is up first. */
  #schedule(leastMs = 0): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    const deadline = this.#inFlight.nextDeadlineMs;
    if (deadline === null) return;
    const at = Math.max(deadline, clock.now() + leastMs);
    // One that fires too early looks again.
    if (this.#timer !== null && this.#timerAtMs <= at) return;
    this.#timer?.cancel();
    this.#timerAtMs = at;
    this.#timer = clock.setTimer(at - clock.now(), () => this.#expire());
  }

  #expire(): void {
    const { clock, key, logger, metrics, settings } = this.#options;
    this.#timer = null;
    const transition = this.#inFlight.release({ nowMs: clock.now() }, settings().deliveryCountLimit);
    for (const { first, last } of transition.runs) metrics.timedOut += Number(last - first) + 1;
    this.#persist(transition).catch((error: unknown) => {
      logger.warn({ ...key, err: error }, 'the end of record locks could not be written: it is tried again');
    });
  }

  #count(batches: readonly AcknowledgementBatch[]): void {
    const { metrics } = this.#options;
    for (const { firstOffset, lastOffset, acknowledgeTypes } of batches) {
      const size = acknowledgeTypes.length === 1 ? Number(lastOffset - firstOffset) + 1 : 1;
      for (const type of acknowledgeTypes) {
        if (type === AcknowledgeType.ACCEPT) metrics.accepted += size;
        else if (type === AcknowledgeType.RELEASE) metrics.released += size;
        else if (type === AcknowledgeType.REJECT) metrics.rejected += size;
        else if (type === AcknowledgeType.RENEW) metrics.renewed += size;
      }
    }
  }

  #wake(): void {
    this.#changes++;
    for (const waiter of [...this.waiters]) waiter.finish();
  }
}

/** Whether the state that is stored is not that of this share partition any more. */
function isFencing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  const { code } = error;
  return (
    code === ErrorCode.FENCED_STATE_EPOCH ||
    code === ErrorCode.FENCED_LEADER_EPOCH ||
    code === ErrorCode.INVALID_REQUEST
  );
}

/** The acquired records that are in none of the ranges. */
function without(acquired: readonly Acquired[], ranges: readonly OffsetRange[]): Acquired[] {
  let kept = [...acquired];
  for (const { first, last } of ranges)
    kept = kept.flatMap((each) => {
      const { firstOffset, lastOffset } = each;
      if (lastOffset < first || firstOffset > last) return [each];
      const parts: Acquired[] = [];
      if (firstOffset < first) parts.push({ ...each, lastOffset: first - 1n });
      if (lastOffset > last) parts.push({ ...each, firstOffset: last + 1n });
      return parts;
    });
  return kept;
}

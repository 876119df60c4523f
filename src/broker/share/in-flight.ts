import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { DeliveryState, type StateBatch } from './partition-state.ts';
import { RunList } from './run-list.ts';

/** Kafka's numbers of what a member says of a record. */
export const AcknowledgeType = { GAP: 0, ACCEPT: 1, RELEASE: 2, REJECT: 3, RENEW: 4 } as const;

/** Offsets that are in one state; both ends are part of it. */
export interface Run {
  first: bigint;
  last: bigint;
  /** One of DeliveryState. */
  state: number;
  deliveryCount: number;
  /** Who has the records; empty unless they are acquired. */
  memberId: string;
  /** Until when, milliseconds since the epoch. */
  deadlineMs: number;
  /** What the records are about to become, while that is being written. */
  transition: Transition | null;
  /** The state after the transition, and the delivery count. */
  target: number;
  targetCount: number;
}

/** Records that change their state once that is written. */
export interface Transition {
  readonly runs: Run[];
}

export interface AcknowledgementBatch {
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  /** One for all offsets, or one each. */
  readonly acknowledgeTypes: readonly number[];
}

export interface Acquired {
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  readonly deliveryCount: number;
}

export interface Limits {
  /** The most offsets from the start offset to the last that was given out, but for what completes a batch of the log. */
  readonly maxRecordLocks: number;
  readonly deliveryCountLimit: number;
}

interface Acknowledgement {
  readonly first: bigint;
  readonly last: bigint;
  readonly type: number;
}

/**
 * What has become of the records of one share partition, from the start offset to where nobody has fetched yet. No offset between the
 * two is left out, so whoever holds a record is found by its offset alone.
 */
export class InFlight {
  readonly #runs: RunList;
  #startOffset: bigint;

  /** `batches` as they were stored; what they leave out was acquired, or never fetched. */
  constructor(startOffset: bigint, batches: readonly StateBatch[] = []) {
    this.#startOffset = startOffset;
    const runs: Run[] = [];
    let next = startOffset;
    for (const { firstOffset, lastOffset, deliveryState, deliveryCount } of batches) {
      if (lastOffset < next) continue;
      const first = firstOffset < next ? next : firstOffset;
      if (first > next) runs.push(newRun(next, first - 1n));
      const isKnown =
        deliveryState === DeliveryState.ACKNOWLEDGED || deliveryState === DeliveryState.ARCHIVED;
      const state = isKnown ? deliveryState : DeliveryState.AVAILABLE;
      runs.push({ ...newRun(first, lastOffset), state, deliveryCount });
      next = lastOffset + 1n;
    }
    this.#runs = new RunList(runs);
    this.#trim();
  }

  get startOffset(): bigint {
    return this.#startOffset;
  }

  /** The first offset that was never fetched. */
  get nextOffset(): bigint {
    return this.#runs.end ?? this.#startOffset;
  }

  get runs(): readonly Run[] {
    return this.#runs.all;
  }

  /** Records that are acquired. */
  get acquiredCount(): number {
    let count = 0n;
    for (const run of this.#runs.all) if (run.state === DeliveryState.ACQUIRED) count += sizeOf(run);
    return Number(count);
  }

  /** Records from the offset on that are done with, also those of which that is being written: writes are done in their order. */
  deliveryCompleteCount(from: bigint): number {
    let count = 0n;
    for (const run of this.#runs.all)
      if (run.first >= from && isTerminal(stateAfter(run, run.transition))) count += sizeOf(run);
    return Number(count);
  }

  /** Where the start offset will be when the transition is written. */
  startOffsetAfter(transition: Transition | null): bigint {
    for (const run of this.#runs.all) if (!isTerminal(stateAfter(run, transition))) return run.first;
    return this.nextOffset;
  }

  /** The offsets that a fetch of so many records should look at; null if there is nothing that could be acquired. */
  wanted(maxRecords: number, limits: Limits): { from: bigint; upTo: bigint } | null {
    let from: bigint | null = null;
    let upTo = 0n;
    let left = BigInt(maxRecords);
    for (const run of this.#runs.all) {
      if (left <= 0n) break;
      if (!isAvailable(run)) continue;
      from ??= run.first;
      const taken = sizeOf(run) < left ? sizeOf(run) : left;
      upTo = run.first + taken - 1n;
      left -= taken;
    }
    // What is done with counts too: it is kept, and stored, for as long as an earlier record is not.
    const room = BigInt(limits.maxRecordLocks) - (this.nextOffset - this.#startOffset);
    const fresh = room < left ? room : left;
    if (fresh > 0n) {
      from ??= this.nextOffset;
      upTo = this.nextOffset + fresh - 1n;
    }
    return from === null ? null : { from, upTo };
  }

  /**
   * Gives the available records of a range, `end` is not part of it, to a member, at most `most` of them. `base` is where the first batch
   * of the log begins that was found from the range's begin on: what lies before it does not exist any more.
   */
  acquire(
    range: { readonly from: bigint; readonly base: bigint; readonly end: bigint; readonly most: number },
    memberId: string,
    deadlineMs: number,
    { deliveryCountLimit }: Limits,
  ): Acquired[] {
    const { from, base, end } = range;
    if (end > this.nextOffset) this.#runs.push(newRun(this.nextOffset, end - 1n));
    if (base > from) this.archive(from, base - 1n);
    const acquired: Acquired[] = [];
    let left = BigInt(range.most);
    for (const run of this.#runs.between(base > from ? base : from, end - 1n)) {
      if (left <= 0n) break;
      if (!isAvailable(run)) continue;
      const throttled = throttledSize(run, deliveryCountLimit);
      // What may be the cause of failures goes alone, so that it takes nothing along.
      if (throttled !== null && acquired.length > 0) break;
      let first = run.first < from ? from : run.first;
      if (first < base) first = base;
      let last = run.last < end - 1n ? run.last : end - 1n;
      const most = throttled !== null && throttled < left ? throttled : left;
      if (last - first + 1n > most) last = first + most - 1n;
      const taken = this.#runs.cut(run, first, last);
      taken.state = DeliveryState.ACQUIRED;
      taken.deliveryCount++;
      taken.memberId = memberId;
      taken.deadlineMs = deadlineMs;
      left -= sizeOf(taken);
      acquired.push({ firstOffset: first, lastOffset: last, deliveryCount: taken.deliveryCount });
      if (throttled !== null) break;
    }
    this.#trim();
    return acquired;
  }

  /** Gives up records of the range that nobody has acquired, or that `memberId` has. */
  archive(first: bigint, last: bigint, memberId?: string): void {
    for (const run of this.#runs.between(first, last)) {
      const isOwn = run.state === DeliveryState.ACQUIRED && run.memberId === memberId;
      if ((!isAvailable(run) && !isOwn) || run.transition !== null) continue;
      const from = run.first < first ? first : run.first;
      const to = run.last > last ? last : run.last;
      settle(this.#runs.cut(run, from, to), DeliveryState.ARCHIVED);
    }
    this.#trim();
  }

  /**
   * Begins what a member acknowledges: all of it, or nothing. Renewed records stay with the member until the deadline.
   * @throws ApiError INVALID_REQUEST or INVALID_RECORD_STATE
   */
  acknowledge(
    memberId: string,
    batches: readonly AcknowledgementBatch[],
    { deadlineMs, deliveryCountLimit }: { deadlineMs: number; deliveryCountLimit: number },
  ): Transition {
    const transition: Transition = { runs: [] };
    const checked = batches.flatMap((batch) => this.#checked(memberId, batch));
    for (const { first, last, type } of checked) {
      // Found anew: what was checked may have been cut by an earlier part.
      for (const run of this.#runs.between(first, last)) {
        const part = this.#runs.cut(
          run,
          run.first < first ? first : run.first,
          run.last > last ? last : run.last,
        );
        if (type === AcknowledgeType.RENEW) part.deadlineMs = deadlineMs;
        else this.#begin(part, transition, targetOf(type, part.deliveryCount, deliveryCountLimit));
      }
    }
    return transition;
  }

  /** Begins to take records back: from all whose time is up, or from a member that has gone. As in Kafka the delivery counts. */
  release(which: { memberId: string } | { nowMs: number }, deliveryCountLimit: number): Transition {
    const transition: Transition = { runs: [] };
    const isMeant = (run: Run) =>
      'memberId' in which ? run.memberId === which.memberId : run.deadlineMs <= which.nowMs;
    for (const run of this.#runs.all) {
      if (run.state !== DeliveryState.ACQUIRED || run.transition !== null || !isMeant(run)) continue;
      this.#begin(run, transition, targetOf(AcknowledgeType.RELEASE, run.deliveryCount, deliveryCountLimit));
    }
    return transition;
  }

  /** When the first record's time is up; null if none is acquired. */
  get nextDeadlineMs(): number | null {
    let next: number | null = null;
    for (const run of this.#runs.all)
      if (run.state === DeliveryState.ACQUIRED && run.transition === null)
        next = next === null ? run.deadlineMs : Math.min(next, run.deadlineMs);
    return next;
  }

  /** What is to be written of a transition. */
  batchesOf({ runs }: Transition): StateBatch[] {
    return runs
      .filter(({ last }) => last >= this.#startOffset)
      .map((run) => ({
        firstOffset: run.first,
        lastOffset: run.last,
        deliveryState: run.target,
        deliveryCount: run.targetCount,
      }));
  }

  /** The transition is written. */
  commit({ runs }: Transition): void {
    for (const run of runs) {
      run.deliveryCount = run.targetCount;
      settle(run, run.target);
    }
    this.#trim();
  }

  /** The transition could not be written: everybody keeps what they had. */
  rollBack({ runs }: Transition): void {
    for (const run of runs) run.transition = null;
  }

  /** The log begins later now: what lies before is done with, whoever has it. */
  moveStart(offset: bigint): void {
    if (offset <= this.#startOffset) return;
    if (offset > this.nextOffset) this.#runs.push(newRun(this.nextOffset, offset - 1n));
    this.#runs.takeBelow(offset);
    this.#startOffset = offset;
    this.#trim();
  }

  #begin(run: Run, transition: Transition, target: number, targetCount = run.deliveryCount): void {
    run.transition = transition;
    run.target = target;
    run.targetCount = targetCount;
    transition.runs.push(run);
  }

  #checked(memberId: string, batch: AcknowledgementBatch): Acknowledgement[] {
    if (batch.lastOffset >= this.nextOffset)
      // Where nothing is under way, as after a restart, members may still have what they got before.
      throw this.nextOffset === this.#startOffset
        ? new ApiError(
            ErrorCode.INVALID_RECORD_STATE,
            'Batch record not found. The request batch offsets are not found in the cache.',
          )
        : new ApiError(
            ErrorCode.INVALID_REQUEST,
            'Batch record not found. The last offset in request is past acquired records.',
          );
    const checked: Acknowledgement[] = [];
    for (const { first, last, type } of rangesOf(batch)) {
      // What is done with, for whatever reason, may be acknowledged again.
      if (last < this.#startOffset) continue;
      const from = first < this.#startOffset ? this.#startOffset : first;
      for (const run of this.#runs.between(from, last)) {
        if (run.state !== DeliveryState.ACQUIRED || run.transition !== null)
          throw new ApiError(
            ErrorCode.INVALID_RECORD_STATE,
            'The batch cannot be acknowledged. The batch is not in the acquired state.',
          );
        if (run.memberId !== memberId)
          throw new ApiError(ErrorCode.INVALID_RECORD_STATE, 'Member is not the owner of batch record');
        checked.push({
          first: run.first < from ? from : run.first,
          last: run.last > last ? last : run.last,
          type,
        });
      }
    }
    return checked;
  }

  /** Moves the start offset over what is done with, and joins what is alike. */
  #trim(): void {
    const start = this.startOffsetAfter(null);
    this.#runs.takeBelow(start);
    if (start > this.#startOffset) this.#startOffset = start;
    this.#runs.join(
      (a, b) =>
        a.state === b.state &&
        a.state !== DeliveryState.ACQUIRED &&
        (isTerminal(a.state) || a.deliveryCount === b.deliveryCount),
    );
  }
}

function newRun(first: bigint, last: bigint): Run {
  return {
    first,
    last,
    state: DeliveryState.AVAILABLE,
    deliveryCount: 0,
    memberId: '',
    deadlineMs: 0,
    transition: null,
    target: DeliveryState.AVAILABLE,
    targetCount: 0,
  };
}

function settle(run: Run, state: number): void {
  run.state = state;
  run.memberId = '';
  run.deadlineMs = 0;
  run.transition = null;
}

function sizeOf({ first, last }: Run): bigint {
  return last - first + 1n;
}

function isTerminal(state: number): boolean {
  return state === DeliveryState.ACKNOWLEDGED || state === DeliveryState.ARCHIVED;
}

function isAvailable(run: Run): boolean {
  return run.state === DeliveryState.AVAILABLE && run.transition === null;
}

function stateAfter(run: Run, transition: Transition | null): number {
  return transition !== null && run.transition === transition ? run.target : run.state;
}

function targetOf(type: number, deliveryCount: number, deliveryCountLimit: number): number {
  if (type === AcknowledgeType.ACCEPT) return DeliveryState.ACKNOWLEDGED;
  if (type === AcknowledgeType.RELEASE && deliveryCount < deliveryCountLimit) return DeliveryState.AVAILABLE;
  return DeliveryState.ARCHIVED;
}

/**
 * How many records of a run may go out together; null for all. From half of the attempts on it is half of them, then a quarter, and the
 * last attempt is made one by one: a record that nobody can process should not take others along.
 */
function throttledSize(run: Run, deliveryCountLimit: number): bigint | null {
  const threshold = Math.max(2, Math.ceil(deliveryCountLimit / 2));
  if (run.deliveryCount < threshold) return null;
  if (run.deliveryCount >= deliveryCountLimit - 1) return 1n;
  const size = sizeOf(run) >> BigInt(run.deliveryCount - threshold + 1);
  return size > 0n ? size : 1n;
}

/** Offsets that follow each other and have the same type. */
function rangesOf({ firstOffset, lastOffset, acknowledgeTypes }: AcknowledgementBatch) {
  const [only] = acknowledgeTypes;
  if (acknowledgeTypes.length === 1) return [{ first: firstOffset, last: lastOffset, type: only! }];
  const ranges: { first: bigint; last: bigint; type: number }[] = [];
  for (const [i, type] of acknowledgeTypes.entries()) {
    const offset = firstOffset + BigInt(i);
    const range = ranges[ranges.length - 1];
    if (range?.type === type) range.last = offset;
    else ranges.push({ first: offset, last: offset, type });
  }
  return ranges;
}

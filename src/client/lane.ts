import type { SendableBatch } from './batch-sender.ts';
import type { PushedEvent } from './push-event.ts';

export interface PushResult {
  readonly partition: number;
  /** -1n: the gateway had the event already and does not say where. */
  readonly offset: bigint;
}

/**
 * Events that are sent together. What lives until the acknowledgement is what the garbage collector copies, and who pushes fast has many events under
 * way: once the batch is encoded, all that is kept of an event is its promise.
 */
export class Batch {
  /** None once the batch is encoded; null for one that was taken back. */
  events: (PushedEvent | null)[] = [];
  /** Of those that were not taken back. */
  count = 0;
  bytes = 0;
  /** Null: its events may still be taken back, or it is not full yet. */
  encoded: SendableBatch | null = null;
  /** Whether some of its events may be taken back. */
  isWithdrawable = false;
  /** By `monotonicMs`. */
  readonly deadline: number;
  /** Of its first event; begins again after 2^31. */
  sequence = -1;
  /** How many of its partition were sent first. */
  place = -1;
  timer: NodeJS.Timeout | null = null;
  attempts = 0;
  /** Nobody knows whether it was appended. */
  uncertain = false;
  /** Its events have their results; it may still be on its way. */
  settled = false;
  /** Resolves to the offset of the first event. */
  readonly #acknowledged: Promise<bigint>;
  #resolve!: (baseOffset: bigint) => void;
  #reject!: (error: Error) => void;
  /** Of events that were taken back: which ones. */
  readonly #withdrawn: number[] = [];
  /** Tells the next event its result: promises are told in the order in which they were made. */
  readonly #next: (baseOffset: bigint) => PushResult;

  constructor(partition: number, deadline: number) {
    this.deadline = deadline;
    this.#acknowledged = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    let told = 0;
    this.#next = (baseOffset) => {
      const at = told++;
      return {
        partition,
        offset: baseOffset < 0n ? -1n : baseOffset + BigInt(at - this.#withdrawnBefore(at)),
      };
    };
  }

  /** Resolves when the batch is acknowledged. */
  add(event: PushedEvent): Promise<PushResult> {
    this.events.push(event);
    this.count++;
    this.bytes += event.bytes;
    return this.#acknowledged.then(this.#next);
  }

  /** Takes an event out, unless it is not here, or no longer; nothing is told of it. */
  withdraw(event: PushedEvent): boolean {
    const at = this.events.indexOf(event);
    if (at < 0) return false;
    this.events[at] = null;
    this.#withdrawn.push(at);
    this.count--;
    this.bytes -= event.bytes;
    return true;
  }

  #withdrawnBefore(at: number): number {
    let count = 0;
    for (const other of this.#withdrawn) if (other < at) count++;
    return count;
  }

  acknowledge(baseOffset: bigint): void {
    this.#resolve(baseOffset);
  }

  fail(error: Error): void {
    this.#reject(error);
  }
}

/** The events of one partition, in their order. */
export class Lane {
  readonly partition: number;
  open: Batch | null = null;
  readonly full: Batch[] = [];
  inFlight = 0;
  sequence = 0;
  #places = 0;
  /** When the batch before is on its way. */
  turn: Promise<void> = Promise.resolve();
  /** Attempts again, one at a time, until what failed is through. */
  readonly failed: Batch[] = [];
  /** The next attempt is not due yet. */
  isResting = false;

  constructor(partition: number) {
    this.partition = partition;
  }

  get isIdle(): boolean {
    return this.open === null && this.full.length === 0 && this.inFlight === 0 && this.failed.length === 0;
  }

  /** The open batch takes no more. */
  seal(): void {
    const { open } = this;
    if (open === null) return;
    if (open.timer !== null) clearTimeout(open.timer);
    this.open = null;
    this.full.push(open);
  }

  /** Takes the next batch to be sent, with its sequence. */
  next(): Batch | undefined {
    const batch = this.full.shift();
    if (batch === undefined) return undefined;
    batch.place = this.#places++;
    batch.sequence = this.sequence;
    this.sequence = (this.sequence + batch.count) % 2 ** 31;
    return batch;
  }

  /** Takes an event out of the batch that it waits in; null when that is on its way, or was. */
  withdraw(event: PushedEvent): Batch | null {
    const batch = [this.open, ...this.full].find((one) => one?.withdraw(event)) ?? null;
    if (batch === null || batch.count > 0) return batch;
    if (batch === this.open) this.seal();
    this.full.splice(this.full.indexOf(batch), 1);
    return batch;
  }

  /** Keeps a batch for another attempt. */
  keep(batch: Batch): void {
    if (this.failed.includes(batch)) return;
    this.failed.push(batch);
    this.failed.sort((a, b) => a.place - b.place);
  }

  /** The batch needs no more attempts. */
  forget(batch: Batch): void {
    const at = this.failed.indexOf(batch);
    if (at >= 0) this.failed.splice(at, 1);
  }

  /** Takes what is not on its way, in order: all of it, or some. */
  takeWaiting(isTaken: (batch: Batch) => boolean = () => true): Batch[] {
    if (this.open !== null && isTaken(this.open)) this.seal();
    return [this.failed, this.full].flatMap((batches) => {
      const all = batches.splice(0);
      batches.push(...all.filter((batch) => !isTaken(batch)));
      return all.filter(isTaken);
    });
  }
}

import type { PushedEvent } from './push-event.ts';

export interface PushResult {
  readonly partition: number;
  /** -1n: the gateway had the event already and does not say where. */
  readonly offset: bigint;
}

export interface Batch {
  readonly events: PushedEvent[];
  bytes: number;
  /** By `monotonicMs`. */
  readonly deadline: number;
  sequence: number;
  timer: NodeJS.Timeout | null;
  attempts: number;
  /** Nobody knows whether it was appended. */
  uncertain: boolean;
  /** Its events have their results; it may still be on its way. */
  settled: boolean;
}

export function openBatch(deadline: number): Batch {
  const state = { timer: null, attempts: 0, uncertain: false, settled: false };
  return { events: [], bytes: 0, deadline, sequence: -1, ...state };
}

/** The events of one partition, in their order. */
export class Lane {
  readonly partition: number;
  open: Batch | null = null;
  readonly full: Batch[] = [];
  inFlight = 0;
  sequence = 0;
  /** When the batch before is on its way. */
  turn: Promise<void> = Promise.resolve();
  /** Attempts again, one at a time, until what failed is through. */
  readonly failed: Batch[] = [];

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
    batch.sequence = this.sequence;
    this.sequence = (this.sequence + batch.events.length) % 2 ** 31;
    return batch;
  }

  /** Takes an event out of the batch that it waits in; null when that is on its way, or was. */
  withdraw(event: PushedEvent): Batch | null {
    const batch = [this.open, ...this.full].find((one) => one?.events.includes(event)) ?? null;
    if (batch === null) return null;
    batch.events.splice(batch.events.indexOf(event), 1);
    batch.bytes -= event.bytes;
    if (batch.events.length > 0) return batch;
    if (batch === this.open) this.seal();
    this.full.splice(this.full.indexOf(batch), 1);
    return batch;
  }

  /** Keeps a batch for another attempt. */
  keep(batch: Batch): void {
    if (this.failed.includes(batch)) return;
    this.failed.push(batch);
    this.failed.sort((a, b) => a.sequence - b.sequence);
  }

  /** The batch needs no more attempts. */
  forget(batch: Batch): void {
    const at = this.failed.indexOf(batch);
    if (at >= 0) this.failed.splice(at, 1);
  }

  /** Takes everything that is not on its way. */
  takeWaiting(): Batch[] {
    this.seal();
    return [...this.failed.splice(0), ...this.full.splice(0)];
  }
}

import type { Clock, Timer } from '../../util/clock.ts';

/** Where a waiting fetch is told of new records. */
export interface Watched {
  readonly waiters: Set<FetchWait>;
}

/**
 * A fetch that waits for `minBytes` more bytes, or for its time to be over. Costs memory and a timer; nothing happens
 * until one of its partitions advances.
 */
export class FetchWait {
  readonly done: Promise<void>;
  #missingBytes: number;
  #resolve: () => void = () => undefined;
  #timer: Timer | null = null;
  readonly #watched: Watched[] = [];

  constructor(missingBytes: number, waitMs: number, clock: Clock) {
    this.#missingBytes = missingBytes;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#timer = clock.setTimer(waitMs, () => this.finish());
  }

  watch(partition: Watched): void {
    this.#watched.push(partition);
    partition.waiters.add(this);
  }

  /** A watched partition has so many more bytes to give. */
  offer(bytes: number): void {
    this.#missingBytes -= bytes;
    if (this.#missingBytes <= 0) this.finish();
  }

  /** Ends the wait: enough bytes, time over, connection closed, or a partition changed in another way. */
  finish(): void {
    if (this.#timer === null) return;
    this.#timer.cancel();
    this.#timer = null;
    for (const partition of this.#watched) partition.waiters.delete(this);
    this.#resolve();
  }
}

import type { Clock, Timer } from '../../util/clock.ts';

/** How far a fetch may read. */
export type Isolation = 'read_uncommitted' | 'read_committed';

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
  readonly isolation: Isolation;
  #missingBytes: number;
  #resolve: () => void = () => undefined;
  #timer: Timer | null = null;
  readonly #watched: Watched[] = [];

  constructor(missingBytes: number, waitMs: number, clock: Clock, isolation: Isolation = 'read_uncommitted') {
    this.#missingBytes = missingBytes;
    this.isolation = isolation;
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

import type { Clock } from '../../../util/clock.ts';

/** Keeps what is copied, by whomever, below a rate that may change at any time. */
export class MoveThrottle {
  readonly #clock: Clock;
  readonly #bytesPerSecond: () => number;
  /** Copied, and not yet covered by the rate. */
  #debtBytes = 0;
  #paidMs: number;

  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#paidMs = clock.now();
  }

  /** Whether more may be copied now; never with a rate of 0. */
  get isOpen(): boolean {
    const now = this.#clock.now();
    const rate = this.#bytesPerSecond();
    this.#debtBytes = Math.max(0, this.#debtBytes - (rate * (now - this.#paidMs)) / 1000);
    this.#paidMs = now;
    return rate > 0 && this.#debtBytes === 0;
  }

  spend(bytes: number): void {
    this.#debtBytes += bytes;
  }
}

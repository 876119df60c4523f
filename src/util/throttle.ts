import type { Clock, Timer } from './clock.ts';

/** The rate may have changed after so long. */
const LOOK_MS = 100;

interface Waiting {
  readonly bytes: number;
  readonly resolve: () => void;
}

/** Keeps work in the background, whoever does it, below a rate that may change at any time, also while somebody waits. */
export class Throttle {
  readonly #clock: Clock;
  readonly #bytesPerSecond: () => number;
  /** Spent, and not yet covered by the rate. */
  #debtBytes = 0;
  #paidMs: number;
  /** In the order of their calls. */
  readonly #waiting: Waiting[] = [];
  #timer: Timer | null = null;
  #ended = false;

  /** `bytesPerSecond`: negative for no limit; with 0 nothing may be done. */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#paidMs = clock.now();
  }

  /** How long it is until more may be done, in milliseconds, if the rate stays as it is; 0: now. */
  get delayMs(): number {
    const now = this.#clock.now();
    const rate = this.#bytesPerSecond();
    if (rate < 0) this.#debtBytes = 0;
    else {
      // Nothing is owed for a clock that was set back.
      const elapsedMs = Math.max(0, now - this.#paidMs);
      this.#debtBytes = Math.max(0, this.#debtBytes - (rate * elapsedMs) / 1000);
    }
    this.#paidMs = now;
    if (rate === 0) return Number.POSITIVE_INFINITY;
    return this.#debtBytes === 0 ? 0 : Math.max(1, (this.#debtBytes / rate) * 1000);
  }

  get isOpen(): boolean {
    return this.delayMs === 0;
  }

  /** So many bytes are worked on now. */
  spend(bytes: number): void {
    this.#debtBytes += bytes;
  }

  /** Resolves when so many bytes may be worked on, which counts as spent then, or at `end`; at once after that. */
  wait(bytes: number): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ bytes, resolve });
      if (this.#timer === null) this.#serve();
    });
  }

  #serve(): void {
    this.#timer = null;
    while (this.#waiting.length > 0) {
      const { delayMs } = this;
      if (delayMs > 0) {
        this.#timer = this.#clock.setTimer(Math.min(delayMs, LOOK_MS), () => this.#serve());
        return;
      }
      const { bytes, resolve } = this.#waiting.shift()!;
      this.spend(bytes);
      resolve();
    }
  }

  /** Nobody waits any more. */
  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#timer = null;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }
}

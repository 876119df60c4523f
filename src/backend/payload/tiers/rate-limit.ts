import type { Clock } from '../../../util/clock.ts';

/** Spreads work over time so that it stays below a rate, whoever does it. */
export class RateLimit {
  readonly #clock: Clock;
  #freeAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** When to begin with so many bytes, in milliseconds from now. `bytesPerSecond`: negative for no limit. */
  delayMs(bytes: number, bytesPerSecond: number): number {
    if (bytesPerSecond < 0) return 0;
    const now = this.#clock.now();
    const begin = Math.max(now, this.#freeAtMs);
    this.#freeAtMs = begin + (bytes / bytesPerSecond) * 1000;
    return begin - now;
  }
}

import type { Clock } from '../../util/clock.ts';

const MAX_KEYS = 1000;

/** Keeps a client that repeats its mistake from filling the log: each kind of line once in a while. */
export class LogLimiter {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #lastAt = new Map<string, number>();

  constructor(clock: Clock, intervalMs = 60_000) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** True if a line with this key is due. */
  allows(key: string): boolean {
    const now = this.#clock.now();
    const last = this.#lastAt.get(key);
    if (last !== undefined && now - last < this.#intervalMs) return false;
    this.#lastAt.delete(key);
    // The map keeps the order of insertion: the oldest key goes first.
    if (this.#lastAt.size >= MAX_KEYS) this.#lastAt.delete(this.#lastAt.keys().next().value!);
    this.#lastAt.set(key, now);
    return true;
  }
}

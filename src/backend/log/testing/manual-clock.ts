import type { Clock } from '../../../util/clock.ts';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly action: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  #pending: Pending[] = [];

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  setTimer(delayMs: number, action: () => void): { cancel(): void } {
    const pending = { at: this.#now + delayMs, order: this.#order++, action };
    this.#pending.push(pending);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== pending);
      },
    };
  }

  /** Forgets all timers, as when the process dies. */
  clear(): void {
    this.#pending = [];
  }

  /** Moves on and runs what has become due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#pending
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (!next) break;
      this.#pending = this.#pending.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
    }
    this.#now = end;
  }
}

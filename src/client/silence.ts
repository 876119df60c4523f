import { MAX_TIMER_MS, monotonicMs } from '../util/clock.ts';

/**
 * Waits for an answer, until nothing at all has come for so long. Where the application has kept the event loop busy, what has come meanwhile is read
 * before anything is given up.
 */
export class Silence {
  readonly #heardAt: () => number;
  readonly #onSilence: () => void;
  readonly #sinceMs = monotonicMs();
  #allowedMs: number;
  #timer: NodeJS.Timeout;
  #over = false;

  /** @param heardAt when something came last, by `monotonicMs` */
  constructor(allowedMs: number, heardAt: () => number, onSilence: () => void) {
    this.#allowedMs = allowedMs;
    this.#heardAt = heardAt;
    this.#onSilence = onSilence;
    this.#timer = this.#start(allowedMs);
  }

  /** So much longer. */
  allow(ms: number): void {
    this.#allowedMs += ms;
  }

  /** The answer has come, or is not wanted any more. */
  end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #start(ms: number): NodeJS.Timeout {
    return setTimeout(() => setImmediate(() => this.#look()), Math.min(ms, MAX_TIMER_MS));
  }

  #look(): void {
    if (this.#over) return;
    const quietMs = monotonicMs() - Math.max(this.#sinceMs, this.#heardAt());
    if (quietMs >= this.#allowedMs) this.#onSilence();
    else this.#timer = this.#start(this.#allowedMs - quietMs);
  }
}

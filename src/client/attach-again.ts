import { monotonicMs } from '../util/clock.ts';

const FIRST_MS = 1_000;
const MAX_MS = 60_000;

/** When clients that were turned away, because too many asked at the same time, ask again: less and less often, and not all together. */
export class AttachAgain {
  readonly #next = new WeakMap<object, { atMs: number; waitMs: number }>();

  /** Whether `who` should ask now; it is not due again for a while then. */
  isDue(who: object, nowMs = monotonicMs()): boolean {
    const next = this.#next.get(who);
    if (next === undefined) this.#plan(who, nowMs, FIRST_MS);
    else if (nowMs >= next.atMs) this.#plan(who, nowMs, Math.min(2 * next.waitMs, MAX_MS));
    return next !== undefined && nowMs >= next.atMs;
  }

  #plan(who: object, nowMs: number, waitMs: number): void {
    this.#next.set(who, { atMs: nowMs + waitMs * (0.5 + Math.random()), waitMs });
  }
}

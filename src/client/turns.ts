import { settles } from './settles.ts';

/** One at a time, first come first served; who waits may give up. */
export class Turns {
  #isTaken = false;
  readonly #waiting = new Set<() => void>();

  get isFree(): boolean {
    return !this.#isTaken;
  }

  /**
   * Resolves to whether it is the caller's turn, until `give`; false when so many milliseconds are over, or the signal aborts, before that.
   * @param waitMs null: however many
   */
  async take(waitMs: number | null, signal: AbortSignal | undefined): Promise<boolean> {
    if (!this.#isTaken) {
      this.#isTaken = true;
      return true;
    }
    let enter!: () => void;
    const turn = new Promise<void>((resolve) => {
      enter = resolve;
    });
    this.#waiting.add(enter);
    if (await settles(turn, waitMs, signal)) return true;
    // It may have come when nobody waited for it any more.
    if (!this.#waiting.delete(enter)) this.give();
    return false;
  }

  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#isTaken = false;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

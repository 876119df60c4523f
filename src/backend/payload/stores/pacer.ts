import type { Clock } from '../../../util/clock.ts';
import { RateLimit } from '../tiers/rate-limit.ts';

/** Makes work in the background wait, so that it stays below a rate. */
export class Pacer {
  readonly #clock: Clock;
  readonly #rate: RateLimit;
  readonly #bytesPerSecond: () => number;
  readonly #waiting = new Set<() => void>();

  /** `bytesPerSecond`: negative for no limit. */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock;
    this.#rate = new RateLimit(clock);
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Resolves when so many bytes may be worked on, or at `end`. */
  async wait(bytes: number): Promise<void> {
    const delay = this.#rate.delayMs(bytes, this.#bytesPerSecond());
    if (delay <= 0) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        timer.cancel();
        resolve();
      };
      const timer = this.#clock.setTimer(delay, done);
      this.#waiting.add(done);
    });
  }

  /** Ends all that wait. */
  end(): void {
    for (const done of [...this.#waiting]) done();
  }
}

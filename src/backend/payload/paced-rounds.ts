import type { Clock, Timer } from '../../util/clock.ts';
import { Throttle } from '../../util/throttle.ts';

export interface PacedRoundsOptions {
  readonly clock: Clock;
  /** Negative for no limit. */
  readonly bytesPerSecond: () => number;
  /** How long it is until the first look, and from the end of one to the next. */
  readonly pauseMs: number;
  /** A round, or a look whether one is due. */
  readonly look: () => Promise<void>;
}

/** Work in the background that is done over everything again and again, below a rate. */
export class PacedRounds {
  readonly #options: PacedRoundsOptions;
  readonly #throttle: Throttle;
  #running = false;
  #timer: Timer | null = null;
  #work: Promise<void> = Promise.resolve();

  constructor(options: PacedRoundsOptions) {
    this.#options = options;
    this.#throttle = new Throttle(options.clock, options.bytesPerSecond);
  }

  /** Between `start` and `stop`. */
  get isRunning(): boolean {
    return this.#running;
  }

  /** Resolves when so many bytes may be worked on, or at `stop`. */
  wait(bytes: number): Promise<void> {
    return this.#throttle.wait(bytes);
  }

  start(): void {
    this.#running = true;
    this.#later();
  }

  #later(): void {
    const { clock, pauseMs, look } = this.#options;
    this.#timer = clock.setTimer(pauseMs, () => {
      this.#work = look().finally(() => {
        if (this.#running) this.#later();
      });
    });
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    this.#throttle.end();
    await this.#work;
  }
}

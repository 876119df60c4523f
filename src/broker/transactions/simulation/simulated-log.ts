import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type { VirtualClock } from '../../../util/testing/virtual-clock.ts';

interface Write<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A log in memory whose writes take virtual time in the order of the calls, may fail, and may or may not survive a crash. */
export class SimulatedLog<T> {
  readonly durable: T[] = [];
  /** Probability that a write, and with it those queued behind it, fails. */
  failureRate = 0;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #onFailure: () => void;
  #queue: Write<T>[] = [];
  #last: Promise<void> = Promise.resolve();
  #life = 0;

  constructor(clock: VirtualClock, random: SeededRandom, onFailure = () => {}) {
    this.#clock = clock;
    this.#random = random;
    this.#onFailure = onFailure;
  }

  append(item: T): Promise<void> {
    this.#last = new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      if (this.#queue.length === 1) this.#writeNext();
    });
    return this.#last;
  }

  /** Settles as the last append does. */
  written(): Promise<void> {
    return this.#last;
  }

  /** The process dies: of the writes under way some first ones survive, and nobody is told. */
  crash(): void {
    this.#life++;
    const survivors = this.#queue.slice(0, this.#random.integer(0, this.#queue.length));
    this.durable.push(...survivors.map(({ item }) => item));
    this.#queue = [];
    this.#last = Promise.resolve();
  }

  #writeNext(): void {
    const life = this.#life;
    this.#clock.setTimer(this.#random.integer(0, 8), () => {
      if (life !== this.#life) return;
      if (this.#random.chance(this.failureRate)) {
        const failed = this.#queue.splice(0);
        this.#last = Promise.resolve();
        this.#onFailure();
        for (const { reject } of failed) reject(new ApiError(ErrorCode.KAFKA_STORAGE_ERROR));
        return;
      }
      const { item, resolve } = this.#queue.shift()!;
      this.durable.push(item);
      resolve();
      if (this.#queue.length > 0) this.#writeNext();
    });
  }
}

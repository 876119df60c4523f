import type { Clock, Timer } from '../../../../util/clock.ts';
import { StoreError } from '../messages.ts';

interface Waiting {
  readonly bytes: number;
  readonly timer: Timer;
  resolve(): void;
  reject(error: Error): void;
}

/** Bytes that may be in memory for one gateway at a time: what it asks for beyond that waits for its turn, in order. */
export class ByteTurns {
  readonly #clock: Clock;
  readonly #limitBytes: number;
  readonly #waiting: Waiting[] = [];
  #heldBytes = 0;

  /** @param limitBytes at least what is asked for at a time */
  constructor(clock: Clock, limitBytes: number) {
    this.#clock = clock;
    this.#limitBytes = limitBytes;
  }

  /** Null: there is room now. Whoever has had a turn says when it is over. Rejects with ETIMEDOUT when there is none in time. */
  take(bytes: number, timeoutMs: number): Promise<void> | null {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#heldBytes += bytes;
      return null;
    }
    return new Promise((resolve, reject) => {
      const late = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new StoreError('ETIMEDOUT', 'the gateway does not take what it has asked for before'));
        this.#serve();
      };
      const waiting = { bytes, resolve, reject, timer: this.#clock.setTimer(timeoutMs, late) };
      this.#waiting.push(waiting);
    });
  }

  over(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#serve();
  }

  /** The gateway is gone: nobody waits any more. */
  end(reason: string): void {
    for (const { timer, reject } of this.#waiting.splice(0)) {
      timer.cancel();
      reject(new StoreError('ENOTCONN', reason));
    }
  }

  #fits(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.#limitBytes;
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0]!.bytes)) {
      const { bytes, timer, resolve } = this.#waiting.shift()!;
      timer.cancel();
      this.#heldBytes += bytes;
      resolve();
    }
  }
}

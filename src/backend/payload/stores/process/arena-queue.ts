import { NativeMemory } from '../../../../native/arena.ts';
import type { Clock } from '../../../../util/clock.ts';
import { StoreError } from '../messages.ts';

const RETRY_MS = 5;

/** Memory for what is to come, in the order in which it was asked for: so that nothing waits for what comes behind it. */
export class ArenaQueue {
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rejects with ENOMEM when there is none before the deadline. */
  allocate(bytes: number, deadlineMs: number): Promise<NativeMemory> {
    const allocated = this.#last.then(() => this.#allocate(bytes, deadlineMs));
    this.#last = allocated.catch(() => undefined);
    return allocated;
  }

  async #allocate(bytes: number, deadlineMs: number): Promise<NativeMemory> {
    for (;;) {
      const memory = NativeMemory.allocate(bytes);
      if (memory !== null) return memory;
      if (this.#clock.now() >= deadlineMs)
        throw new StoreError(
          'ENOMEM',
          `the store has no memory for ${bytes} bytes: arena.bytes is too small`,
        );
      await new Promise<void>((resolve) => {
        this.#clock.setTimer(RETRY_MS, resolve);
      });
    }
  }
}

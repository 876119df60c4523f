import type { NativeMemory } from '../../../../native/arena.ts';
import type { Clock } from '../../../../util/clock.ts';
import type { Operation, StoreError } from '../messages.ts';
import { GRACE_MS } from '../store-connection.ts';
import type { Relays } from './relays.ts';

type Append = Extract<Operation, { op: 'append' }>;

/** A copy of one append at another store that did not come about. */
export interface FailedCopy {
  readonly store: string;
  readonly code: string;
  readonly message: string;
}

const MAX_MESSAGE = 1000;

/** Passes what one append brings on to other stores, piece by piece, in order. */
export class Passing {
  readonly #append: Append;
  readonly #relays: Relays;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #failed = new Map<string, FailedCopy>();
  readonly #passed: Promise<unknown>[] = [];

  constructor(append: Append, relays: Relays, clock: Clock, deadlineMs: number) {
    this.#append = append;
    this.#relays = relays;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
  }

  /** Bytes of the append from `from` on, which are at `offset` of the memory. Resolves when nobody needs them any more. */
  pass(memory: NativeMemory, offset: number, from: number, length: number): Promise<void> {
    const { position, fromMemory, onward = [] } = this.#append;
    memory.retain();
    // Who does not take it loses his connection before the gateway, which waits as long, takes this store for one that does not answer.
    const leftMs = this.#deadlineMs - this.#clock.now();
    const timeoutMs = Math.max(1, Math.ceil(leftMs - Math.min(GRACE_MS, leftMs / 2)));
    const source = memory.arenaOffset + offset;
    const passed = onward.map(async ({ store, file }) => {
      // What follows something that is not there cannot be put there.
      if (this.#failed.has(store)) return;
      const order = { file, position: position + from, length, source, fromMemory, timeoutMs };
      await this.#relays.append(store, order).catch(({ code, message }: StoreError) => {
        if (this.#failed.has(store)) return;
        this.#failed.set(store, { store, code: code ?? 'EIO', message: message.slice(0, MAX_MESSAGE) });
      });
    });
    const all = Promise.all(passed).then(() => memory.release());
    this.#passed.push(all);
    return all;
  }

  /** Where it could not be put, when all has been passed on. */
  async failed(): Promise<FailedCopy[]> {
    await Promise.all(this.#passed);
    return [...this.#failed.values()];
  }
}

import { StreamsError } from '../errors.ts';
import type { ValueFile } from './value-file.ts';

/** What a store keeps of a value: the value itself, or its place in a file. */
export interface Held {
  readonly bytes: Buffer | null;
  file: ValueFile | null;
  position: number;
  readonly length: number;
}

/** Where values of a store lie. */
export interface ValueStorage {
  hold(value: Buffer): Held;
  /** The value's bytes, which must not be written to. */
  read(held: Held): Buffer;
  release(held: Held): void;
  close(): void;
}

/** What the state of an application may take in memory, over all its stores. */
export class MemoryBudget {
  readonly #limit: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get used(): number {
    return this.#used;
  }

  /** Adds bytes, or gives them back if negative. @throws StreamsError STORE_FULL */
  take(bytes: number, store: string): void {
    if (bytes > 0 && this.#used + bytes > this.#limit)
      throw new StreamsError(
        'STORE_FULL',
        `store ${store} would take the application's state above ${this.#limit} bytes of memory; raise ` +
          'stateMaxBytes, give stateDir so that values lie on disk, or run more instances',
      );
    this.#used += bytes;
  }
}

/** Values in memory. */
export class MemoryValues implements ValueStorage {
  readonly #budget: MemoryBudget;
  readonly #store: string;

  constructor(budget: MemoryBudget, store: string) {
    this.#budget = budget;
    this.#store = store;
  }

  hold(value: Buffer): Held {
    this.#budget.take(value.length, this.#store);
    // A copy: the value may be a small part of a large response, which it would keep in memory.
    return { bytes: Buffer.from(value), file: null, position: 0, length: value.length };
  }

  read(held: Held): Buffer {
    return held.bytes!;
  }

  release(held: Held): void {
    this.#budget.take(-held.length, this.#store);
  }

  close(): void {}
}

import type { Held, MemoryBudget, ValueStorage } from './value-storage.ts';

/** What an entry costs beside its value: the map's slot, the key as text, the objects. */
const ENTRY_BYTES = 120;

export interface Stored {
  readonly value: Buffer;
  readonly timestamp: number;
}

/** Gets what a store has changed, for its changelog; null is a deletion. */
export type ChangeListener = (key: Buffer, value: Buffer | null, timestamp: number) => void;

/** Latest values by key. */
export class KeyValueStore {
  readonly #name: string;
  readonly #values: ValueStorage;
  readonly #budget: MemoryBudget;
  readonly #changed: ChangeListener;
  readonly #entries = new Map<string, { held: Held; timestamp: number }>();

  constructor(name: string, values: ValueStorage, budget: MemoryBudget, changed: ChangeListener) {
    this.#name = name;
    this.#values = values;
    this.#budget = budget;
    this.#changed = changed;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Buffer): Stored | null {
    const entry = this.#entries.get(key.toString('latin1'));
    return entry === undefined ? null : { value: this.#values.read(entry.held), timestamp: entry.timestamp };
  }

  /** Null deletes. @throws StreamsError STORE_FULL */
  put(key: Buffer, value: Buffer | null, timestamp: number): void {
    this.restore(key, value, timestamp);
    this.#changed(key, value, timestamp);
  }

  /** As `put`, of what the changelog has already. */
  restore(key: Buffer, value: Buffer | null, timestamp: number): void {
    const text = key.toString('latin1');
    const before = this.#entries.get(text);
    if (value === null) {
      if (before === undefined) return;
      this.#entries.delete(text);
      this.#budget.take(-ENTRY_BYTES - key.length, this.#name);
      this.#values.release(before.held);
      return;
    }
    if (before === undefined) this.#budget.take(ENTRY_BYTES + key.length, this.#name);
    const held = this.#values.hold(value);
    if (before !== undefined) this.#values.release(before.held);
    this.#entries.set(text, { held, timestamp });
  }

  *entries(): Generator<[Buffer, Stored]> {
    for (const [key, { held, timestamp }] of this.#entries)
      yield [Buffer.from(key, 'latin1'), { value: this.#values.read(held), timestamp }];
  }

  close(): void {
    for (const [key, { held }] of this.#entries) {
      this.#budget.take(-ENTRY_BYTES - key.length, this.#name);
      this.#values.release(held);
    }
    this.#entries.clear();
    this.#values.close();
  }
}

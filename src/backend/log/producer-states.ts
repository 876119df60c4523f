import { isControl } from './batch.ts';
import type { BatchInfo } from './ports.ts';
import {
  type AppendOrigin,
  emptyEntry,
  findDuplicate,
  type ProducerEntry,
  type RememberedBatch,
  withDataBatch,
  withMarker,
} from './producer-entry.ts';

/** The outcome of checking an append: the batch that it repeats, or the producers as they will be after it. */
export type ProducerCheck =
  | { readonly duplicate: RememberedBatch }
  | { readonly duplicate: null; readonly updates: ReadonlyMap<bigint, ProducerEntry> };

const NO_UPDATES: ProducerCheck = { duplicate: null, updates: new Map() };

/** The producers that have written to a partition, as of `endOffset`. */
export class ProducerStates {
  readonly #entries = new Map<bigint, ProducerEntry>();
  /** First offsets of the open transactions by producer. */
  readonly #openTransactions = new Map<bigint, bigint>();
  /** Every batch below it is taken into account. */
  endOffset = 0n;

  get size(): number {
    return this.#entries.size;
  }

  entries(): ProducerEntry[] {
    return [...this.#entries.values()];
  }

  get(producerId: bigint): ProducerEntry | undefined {
    return this.#entries.get(producerId);
  }

  /** The first offset of the oldest open transaction; null without one. */
  get firstUnstableOffset(): bigint | null {
    let first: bigint | null = null;
    for (const offset of this.#openTransactions.values()) {
      if (first === null || offset < first) first = offset;
    }
    return first;
  }

  /** Checks batches without changing anything; throws LogError. */
  check(batches: readonly BatchInfo[], origin: AppendOrigin): ProducerCheck {
    if (batches.length === 1 && batches[0]!.producerId < 0n) return NO_UPDATES;
    const updates = new Map<bigint, ProducerEntry>();
    for (const batch of batches) {
      if (batch.producerId < 0n) continue;
      const known = this.#entries.get(batch.producerId);
      if (known && origin === 'client') {
        const duplicate = findDuplicate(known, batch);
        if (duplicate) return { duplicate };
      }
      const entry = updates.get(batch.producerId) ?? known ?? emptyEntry(batch.producerId);
      updates.set(batch.producerId, after(entry, batch, origin));
    }
    return { duplicate: null, updates };
  }

  /** Takes over what `check` found. `endOffset` is the log's after the append. */
  apply(updates: ReadonlyMap<bigint, ProducerEntry>, endOffset: bigint): void {
    for (const entry of updates.values()) this.#set(entry);
    this.endOffset = endOffset;
  }

  /** Takes a batch that is in the log into account. */
  replay(batch: BatchInfo): void {
    if (batch.lastOffset < this.endOffset) return;
    if (batch.producerId >= 0n) {
      const entry = this.#entries.get(batch.producerId) ?? emptyEntry(batch.producerId);
      this.#set(after(entry, batch, 'replication'));
    }
    this.endOffset = batch.lastOffset + 1n;
  }

  /** Starts over from the producers of a snapshot. */
  reset(entries: readonly ProducerEntry[], endOffset: bigint): void {
    this.#entries.clear();
    this.#openTransactions.clear();
    for (const entry of entries) this.#set(entry);
    this.endOffset = endOffset;
  }

  /** Forgets producers that have written nothing since `before` and have no open transaction. */
  expire(before: bigint): void {
    for (const entry of this.#entries.values()) {
      if (entry.currentTxnFirstOffset === null && entry.lastTimestamp <= before) {
        this.#entries.delete(entry.producerId);
      }
    }
  }

  #set(entry: ProducerEntry): void {
    this.#entries.set(entry.producerId, entry);
    if (entry.currentTxnFirstOffset === null) this.#openTransactions.delete(entry.producerId);
    else this.#openTransactions.set(entry.producerId, entry.currentTxnFirstOffset);
  }
}

function after(entry: ProducerEntry, batch: BatchInfo, origin: AppendOrigin): ProducerEntry {
  if (!isControl(batch)) return withDataBatch(entry, batch, origin);
  return batch.marker ? withMarker(entry, batch, origin) : entry;
}

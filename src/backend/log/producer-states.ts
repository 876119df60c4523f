import { isControl } from './batch.ts';
import type { BatchInfo } from './ports.ts';
import {
  type AppendOrigin,
  emptyEntry,
  findDuplicate,
  isClient,
  type ProducerEntry,
  type RememberedBatch,
  withDataBatch,
  withMarker,
} from './producer-entry.ts';
import type { AbortedTransaction } from './transaction-index.ts';

/** The outcome of checking an append: the batch that it repeats, or the producers as they will be after it. */
export type ProducerCheck =
  | { readonly duplicate: RememberedBatch }
  | { readonly duplicate: null; readonly changes: ProducerChanges };

export interface ProducerChanges {
  readonly entries: ReadonlyMap<bigint, ProducerEntry>;
  /** Transactions with records in the log that end with the append. */
  readonly ended: readonly EndedTransaction[];
}

interface EndedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
  /** Of the marker. */
  readonly lastOffset: bigint;
  readonly aborted: boolean;
}

const NO_CHANGES: ProducerCheck = { duplicate: null, changes: { entries: new Map(), ended: [] } };

/** The producers that have written to a partition, as of `endOffset`. */
export class ProducerStates {
  readonly #entries = new Map<bigint, ProducerEntry>();
  /** First offsets of the open transactions by producer, ascending: a transaction is added when it begins. Null: there was none yet. */
  #openTransactions: Map<bigint, bigint> | null = null;
  /** Transactions whose markers are appended, but not visible yet. */
  #ending: EndedTransaction[] = [];
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

  /** The first offset of the oldest transaction that is open, or whose marker is not visible yet; null without one. */
  get firstUnstableOffset(): bigint | null {
    let first = this.#firstOpen(null);
    for (const { firstOffset } of this.#ending) {
      if (first === null || firstOffset < first) first = firstOffset;
    }
    return first;
  }

  /** Checks batches without changing anything; throws LogError. */
  check(batches: readonly BatchInfo[], origin: AppendOrigin): ProducerCheck {
    if (batches.length === 1 && batches[0]!.producerId < 0n) return NO_CHANGES;
    const entries = new Map<bigint, ProducerEntry>();
    const ended: EndedTransaction[] = [];
    for (const batch of batches) {
      if (batch.producerId < 0n) continue;
      const known = this.#entries.get(batch.producerId);
      if (known && isClient(origin)) {
        const duplicate = findDuplicate(known, batch);
        if (duplicate) return { duplicate };
      }
      const entry = entries.get(batch.producerId) ?? known ?? emptyEntry(batch.producerId);
      entries.set(batch.producerId, after(entry, batch, origin));
      const end = endOf(entry, batch);
      if (end) ended.push(end);
    }
    return { duplicate: null, changes: { entries, ended } };
  }

  /** Takes over what `check` found; returns the transactions that were aborted. `endOffset` is the log's after the append. */
  apply({ entries, ended }: ProducerChanges, endOffset: bigint): readonly AbortedTransaction[] {
    for (const entry of entries.values()) this.#set(entry);
    this.endOffset = endOffset;
    if (ended.length === 0) return [];
    this.#ending.push(...ended);
    return ended.filter(({ aborted }) => aborted).map((end) => this.#aborted(end));
  }

  /** Takes a batch that is in the log into account; returns the transaction that it aborts, if any. */
  replay(batch: BatchInfo): AbortedTransaction | null {
    if (batch.lastOffset < this.endOffset) return null;
    this.endOffset = batch.lastOffset + 1n;
    if (batch.producerId < 0n) return null;
    const entry = this.#entries.get(batch.producerId) ?? emptyEntry(batch.producerId);
    this.#set(after(entry, batch, 'replication'));
    const end = endOf(entry, batch);
    return end?.aborted ? this.#aborted(end) : null;
  }

  /** Markers below `offset` have become visible. */
  markersVisible(offset: bigint): void {
    if (this.#ending.length === 0) return;
    this.#ending = this.#ending.filter(({ lastOffset }) => lastOffset >= offset);
  }

  /** Starts over from the producers of a snapshot. */
  reset(entries: readonly ProducerEntry[], endOffset: bigint): void {
    this.#entries.clear();
    this.#openTransactions = null;
    this.#ending = [];
    const order = (entry: ProducerEntry) => entry.currentTxnFirstOffset ?? -1n;
    for (const entry of [...entries].sort((a, b) => (order(a) < order(b) ? -1 : 1))) this.#set(entry);
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
    if (entry.currentTxnFirstOffset === null) this.#openTransactions?.delete(entry.producerId);
    else {
      this.#openTransactions ??= new Map();
      this.#openTransactions.set(entry.producerId, entry.currentTxnFirstOffset);
    }
  }

  #aborted({ producerId, firstOffset, lastOffset }: EndedTransaction): AbortedTransaction {
    const lastStableOffset = this.#firstOpen(producerId) ?? lastOffset + 1n;
    return { producerId, firstOffset, lastOffset, lastStableOffset };
  }

  /** The first offset of the oldest open transaction that is not of `except`. */
  #firstOpen(except: bigint | null): bigint | null {
    for (const [producerId, firstOffset] of this.#openTransactions ?? [])
      if (producerId !== except) return firstOffset;
    return null;
  }
}

function after(entry: ProducerEntry, batch: BatchInfo, origin: AppendOrigin): ProducerEntry {
  if (!isControl(batch)) return withDataBatch(entry, batch, origin);
  return batch.marker ? withMarker(entry, batch, origin) : entry;
}

/** The transaction that a marker ends; null for another batch, or when the transaction has no records here. */
function endOf(
  { producerId, currentTxnFirstOffset: firstOffset }: ProducerEntry,
  { marker, lastOffset }: BatchInfo,
): EndedTransaction | null {
  if (marker === null || firstOffset === null) return null;
  return { producerId, firstOffset, lastOffset, aborted: !marker.commit };
}

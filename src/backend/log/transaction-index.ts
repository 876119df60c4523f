import { IndexTable } from './index-table.ts';

const VERSION = 0;
const ENTRY_BYTES = 34;
const PRODUCER_ID_AT = 2;
const FIRST_OFFSET_AT = 10;
const LAST_OFFSET_AT = 18;
const LAST_STABLE_OFFSET_AT = 26;

/** A transaction whose records read_committed consumers leave out. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
  /** Of its marker. */
  readonly lastOffset: bigint;
  /** Of the log, when the marker had been appended. */
  readonly lastStableOffset: bigint;
}

/**
 * Kafka's transaction index: the aborted transactions whose markers are in a segment, in the order of the markers. Always in
 * memory, 34 bytes each; the file of a segment that is appended to is written when the segment is complete.
 */
export class TransactionIndex extends IndexTable {
  constructor(baseOffset: bigint, content?: Uint8Array) {
    super(baseOffset, ENTRY_BYTES, Number.MAX_SAFE_INTEGER, content);
  }

  append({ producerId, firstOffset, lastOffset, lastStableOffset }: AbortedTransaction): void {
    const at = this.grow();
    this.view.setInt16(at, VERSION);
    this.view.setBigInt64(at + PRODUCER_ID_AT, producerId);
    this.view.setBigInt64(at + FIRST_OFFSET_AT, firstOffset);
    this.view.setBigInt64(at + LAST_OFFSET_AT, lastOffset);
    this.view.setBigInt64(at + LAST_STABLE_OFFSET_AT, lastStableOffset);
  }

  /** Drops the transactions that ended at or above `offset`. */
  truncateTo(offset: bigint): void {
    this.keep(this.countWhile((entry) => this.#lastOffset(entry) < offset));
  }

  /**
   * Adds to `found` the transactions with records in [from, end). False when there can be none in later segments: all that was
   * open below `end` had ended.
   */
  collect(from: bigint, end: bigint, found: AbortedTransaction[]): boolean {
    const first = this.countWhile((entry) => this.#lastOffset(entry) < from);
    for (let entry = first; entry < this.count; entry++) {
      const transaction = this.#read(entry);
      if (transaction.firstOffset < end) found.push(transaction);
      if (transaction.lastStableOffset >= end) return false;
    }
    return true;
  }

  /** Whether the entries are whole, of a version that is known, and their markers ascend from the segment's start on. */
  isValid(): boolean {
    if (!this.whole) return false;
    let last = this.baseOffset - 1n;
    for (let entry = 0; entry < this.count; entry++) {
      const { firstOffset, lastOffset } = this.#read(entry);
      if (this.view.getInt16(entry * ENTRY_BYTES) !== VERSION) return false;
      if (lastOffset <= last || firstOffset > lastOffset) return false;
      last = lastOffset;
    }
    return true;
  }

  #read(entry: number): AbortedTransaction {
    const at = entry * ENTRY_BYTES;
    return {
      producerId: this.view.getBigInt64(at + PRODUCER_ID_AT),
      firstOffset: this.view.getBigInt64(at + FIRST_OFFSET_AT),
      lastOffset: this.view.getBigInt64(at + LAST_OFFSET_AT),
      lastStableOffset: this.view.getBigInt64(at + LAST_STABLE_OFFSET_AT),
    };
  }

  #lastOffset(entry: number): bigint {
    return this.view.getBigInt64(entry * ENTRY_BYTES + LAST_OFFSET_AT);
  }
}

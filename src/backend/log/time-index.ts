import { NO_TIMESTAMP } from '../../protocol/records/batch-header.ts';
import { IndexTable } from './index-table.ts';

const ENTRY_BYTES = 12;

/** A timestamp and an offset that goes with it. */
export interface TimestampOffset {
  readonly timestamp: bigint;
  readonly offset: bigint;
}

/**
 * Maps timestamps to offsets: an entry says that up to its offset no batch has a larger timestamp than the entry's. Its last slot
 * is kept free for the entry that closes the segment.
 */
export class TimeIndex extends IndexTable {
  constructor(baseOffset: bigint, maxBytes: number, content?: Uint8Array) {
    super(baseOffset, ENTRY_BYTES, maxBytes, content);
  }

  get isFull(): boolean {
    return this.count >= this.maxEntries - 1;
  }

  /** Timestamp -1 without entries. */
  get last(): TimestampOffset {
    return this.count === 0
      ? { timestamp: NO_TIMESTAMP, offset: this.baseOffset }
      : this.#entry(this.count - 1);
  }

  /** Adds an entry unless the last one says as much. `closing` may take the last slot. */
  append(timestamp: bigint, offset: bigint, closing = false): void {
    if ((this.isFull && !closing) || this.count >= this.maxEntries || timestamp <= this.last.timestamp)
      return;
    const at = this.grow();
    this.view.setBigInt64(at, timestamp);
    this.view.setInt32(at + 8, Number(offset - this.baseOffset));
  }

  /** The offset below which every timestamp is smaller than `timestamp`. */
  lookup(timestamp: bigint): bigint {
    const entry = this.countWhile((index) => this.view.getBigInt64(index * ENTRY_BYTES) < timestamp) - 1;
    return entry < 0 ? this.baseOffset : this.#entry(entry).offset;
  }

  /** Drops the entries at and above `offset`. */
  truncateTo(offset: bigint): void {
    this.keep(this.countWhile((index) => this.#entry(index).offset < offset));
  }

  /** Whether the entries are whole, and timestamps and offsets ascend. */
  isValid(): boolean {
    if (!this.whole) return false;
    let timestamp = NO_TIMESTAMP;
    let offset = -1;
    for (let entry = 0; entry < this.count; entry++) {
      const nextTimestamp = this.view.getBigInt64(entry * ENTRY_BYTES);
      const nextOffset = this.view.getInt32(entry * ENTRY_BYTES + 8);
      if (nextTimestamp <= timestamp || nextOffset < offset || nextOffset < 0) return false;
      timestamp = nextTimestamp;
      offset = nextOffset;
    }
    return true;
  }

  #entry(entry: number): TimestampOffset {
    return {
      timestamp: this.view.getBigInt64(entry * ENTRY_BYTES),
      offset: this.baseOffset + BigInt(this.view.getInt32(entry * ENTRY_BYTES + 8)),
    };
  }
}

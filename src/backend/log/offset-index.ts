import { IndexTable } from './index-table.ts';

const ENTRY_BYTES = 8;

/** Maps offsets to positions in a segment: for some batches, the batch's last offset and where the batch starts. */
export class OffsetIndex extends IndexTable {
  constructor(baseOffset: bigint, maxBytes: number, content?: Uint8Array) {
    super(baseOffset, ENTRY_BYTES, maxBytes, content);
  }

  get isFull(): boolean {
    return this.count >= this.maxEntries;
  }

  get lastOffset(): bigint {
    return this.count === 0 ? this.baseOffset : this.#offset(this.count - 1);
  }

  /** The position of the last indexed batch; 0 without entries. */
  get lastPosition(): number {
    return this.count === 0 ? 0 : this.#position(this.count - 1);
  }

  append(offset: bigint, position: number): void {
    if (this.isFull || (this.count > 0 && offset <= this.lastOffset)) return;
    const at = this.grow();
    this.view.setInt32(at, Number(offset - this.baseOffset));
    this.view.setInt32(at + 4, position);
  }

  /** Where to start looking for `offset`: no batch before that position holds it. */
  lookup(offset: bigint): number {
    const entry = this.countWhile((index) => this.#offset(index) <= offset) - 1;
    return entry < 0 ? 0 : this.#position(entry);
  }

  /** Drops the entries at and above `offset`. */
  truncateTo(offset: bigint): void {
    this.keep(this.countWhile((index) => this.#offset(index) < offset));
  }

  /** Whether the entries are whole, offsets and positions ascend and the positions lie within the segment. */
  isValid(segmentBytes: number): boolean {
    if (!this.whole) return false;
    let offset = -1;
    let position = -1;
    for (let entry = 0; entry < this.count; entry++) {
      const nextOffset = this.view.getInt32(entry * ENTRY_BYTES);
      const nextPosition = this.#position(entry);
      if (nextOffset <= offset || nextPosition <= position) return false;
      offset = nextOffset;
      position = nextPosition;
    }
    return position < segmentBytes;
  }

  #offset(entry: number): bigint {
    return this.baseOffset + BigInt(this.view.getInt32(entry * ENTRY_BYTES));
  }

  #position(entry: number): number {
    return this.view.getInt32(entry * ENTRY_BYTES + 4);
  }
}

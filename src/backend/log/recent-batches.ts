import type { BatchInfo } from './ports.ts';

/** What a reader learns of a batch without reading it. */
export interface BatchPlace {
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  readonly position: number;
  readonly sizeBytes: number;
  readonly attributes: number;
}

const COLUMNS = 4;
const FIRST_CAPACITY = 16;
/** Before the first batch. */
const NO_ROWS = new Int32Array(0);
const NO_ATTRIBUTES = new Int16Array(0);
const MAX_CAPACITY = 2048;

/**
 * Every one of the last batches of a segment, so that reading at the end of a log needs neither index nor disk. A ring of at most 2048
 * rows.
 */
export class RecentBatches {
  readonly #baseOffset: bigint;
  #capacity = 0;
  /** Row: relative base offset, last offset delta, position, size. */
  #rows = NO_ROWS;
  #attributes = NO_ATTRIBUTES;
  #start = 0;
  #count = 0;

  constructor(baseOffset: bigint) {
    this.#baseOffset = baseOffset;
  }

  get count(): number {
    return this.#count;
  }

  append(batch: BatchInfo): void {
    if (this.#count === this.#capacity) {
      if (this.#capacity < MAX_CAPACITY) this.#grow();
      else this.#dropFirst();
    }
    const slot = this.#slot(this.#count++);
    const row = slot * COLUMNS;
    this.#rows[row] = Number(batch.baseOffset - this.#baseOffset);
    this.#rows[row + 1] = Number(batch.lastOffset - batch.baseOffset);
    this.#rows[row + 2] = batch.position;
    this.#rows[row + 3] = batch.sizeBytes;
    this.#attributes[slot] = batch.attributes;
  }

  /** The row of the first batch that ends at or above `offset`; -1 when it may lie before the first row, or when there is none. */
  find(offset: bigint): number {
    const relative = Number(offset - this.#baseOffset);
    if (this.#count === 0 || relative < this.#relativeOffset(0)) return -1;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lastRelativeOffset(middle) < relative) low = middle + 1;
      else high = middle;
    }
    return low < this.#count ? low : -1;
  }

  at(index: number): BatchPlace {
    const slot = this.#slot(index);
    const row = slot * COLUMNS;
    const baseOffset = this.#baseOffset + BigInt(this.#rows[row]!);
    return {
      baseOffset,
      lastOffset: baseOffset + BigInt(this.#rows[row + 1]!),
      position: this.#rows[row + 2]!,
      sizeBytes: this.#rows[row + 3]!,
      attributes: this.#attributes[slot]!,
    };
  }

  #relativeOffset(index: number): number {
    return this.#rows[this.#slot(index) * COLUMNS]!;
  }

  #lastRelativeOffset(index: number): number {
    const row = this.#slot(index) * COLUMNS;
    return this.#rows[row]! + this.#rows[row + 1]!;
  }

  #slot(index: number): number {
    return (this.#start + index) % this.#capacity;
  }

  #dropFirst(): void {
    this.#start = (this.#start + 1) % this.#capacity;
    this.#count--;
  }

  /** Only before the first drop, so the rows are in order from slot 0. */
  #grow(): void {
    this.#capacity = Math.max(FIRST_CAPACITY, this.#capacity * 2);
    const rows = new Int32Array(this.#capacity * COLUMNS);
    rows.set(this.#rows);
    const attributes = new Int16Array(this.#capacity);
    attributes.set(this.#attributes);
    this.#rows = rows;
    this.#attributes = attributes;
  }
}

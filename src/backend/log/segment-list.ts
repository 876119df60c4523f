import type { Segment } from './segment.ts';
import type { AbortedTransaction } from './transaction-index.ts';

/** The segments of a log, ascending by base offset; there is always one, and the last is the one appended to. */
export class SegmentList {
  #segments: Segment[];

  constructor(segments: Segment[]) {
    this.#segments = segments;
  }

  get all(): readonly Segment[] {
    return this.#segments;
  }

  get first(): Segment {
    return this.#segments[0]!;
  }

  get active(): Segment {
    return this.#segments.at(-1)!;
  }

  get beforeActive(): Segment | undefined {
    return this.#segments.at(-2);
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.size, 0);
  }

  /** The segment that holds `offset` if any does: the last that begins at or before it, or the first. */
  floor(offset: bigint): Segment {
    return this.#segments[Math.max(this.#floorIndex(offset), 0)]!;
  }

  /** The floor segment and all after it. */
  from(offset: bigint): readonly Segment[] {
    return this.#segments.slice(Math.max(this.#floorIndex(offset), 0));
  }

  /** The aborted transactions that have records in [from, end), ascending by their first offsets. */
  abortedTransactions(from: bigint, end: bigint): AbortedTransaction[] {
    const found: AbortedTransaction[] = [];
    for (let i = Math.max(this.#floorIndex(from), 0); i < this.#segments.length; i++) {
      const { transactions } = this.#segments[i]!;
      // Most have none; many a reader asks, for librdkafka's are read_committed unless told otherwise.
      if (transactions.count > 0 && !transactions.collect(from, end, found)) break;
    }
    return found.sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  }

  add(segment: Segment): void {
    this.#segments.push(segment);
  }

  /** Leaves one segment instead of all. */
  reset(segment: Segment): void {
    this.#segments = [segment];
  }

  /** Puts segments in the place of others that follow each other. */
  replace(old: readonly Segment[], made: readonly Segment[]): void {
    const first = this.#segments.indexOf(old[0]!);
    this.#segments = this.#segments.toSpliced(first, old.length, ...made);
  }

  remove(segments: readonly Segment[]): void {
    const gone = new Set(segments);
    this.#segments = this.#segments.filter((segment) => !gone.has(segment));
  }

  /** The index of the last segment that begins at or before `offset`; -1 when none does. */
  #floorIndex(offset: bigint): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.baseOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

import type { Extent } from './extents.ts';

/** Where an extent was put. Its owner calls `commit` once its reference has offsets, or `abandon` if it never gets any. */
export interface PendingExtent {
  readonly segmentId: number;
  /** In the segment; known once `written` has resolved. */
  readonly position: number;
  readonly length: number;
  /** Settles when the bytes survive the death of the process, or could not be written; null: they do. */
  readonly written: Promise<void> | null;
  commit(baseOffset: bigint, lastOffset: bigint): void;
  abandon(): void;
}

/** An extent from its append to its commit. */
export class Appending implements PendingExtent {
  readonly segmentId: number;
  readonly length: number;
  position = -1;
  written: Promise<void> | null = null;
  readonly #pieceCrcs: Uint32Array | null;
  readonly #settle: (committed: Extent | null) => void;
  #open = true;

  constructor(
    segmentId: number,
    length: number,
    pieceCrcs: Uint32Array | null,
    settle: (committed: Extent | null) => void,
  ) {
    this.segmentId = segmentId;
    this.length = length;
    this.#pieceCrcs = pieceCrcs;
    this.#settle = settle;
  }

  commit(baseOffset: bigint, lastOffset: bigint): void {
    const { position, length } = this;
    this.#end({ baseOffset, lastOffset, position, length, pieceCrcs: this.#pieceCrcs });
  }

  abandon(): void {
    this.#end(null);
  }

  #end(committed: Extent | null): void {
    if (!this.#open) throw new Error('An extent is committed or abandoned once.');
    this.#open = false;
    this.#settle(committed);
  }
}

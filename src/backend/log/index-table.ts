import { viewOf } from './batch.ts';

/** Of tables without entries, which most partitions have: typed arrays take memory also when they are empty. */
const NO_BYTES = new Uint8Array(0);
const NO_VIEW = viewOf(NO_BYTES);

/**
 * The entries of an index, in memory as they are in the file: fixed-size, big-endian, ascending. The relative offset of an entry
 * is its offset minus the segment's base offset.
 */
export abstract class IndexTable {
  readonly baseOffset: bigint;
  readonly #entryBytes: number;
  readonly #maxEntries: number;
  #bytes: Uint8Array;
  protected view: DataView;
  #count: number;

  /** Whether the file that was read ended with a whole entry. */
  protected readonly whole: boolean;

  /** `content` is a file's, whose incomplete last entry is left out. */
  protected constructor(baseOffset: bigint, entryBytes: number, maxBytes: number, content?: Uint8Array) {
    this.baseOffset = baseOffset;
    this.#entryBytes = entryBytes;
    this.#maxEntries = Math.floor(maxBytes / entryBytes);
    // A copy: what was read may be a small part of a large buffer.
    this.#bytes = content?.length ? Uint8Array.from(content) : NO_BYTES;
    this.view = this.#bytes === NO_BYTES ? NO_VIEW : viewOf(this.#bytes);
    this.whole = this.#bytes.length % entryBytes === 0;
    this.#count = Math.floor(this.#bytes.length / entryBytes);
  }

  get count(): number {
    return this.#count;
  }

  get maxEntries(): number {
    return this.#maxEntries;
  }

  /** What the file holds. */
  content(): Uint8Array {
    return this.#bytes.subarray(0, this.#count * this.#entryBytes);
  }

  /** The place of a new last entry, in bytes. */
  protected grow(): number {
    const at = this.#count * this.#entryBytes;
    if (at + this.#entryBytes > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(at * 2, 16 * this.#entryBytes));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.view = viewOf(grown);
    }
    this.#count++;
    return at;
  }

  /** Keeps the first `count` entries. */
  protected keep(count: number): void {
    this.#count = count;
  }

  /** The number of leading entries for which `holds`; it must hold for none after one for which it does not. */
  protected countWhile(holds: (entry: number) => boolean): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

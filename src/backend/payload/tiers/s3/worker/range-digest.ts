import { crc32c } from '../../../../../native/batch.ts';
import type { ChecksumRange } from '../objects.ts';

/** The CRC-32C of ranges of an object that comes in order; `null` for those that did not come as a whole. */
export class RangeDigest {
  readonly results: (number | null)[];
  readonly #ranges: readonly ChecksumRange[];
  /** The range that bytes are waited for, what it has got, and its CRC-32C so far. */
  #index = 0;
  #done = 0;
  #crc = 0;

  /** `ranges`: ascending, not overlapping. */
  constructor(ranges: readonly ChecksumRange[]) {
    this.#ranges = ranges;
    this.results = ranges.map(({ length, seed }) => (length === 0 ? seed : null));
    this.#begin(0);
  }

  #begin(index: number): void {
    this.#index = index;
    this.#done = 0;
    this.#crc = this.#ranges[index]?.seed ?? 0;
  }

  /** `position`: of the chunk, in the object; each begins where the one before ended. */
  update(chunk: Uint8Array, position: number): void {
    const end = position + chunk.byteLength;
    for (let range = this.#ranges[this.#index]; range !== undefined; range = this.#ranges[this.#index]) {
      const from = range.position + this.#done;
      if (from >= end) return;
      const to = Math.min(end, range.position + range.length);
      this.#crc = crc32c(chunk.subarray(from - position, to - position), this.#crc);
      this.#done += to - from;
      if (this.#done < range.length) return;
      this.results[this.#index] = this.#crc;
      this.#begin(this.#index + 1);
    }
  }
}

import { crc32c } from '../native/batch.ts';
import type { Awaiting } from './get-line.ts';
import type { Getter } from './getter.ts';
import type { Referenced } from './references.ts';
import type { Range } from './selection.ts';

/** What nobody wants is received here. */
const unwanted = new Uint8Array(64 * 1024);

/** A value that is received where it is wanted. */
interface Expected {
  readonly value: Referenced;
  readonly ranges: readonly Required<Range>[];
  readonly target: Uint8Array;
  readonly awaiting: Awaiting;
}

/** The extents that follow the answer to a fetch in its frame, and who waits for what of them. */
export class ArrivingData {
  readonly #getter: Getter;
  readonly #expected: Expected[] = [];
  /** Where it is received, in order: so many bytes of it have their place. */
  readonly #targets: Uint8Array[] = [];
  #placed = 0;
  /** Of the extents that were added. */
  #bytes = 0;

  /** @param getter gets what does not arrive as it should */
  constructor(getter: Getter) {
    this.#getter = getter;
  }

  /** The next extent, of so many bytes. */
  add(bytes: number): ArrivingExtent {
    const extent = new ArrivingExtent(this, this.#bytes, bytes);
    this.#bytes += bytes;
    return extent;
  }

  /** False: what comes before has its place already. */
  expect(at: number, one: Expected): boolean {
    if (at < this.#placed) return false;
    this.#skip(at);
    this.#targets.push(one.target);
    this.#placed += one.target.byteLength;
    this.#expected.push(one);
    return true;
  }

  /** Memory for all of it. Nothing more can be expected. */
  get targets(): readonly Uint8Array[] {
    this.#skip(this.#bytes);
    return this.#targets;
  }

  #skip(to: number): void {
    for (; this.#placed < to; this.#placed += Math.min(to - this.#placed, unwanted.byteLength))
      this.#targets.push(unwanted.subarray(0, to - this.#placed));
  }

  /** All of it is where it belongs, and is checked. */
  arrived(): void {
    for (const one of this.#expected.splice(0)) {
      if (crc32c(one.target) === one.value.crc) one.awaiting.arrived(one.value.crc);
      else this.#get(one);
    }
  }

  /** It was lost on its way. */
  lost(): void {
    for (const one of this.#expected.splice(0)) this.#get(one);
  }

  #get({ value, ranges, target, awaiting }: Expected): void {
    this.#getter.fill(value, ranges, target, awaiting);
  }
}

/** An extent that is about to be received, of which values may be wanted while events are made of its batch. */
export class ArrivingExtent {
  readonly #data: ArrivingData;
  readonly #start: number;
  readonly #bytes: number;

  constructor(data: ArrivingData, start: number, bytes: number) {
    this.#data = data;
    this.#start = start;
    this.#bytes = bytes;
  }

  /**
   * Has all of a value, `offset` bytes behind the beginning of the extent, received in its target, which is told as by the getter. False: it has to be got, since
   * only a part is wanted, which could not be checked, or it is not where it was to be expected.
   */
  take(
    value: Referenced,
    offset: number,
    ranges: readonly Required<Range>[],
    target: Uint8Array,
    awaiting: Awaiting,
  ): boolean {
    const isAll = ranges.length === 1 && ranges[0]!.count === 1 && ranges[0]!.length === value.size;
    const isInside = offset + value.size <= this.#bytes;
    return isAll && isInside && this.#data.expect(this.#start + offset, { value, ranges, target, awaiting });
  }
}

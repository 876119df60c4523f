import { DirectError } from './errors.ts';

/** A stretch of an event's data, or blocks of it at equal distances; sizes in bytes. */
export interface Range {
  readonly offset: number;
  /** Of one block. */
  readonly length: number;
  /** Blocks; default 1. */
  readonly count?: number;
  /** From the start of one block to that of the next; default `length`. */
  readonly stride?: number;
}

/** What is wanted of an event's data. The selected parts arrive one behind the other, in this order. */
export type Selection = 'none' | 'all' | Range | readonly Range[];

/** `length` bytes from `offset` on. */
export function slice(offset: number, length: number): Range {
  return { offset, length };
}

/** `count` blocks of `block` bytes, `stride` bytes from start to start, the first at `offset`. */
export function strided(offset: number, count: number, block: number, stride: number): Range {
  return { offset, length: block, count, stride };
}

/** A selection as ranges that lie inside data of `size` bytes; null: none of it. @param doing for an error */
export function rangesOf(selection: Selection, size: number, doing: () => string): Required<Range>[] | null {
  if (selection === 'none') return null;
  if (selection === 'all') return [{ offset: 0, length: size, count: 1, stride: size }];
  const list = Array.isArray(selection) ? (selection as readonly Range[]) : [selection as Range];
  return list.map(({ offset, length, count = 1, stride = length }) => {
    const numbers = [offset, length, count, stride];
    const fits = offset + (count - 1) * stride + length <= size;
    if (
      !numbers.every(Number.isSafeInteger) ||
      offset < 0 ||
      length < 0 ||
      count < 1 ||
      stride < length ||
      !fits
    )
      throw new DirectError(
        'INVALID_ARGUMENT',
        `${count} blocks of ${length} bytes from ${offset} on, every ${stride}, are not inside data of ${size} bytes`,
        { doing: doing(), todo: 'the descriptor says how large the data is' },
      );
    return { offset, length, count, stride };
  });
}

/** Bytes that ranges select. */
export function selectedBytes(ranges: readonly Required<Range>[]): number {
  let bytes = 0;
  for (const { length, count } of ranges) bytes += length * count;
  return bytes;
}

/** Copies the selected parts of data that is here. */
export function copySelected(data: Uint8Array, ranges: readonly Required<Range>[], target: Uint8Array): void {
  let to = 0;
  for (const { offset, length, count, stride } of ranges) {
    for (let i = 0; i < count; i++) {
      target.set(data.subarray(offset + i * stride, offset + i * stride + length), to);
      to += length;
    }
  }
}

/** A selector that can be stored: the first rule whose `when` all holds decides; without one, `otherwise`. */
export interface DeclarativeSelector {
  readonly rules?: readonly {
    /** Fields of the metadata (`a.b` for one within another) and what they must be equal to, or limits of a number. */
    readonly when?: Readonly<Record<string, unknown>>;
    readonly select: Selection;
  }[];
  readonly otherwise?: Selection;
}

/** Size of an event's data, and whether it travels with the metadata. */
export interface DataDescriptor {
  readonly size: number;
  /** It is small and came with the metadata. */
  readonly inline: boolean;
}

export type DataSelector = (metadata: unknown, descriptor: DataDescriptor) => Selection;

export function selectorOf(selector: DataSelector | DeclarativeSelector | Selection): DataSelector {
  if (typeof selector === 'function') return selector;
  if (typeof selector === 'string' || Array.isArray(selector) || 'offset' in selector)
    return () => selector as Selection;
  const { rules = [], otherwise = 'none' } = selector as DeclarativeSelector;
  return (metadata) => rules.find(({ when = {} }) => holds(metadata, when))?.select ?? otherwise;
}

function holds(metadata: unknown, when: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(when).every(([path, wanted]) => {
    let value = metadata;
    for (const name of path.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[name];
    if (typeof wanted !== 'object' || wanted === null) return value === wanted;
    const { min, max } = wanted as { min?: number; max?: number };
    return typeof value === 'number' && value >= (min ?? -Infinity) && value <= (max ?? Infinity);
  });
}

import {
  type Condition,
  type DataSelectorSpec,
  type DeclarativeSelector,
  dataSelectorProblem,
  type Limits,
  type Range,
  type Selection,
  type SelectorRule,
} from '../protocol/forms/data-selector.ts';
import { atOnce, DirectError } from './errors.ts';

export type { Condition, DataSelectorSpec, DeclarativeSelector, Limits, Range, Selection, SelectorRule };

/** `length` bytes from `offset` on. */
export function slice(offset: number, length: number): Range {
  return { offset, length };
}

/** `count` blocks of `block` bytes, `stride` bytes from start to start, the first at `offset`. */
export function strided(offset: number, count: number, block: number, stride: number): Range {
  return { offset, length: block, count, stride };
}

/**
 * A selection as ranges that lie inside data of `size` bytes; null: none of it.
 * @param doing for people, in errors
 */
export function rangesOf(
  selection: Selection,
  size: number,
  doing: () => string,
): readonly Required<Range>[] | null {
  if (selection === 'none') return null;
  if (selection === 'all') return [{ offset: 0, length: size, count: 1, stride: size }];
  if (!Array.isArray(selection)) return [checked(selection, size, doing)];
  return selection.map((range) => checked(range, size, doing));
}

/** Selectors may give anything. */
function checked(range: unknown, size: number, doing: () => string): Required<Range> {
  if (typeof range !== 'object' || range === null)
    throw new DirectError('INVALID_ARGUMENT', `${String(range)} is no selection`, {
      doing: doing(),
      todo: "give 'none', 'all', {offset, length}, {offset, length, count, stride} or a list of them",
    });
  const { offset, length, count = 1, stride = length } = range as Range;
  const { isSafeInteger } = Number;
  const areWhole =
    isSafeInteger(offset) && isSafeInteger(length) && isSafeInteger(count) && isSafeInteger(stride);
  const isInside = offset >= 0 && offset + (count - 1) * stride + length <= size;
  if (areWhole && isInside && length >= 0 && count >= 1 && stride >= length)
    // Nothing, or one block, has no distance; the number of empty blocks does not matter.
    return length === 0 || count === 1
      ? { offset, length, count: 1, stride: length }
      : { offset, length, count, stride };
  throw new DirectError(
    'INVALID_ARGUMENT',
    `${count} blocks of ${length} bytes from ${offset} on, every ${stride}, are not inside data of ${size} bytes`,
    { doing: doing(), todo: 'the descriptor says how large the data is' },
  );
}

/** Bytes that ranges select. */
export function selectedBytes(ranges: readonly Required<Range>[]): number {
  let bytes = 0;
  for (const { length, count } of ranges) bytes += length * count;
  return bytes;
}

/** Copies the selected parts of the data that begins at `from`. */
export function copySelected(
  bytes: Buffer,
  from: number,
  ranges: readonly Required<Range>[],
  target: Uint8Array,
): void {
  let to = 0;
  for (const { offset, length, count, stride } of ranges) {
    for (let i = 0; i < count; i++) {
      const at = from + offset + i * stride;
      to += bytes.copy(target, to, at, at + length);
    }
  }
}

/** Size of an event's data, and whether it travels with the metadata. */
export interface DataDescriptor {
  readonly size: number;
  /** It is small and came with the metadata. */
  readonly inline: boolean;
}

export type DataSelector = (metadata: unknown, descriptor: DataDescriptor) => Selection;

/** What selectors look at: metadata is read when they ask for it. */
export interface Selectable {
  readonly metadata: unknown;
  readonly descriptor: DataDescriptor;
}

/** A selector in use. */
export type EventSelector = (event: Selectable) => Selection;

/** A selector that is a function, or none that is code. */
export function selectorOf(selector: DataSelector | DeclarativeSelector | Selection): EventSelector {
  if (typeof selector === 'function')
    return ({ metadata, descriptor }) => atOnce(selector(metadata, descriptor), 'the data selector');
  if (typeof selector === 'string' || Array.isArray(selector) || 'offset' in selector)
    return () => selector as Selection;
  const { rules = [], otherwise = 'none' } = selector as DeclarativeSelector;
  return (event) => rules.find((rule) => applies(rule, event))?.select ?? otherwise;
}

/** @throws DirectError INVALID_ARGUMENT when it is neither a selector nor the specification of one */
export function checkSelector(selector: DataSelectorSpec | DataSelector, doing: string): void {
  const problem = typeof selector === 'function' ? null : dataSelectorProblem(selector);
  if (problem !== null) throw new DirectError('INVALID_ARGUMENT', problem, { doing });
}

function applies({ when = {}, size = {} }: SelectorRule, event: Selectable): boolean {
  if (!isWithin(event.descriptor.size, size)) return false;
  return Object.entries(when).every(([path, wanted]) => {
    let value = event.metadata;
    for (const name of path.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[name];
    if (typeof wanted !== 'object' || wanted === null) return value === wanted;
    if (Array.isArray(wanted)) return wanted.includes(value);
    return typeof value === 'number' && isWithin(value, wanted as Limits);
  });
}

function isWithin(value: number, { min = -Infinity, max = Infinity }: Limits): boolean {
  return value >= min && value <= max;
}

import { type CustomSpec, type ModuleSpec, namedCodeProblem, textProblem } from './named-code.ts';

/** The group config that holds the data selector of a group's direct consumers, as JSON. */
export const DATA_SELECTOR_CONFIG = 'direct.data.selector';

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

/** Limits of a number, both included. */
export interface Limits {
  readonly min?: number;
  readonly max?: number;
}

type Scalar = string | number | boolean | null;

/** What a field has to be equal to, one of several values for it, or its limits. */
export type Condition = Scalar | readonly Scalar[] | Limits;

export interface SelectorRule {
  /** Conditions for fields of the metadata (`a.b` for one within another), which all have to hold; default: none. */
  readonly when?: Readonly<Record<string, Condition>>;
  /** Of the data, in bytes. */
  readonly size?: Limits;
  readonly select: Selection;
}

/** A selector that can be stored: the first rule that holds decides; without one, `otherwise` (default 'none'). */
export interface DeclarativeSelector {
  readonly rules?: readonly SelectorRule[];
  readonly otherwise?: Selection;
}

/** A data selector as a group keeps it: for all events the same, by rules, or code that the group's members have. */
export type DataSelectorSpec = Selection | DeclarativeSelector | CustomSpec | ModuleSpec;

const SELECTIONS =
  '"none", "all", {offset, length}, {offset, length, count, stride} or a list of such objects is a selection';

/** Why a data selector is none, for people; null when it is one. */
export function dataSelectorProblem(spec: unknown): string | null {
  if (typeof spec === 'string' || Array.isArray(spec)) return selectionProblem(spec, 'the selector');
  if (!isObject(spec)) return `${textOf(spec)} is no data selector: ${SELECTIONS}, {rules, otherwise} too`;
  if ('type' in spec) return namedCodeProblem(spec, 'dataSelector');
  if ('offset' in spec || 'length' in spec) return selectionProblem(spec, 'the selector');
  const unknown = unknownField(spec, ['rules', 'otherwise']);
  if (unknown !== null) return `the selector has ${unknown}: rules and otherwise are what it may have`;
  const { rules = [], otherwise = 'none' } = spec;
  if (!Array.isArray(rules)) return 'rules is no list';
  return (
    firstProblem(rules, (rule, i) => ruleProblem(rule, `rules[${i}]`)) ??
    selectionProblem(otherwise, 'otherwise')
  );
}

/** Why a text is no data selector, for people; null when it is one, or empty: none is stored then. */
export function dataSelectorTextProblem(text: string): string | null {
  return textProblem(text, dataSelectorProblem);
}

function ruleProblem(rule: unknown, at: string): string | null {
  if (!isObject(rule)) return `${at} is no object`;
  const unknown = unknownField(rule, ['when', 'size', 'select']);
  if (unknown !== null) return `${at} has ${unknown}: when, size and select are what it may have`;
  const { when = {}, size = {}, select } = rule;
  if (!isObject(when)) return `${at}.when is no object`;
  if (select === undefined) return `${at} has no select`;
  return (
    firstProblem(Object.entries(when), ([field, one]) => conditionProblem(one, `${at}.when["${field}"]`)) ??
    limitsProblem(size, `${at}.size`) ??
    selectionProblem(select, `${at}.select`)
  );
}

function conditionProblem(condition: unknown, at: string): string | null {
  if (isScalar(condition)) return null;
  if (!Array.isArray(condition)) return limitsProblem(condition, at);
  return condition.every(isScalar) ? null : `${at} is a list of something else than values`;
}

function limitsProblem(limits: unknown, at: string): string | null {
  if (!isObject(limits)) return `${at} is no object with min or max`;
  const unknown = unknownField(limits, ['min', 'max']);
  if (unknown !== null) return `${at} has ${unknown}: min and max are what it may have`;
  const isLimit = (value: unknown) => value === undefined || Number.isFinite(value);
  return isLimit(limits.min) && isLimit(limits.max) ? null : `${at} has limits that are no numbers`;
}

function selectionProblem(selection: unknown, at: string): string | null {
  if (selection === 'none' || selection === 'all') return null;
  if (Array.isArray(selection))
    return firstProblem(selection, (range, i) => rangeProblem(range, `${at}[${i}]`));
  return rangeProblem(selection, at);
}

function rangeProblem(range: unknown, at: string): string | null {
  if (!isObject(range)) return `${at} is ${textOf(range)}: ${SELECTIONS}`;
  const unknown = unknownField(range, ['offset', 'length', 'count', 'stride']);
  if (unknown !== null) return `${at} has ${unknown}: ${SELECTIONS}`;
  const { offset, length, count = 1, stride = length } = range;
  const isOf = (value: unknown, least: number) => Number.isSafeInteger(value) && (value as number) >= least;
  if (isOf(offset, 0) && isOf(length, 0) && isOf(count, 1) && isOf(stride, length as number)) return null;
  return `${at} is ${textOf(range)}: whole numbers of bytes are needed, a count of at least 1, a stride of at least the length`;
}

function firstProblem<T>(
  items: readonly T[],
  problemOf: (item: T, index: number) => string | null,
): string | null {
  for (const [i, item] of items.entries()) {
    const problem = problemOf(item, i);
    if (problem !== null) return problem;
  }
  return null;
}

function unknownField(object: object, known: readonly string[]): string | null {
  const unknown = Object.keys(object).find((name) => !known.includes(name));
  return unknown === undefined ? null : `"${unknown}"`;
}

function isScalar(value: unknown): boolean {
  return value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

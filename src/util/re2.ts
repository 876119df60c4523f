import { RE2JS } from 're2js';
import type { Clock } from './clock.ts';

/** In UTF-16 units; one of a subscription is also the key of a record. */
const LENGTH_MAX = 4096;
/** Matching takes a time in proportion to the length of the name times this, in the worst case. */
const PROGRAM_SIZE_MAX = 20_000;
/** After so long other work gets its turn. */
const SLICE_MS = 5;

interface Level {
  /** Of everything in the group so far, and of its last part, which a counter repeats. */
  size: number;
  last: number;
}

/**
 * About how many steps the program of a regular expression has, with what counters (`{3,9}`) repeat; never far too few. Needs no valid
 * expression, and a time in proportion to its length.
 */
export function estimateSize(regex: string): number {
  const levels: Level[] = [{ size: 0, last: 0 }];
  const counter = /\{(\d{1,9})(?:,(\d{0,9}))?\}/y;
  for (let at = 0; at < regex.length; ) {
    const level = levels.at(-1)!;
    counter.lastIndex = at;
    const found = regex[at] === '{' ? counter.exec(regex) : null;
    if (found !== null) {
      const times = Math.max(1, Number(found[1]), Number(found[2] ?? 0));
      level.size += level.last * (times - 1);
      level.last *= times;
      at += found[0].length;
      continue;
    }
    const character = regex[at]!;
    at += character === '\\' ? 2 : 1;
    if (character === '(') levels.push({ size: 0, last: 0 });
    else if (character === ')' && levels.length > 1) {
      levels.pop();
      addPart(levels.at(-1)!, level.size + 2);
    } else if (!'*+?|'.includes(character)) addPart(level, 1);
  }
  return levels.reduce((sum, { size }) => sum + size, 0);
}

function addPart(level: Level, size: number): void {
  level.size += size;
  level.last = size;
}

/**
 * Compiles a regular expression of RE2's syntax, which Kafka uses too: it matches in linear time.
 * @throws Error that says what is wrong with it
 */
export function compileRegex(regex: string): RE2JS {
  if (regex.length > LENGTH_MAX)
    throw new Error(`it has ${regex.length} characters, and ${LENGTH_MAX} are the most`);
  // The program is about so large; to find out by compiling would take the time that this is to save.
  if (estimateSize(regex) > PROGRAM_SIZE_MAX) throw new Error('it is too complex');
  const compiled = RE2JS.compile(regex);
  if (compiled.programSize() > PROGRAM_SIZE_MAX) throw new Error('it is too complex');
  return compiled;
}

/** Slices of time, between which other work gets its turn. */
export class Slices {
  readonly #clock: Clock;
  #endMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#endMs = clock.now() + SLICE_MS;
  }

  get isOver(): boolean {
    return this.#clock.now() >= this.#endMs;
  }

  /** Resolves when others had their turn, and begins the next slice. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.setTimer(0, resolve));
    this.#endMs = this.#clock.now() + SLICE_MS;
  }
}

/** The values whose whole text the regular expression matches. */
export async function matching<T>(
  regex: RE2JS,
  values: Iterable<T>,
  textOf: (value: T) => string,
  slices: Slices,
): Promise<T[]> {
  const matched: T[] = [];
  for (const value of values) {
    if (regex.matches(textOf(value))) matched.push(value);
    if (slices.isOver) await slices.next();
  }
  return matched;
}

/** As `compileRegex`; null for one that is not valid, as may be in a record that another version wrote. */
export function tryCompile(regex: string): RE2JS | null {
  try {
    return compileRegex(regex);
  } catch {
    return null;
  }
}

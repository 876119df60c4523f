import { RE2JS } from 're2js';
import type { Clock } from '../../../util/clock.ts';
import type { ResolvedRegex } from './subscriptions.ts';
import type { Topics } from './topics.ts';

/** In UTF-16 units; it is also the key of a record. */
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

/**
 * The topics whose whole name each of the regular expressions matches; one that is not valid matches none. Takes its time, and
 * leaves room for other work.
 */
export async function resolveRegexes(
  topics: Topics,
  regexes: Iterable<string>,
  clock: Clock,
): Promise<Map<string, ResolvedRegex>> {
  const timestampMs = clock.now();
  const { version } = topics;
  const names = [...topics.names()];
  const resolved = new Map<string, ResolvedRegex>();
  let sliceEndMs = timestampMs + SLICE_MS;
  for (const regex of regexes) {
    const matched = new Set<string>();
    const pattern = tryCompile(regex);
    for (const name of pattern === null ? [] : names) {
      if (pattern!.matches(name)) matched.add(name);
      if (clock.now() < sliceEndMs) continue;
      await new Promise<void>((resolve) => clock.setTimer(0, resolve));
      sliceEndMs = clock.now() + SLICE_MS;
    }
    resolved.set(regex, { topics: matched, version, timestampMs });
  }
  return resolved;
}

/** A record that another version wrote may have one that is not valid here. */
function tryCompile(regex: string): RE2JS | null {
  try {
    return compileRegex(regex);
  } catch {
    return null;
  }
}

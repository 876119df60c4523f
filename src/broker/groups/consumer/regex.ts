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

/**
 * Compiles a regular expression of RE2's syntax, which Kafka uses too: it matches in linear time.
 * @throws Error that says what is wrong with it
 */
export function compileRegex(regex: string): RE2JS {
  if (regex.length > LENGTH_MAX)
    throw new Error(`it has ${regex.length} characters, and ${LENGTH_MAX} are the most`);
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

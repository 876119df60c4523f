import type { Clock } from '../../../util/clock.ts';
import { matching, Slices, tryCompile } from '../../../util/re2.ts';
import type { ResolvedRegex } from './subscriptions.ts';
import type { Topics } from './topics.ts';

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
  const slices = new Slices(clock);
  const { version } = topics;
  const names = [...topics.names()];
  const resolved = new Map<string, ResolvedRegex>();
  for (const regex of regexes) {
    const pattern = tryCompile(regex);
    const matched = pattern === null ? [] : await matching(pattern, names, (name) => name, slices);
    resolved.set(regex, { topics: new Set(matched), version, timestampMs });
  }
  return resolved;
}

import { linearPattern } from '../util/linear-pattern.ts';
import { splitList } from './value.ts';

/** What a subscription to clients' metrics may select clients by (KIP-714). */
const CLIENT_SELECTORS = [
  'client_instance_id',
  'client_id',
  'client_software_name',
  'client_software_version',
  'client_source_address',
  'client_source_port',
] as const;
export type ClientSelector = (typeof CLIENT_SELECTORS)[number];

/** A test for each selector that a subscription names. */
export type ClientMatch = ReadonlyMap<ClientSelector, (text: string) => boolean>;

/** Parses the value of `match`: selector=pattern pairs, separated by commas. `illegal` is the pair that is none. */
export function parseMatch(text: string): { readonly match: ClientMatch } | { readonly illegal: string } {
  const match = new Map<ClientSelector, (text: string) => boolean>();
  for (const pair of splitList(text)) {
    const [name = '', pattern, ...more] = pair.split('=');
    const selector = CLIENT_SELECTORS.find((each) => each === name.trim());
    if (selector === undefined || pattern === undefined || pattern === '' || more.length > 0)
      return { illegal: pair };
    try {
      match.set(selector, linearPattern(pattern.trim()));
    } catch {
      return { illegal: pair };
    }
  }
  return { match };
}

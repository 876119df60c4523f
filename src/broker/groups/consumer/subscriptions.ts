import { type ConsumerMember, regexOf } from './consumer-member.ts';

/** The topics that a regular expression matched. */
export interface ResolvedRegex {
  readonly topics: ReadonlySet<string>;
  /** The version of the topics that it was matched against. */
  readonly version: bigint;
  /** When, in milliseconds since the epoch. */
  readonly timestampMs: number;
}

/** How many members subscribe to a topic by its name, and how many regular expressions match it. */
interface Count {
  byName: number;
  byRegex: number;
}

/**
 * What the members of a group subscribe to, by name and by regular expression. Counts follow each change, so that nothing
 * costs more than the subscriptions it is about.
 */
export class Subscriptions {
  readonly #topics = new Map<string, Count>();
  /** Members by regular expression. */
  readonly #regexes = new Map<string, number>();
  readonly #resolved = new Map<string, ResolvedRegex>();

  copy(): Subscriptions {
    const copy = new Subscriptions();
    for (const [name, count] of this.#topics) copy.#topics.set(name, { ...count });
    for (const [regex, count] of this.#regexes) copy.#regexes.set(regex, count);
    for (const [regex, resolved] of this.#resolved) copy.#resolved.set(regex, resolved);
    return copy;
  }

  /** A member joins, leaves, or changes. */
  replace(before: ConsumerMember | null, after: ConsumerMember | null): void {
    if (before?.topicNames !== after?.topicNames) {
      for (const name of before?.topicNames ?? []) this.#count(name, -1, 0);
      for (const name of after?.topicNames ?? []) this.#count(name, 1, 0);
    }
    const formerRegex = regexOf(before);
    const regex = regexOf(after);
    if (formerRegex === regex) return;
    if (formerRegex !== null) addTo(this.#regexes, formerRegex, -1);
    if (regex !== null) addTo(this.#regexes, regex, 1);
  }

  /** What a regular expression matches now; null to forget it. */
  resolve(regex: string, resolved: ResolvedRegex | null): void {
    for (const name of this.#resolved.get(regex)?.topics ?? []) this.#count(name, 0, -1);
    this.#resolved.delete(regex);
    if (resolved === null) return;
    this.#resolved.set(regex, resolved);
    for (const name of resolved.topics) this.#count(name, 0, 1);
  }

  get topicNames(): Iterable<string> {
    return this.#topics.keys();
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** The regular expressions of the members. */
  get regexes(): ReadonlyMap<string, number> {
    return this.#regexes;
  }

  get resolved(): ReadonlyMap<string, ResolvedRegex> {
    return this.#resolved;
  }

  /** How many members subscribe to the regular expression. */
  subscribersOf(regex: string): number {
    return this.#regexes.get(regex) ?? 0;
  }

  /** The topics of a member: those that it names and those that its regular expression matched. */
  topicsOf(member: ConsumerMember): ReadonlySet<string> {
    const regex = regexOf(member);
    const matched = regex === null ? undefined : this.#resolved.get(regex)?.topics;
    if (matched === undefined || matched.size === 0) return member.topicNames;
    return member.topicNames.size === 0 ? matched : new Set([...member.topicNames, ...matched]);
  }

  /** Whether that many members, all there are, subscribe to the same topics. */
  isHomogeneous(memberCount: number): boolean {
    if (this.#regexes.size === 0) {
      for (const { byName } of this.#topics.values()) if (byName !== memberCount) return false;
      return true;
    }
    if ([...this.#regexes.values()][0] !== memberCount) return false;
    for (const { byName, byRegex } of this.#topics.values()) if (byRegex !== 1 || byName > 0) return false;
    return true;
  }

  #count(name: string, byName: number, byRegex: number): void {
    const count = this.#topics.get(name) ?? { byName: 0, byRegex: 0 };
    count.byName += byName;
    count.byRegex += byRegex;
    if (count.byName <= 0 && count.byRegex <= 0) this.#topics.delete(name);
    else this.#topics.set(name, count);
  }
}

function addTo(counts: Map<string, number>, key: string, change: number): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count <= 0) counts.delete(key);
  else counts.set(key, count);
}

import { SerialQueue } from '../../../backend/log/serial.ts';
import { isPausing } from '../../../util/clock.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import { sameTopics } from './consumer-member.ts';
import type { ConsumerContext } from './context.ts';
import type { ConsumerGroupRecord } from './group-records.ts';
import { resolveRegexes } from './regex.ts';
import type { ResolvedRegex } from './subscriptions.ts';
import { metadataHash } from './topics.ts';

/** Groups that wait for their turn; others are looked at again with a later heartbeat. */
const WAITING_MAX = 1_000;
/** Kafka's own constant: a group's regular expressions are not matched more often. */
const REFRESH_INTERVAL_MIN_MS = 10_000;

/** Matches the regular expressions of groups with the topics there are. */
export class RegexRefresh {
  readonly #context: ConsumerContext;
  /** Groups that wait or have their turn. */
  readonly #running = new Set<string>();
  /** One group after another: together they would take all the time there is. */
  readonly #turns = new SerialQueue();

  constructor(context: ConsumerContext) {
    this.#context = context;
  }

  /** `isNew`: the group has just got a regular expression that it did not have. */
  refreshIfDue(group: ConsumerGroup, isNew: boolean, nowMs: number): void {
    const { groupId, subscriptions } = group;
    if (subscriptions.regexes.size === 0 || this.#running.has(groupId)) return;
    if (this.#running.size >= WAITING_MAX) return;
    const [last] = subscriptions.resolved.values();
    const lastMs = last?.timestampMs ?? Number.NEGATIVE_INFINITY;
    if (isPausing(lastMs + REFRESH_INTERVAL_MIN_MS, nowMs, REFRESH_INTERVAL_MIN_MS)) return;
    const { config, topics } = this.#context;
    const isDue =
      isNew ||
      subscriptions.regexes.size !== subscriptions.resolved.size ||
      (last?.version ?? 0n) < topics.version ||
      nowMs > lastMs + config.regexRefreshIntervalMs;
    if (isDue) void this.#refresh(group, [...subscriptions.regexes.keys()]);
  }

  async #refresh(group: ConsumerGroup, regexes: readonly string[]): Promise<void> {
    const { clock, groups, logger, topics } = this.#context;
    const { groupId } = group;
    this.#running.add(groupId);
    try {
      const resolved = await this.#turns.run(() => resolveRegexes(topics, regexes, clock));
      // Another one of that name may be half read from the log.
      if (groups.get(groupId) === group) await this.#take(group, resolved);
    } catch (error) {
      logger.warn({ group: groupId, err: error }, 'the regular expressions of a group were not updated');
    } finally {
      this.#running.delete(groupId);
    }
  }

  async #take(group: ConsumerGroup, resolved: ReadonlyMap<string, ResolvedRegex>): Promise<void> {
    const { topics, writer } = this.#context;
    const records: ConsumerGroupRecord[] = [];
    const subscriptions = group.subscriptions.copy();
    let hasChanged = false;
    for (const [regex, value] of resolved) {
      if (subscriptions.subscribersOf(regex) === 0) continue;
      const before = subscriptions.resolved.get(regex)?.topics ?? new Set<string>();
      hasChanged ||= !sameTopics(before, value.topics);
      subscriptions.resolve(regex, value);
      records.push({ kind: 'regex', regex, value });
    }
    const hash = metadataHash(topics, subscriptions.topicNames);
    if (hasChanged || hash !== group.metadataHash) {
      records.push({ kind: 'epoch', value: { epoch: group.groupEpoch + 1, metadataHash: hash } });
      group.metadataMayDiffer = false;
    }
    if (records.length > 0) await writer.write({ groupId: group.groupId, records });
  }
}

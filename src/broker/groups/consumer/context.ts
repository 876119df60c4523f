import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import type { ClassicGroup } from '../classic-group.ts';
import type { GroupTimes } from '../own-values.ts';
import type { Rebalancer } from '../rebalance.ts';
import type { ShareGroup } from '../share/share-group.ts';
import type { StreamsGroup } from '../streams/streams-group.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type { ConsumerGroupRecord } from './group-records.ts';
import type { GroupWriter } from './group-writer.ts';
import type { Topics } from './topics.ts';

/** A group of any protocol. */
export type Group = ClassicGroup | ConsumerGroup | ShareGroup | StreamsGroup;

/** Which groups change their protocol when the first member of the new one joins, or the last of it leaves. */
export type MigrationPolicy = 'bidirectional' | 'upgrade' | 'downgrade' | 'disabled';

export interface ConsumerConfig {
  /** Whether the consumer protocol is served. */
  readonly enabled: boolean;
  /** The most members of one group. */
  readonly maxSize: number;
  /** Names of server-side assignors; the first is the default. */
  readonly assignors: readonly string[];
  readonly migrationPolicy: MigrationPolicy;
  /** How often regular expressions are matched again though no topic was created; milliseconds. */
  readonly regexRefreshIntervalMs: number;
  timesOf(groupId: string): GroupTimes;
}

/** What the parts of the consumer protocol share. */
export interface ConsumerContext {
  readonly clock: Clock;
  readonly config: ConsumerConfig;
  /** The most members of a classic group. */
  readonly classicMaxSize: number;
  readonly logger: Logger;
  readonly topics: Topics;
  readonly groups: Map<string, Group>;
  readonly writer: GroupWriter<ConsumerGroupRecord>;
  /** Of the classic groups. */
  readonly rebalancer: Rebalancer;
  /** A random UUID, for member ids. */
  randomId(): string;
}

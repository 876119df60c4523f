import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import type { Group } from '../consumer/context.ts';
import type { GroupWriter } from '../consumer/group-writer.ts';
import type { Topics } from '../consumer/topics.ts';
import type { GroupTimes } from '../own-values.ts';
import type { StreamsGroupRecord } from './group-records.ts';

/** What a streams group may have of its own (a GROUP resource); times in milliseconds. */
export interface StreamsGroupConfig extends GroupTimes {
  /** How long the first assignment waits for more members. */
  readonly initialRebalanceDelayMs: number;
  /** Copies of the state of each stateful task. */
  readonly standbyReplicas: number;
}

export interface StreamsConfig {
  /** Whether streams groups are served. */
  readonly enabled: boolean;
  /** The most members of one group. */
  readonly maxSize: number;
  of(groupId: string): StreamsGroupConfig;
}

/** What the parts of streams groups share. */
export interface StreamsContext {
  readonly clock: Clock;
  readonly config: StreamsConfig;
  readonly logger: Logger;
  readonly topics: Topics;
  readonly groups: Map<string, Group>;
  readonly writer: GroupWriter<StreamsGroupRecord>;
}

import type { Uuid } from '../../../protocol/wire/types.ts';
import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import type { PartitionState, SharePartitionKey } from '../../share/partition-state.ts';
import type { Group } from '../consumer/context.ts';
import type { GroupWriter } from '../consumer/group-writer.ts';
import type { Topics } from '../consumer/topics.ts';
import type { GroupTimes } from '../own-values.ts';
import type { ShareGroupRecord } from './share-group.ts';

export interface ShareGroupConfig {
  /** The most members of one group. */
  readonly maxSize: number;
  timesOf(groupId: string): GroupTimes;
}

/** Where the states of share partitions are; its methods reject with, or throw, an ApiError. */
export interface ShareStates {
  /** Resolves when what is stored was read after a start; a part that could not be is told by the other methods. */
  loaded(): Promise<void>;
  initialize(key: SharePartitionKey, stateEpoch: number, startOffset: bigint): Promise<void>;
  summary(key: SharePartitionKey): PartitionState | null;
  delete(key: SharePartitionKey): Promise<void>;
}

/** What share groups need besides what all groups do. */
export interface SharePorts {
  readonly config: ShareGroupConfig;
  readonly states: ShareStates;
  /** Where a partition's log ends for consumers; null if it is not there. */
  endOffset(topicId: Uuid, partition: number): bigint | null;
  /** The states of a group's partitions of topics were changed, or are gone: nobody may go on with what was read before. */
  forget(groupId: string, topicIds: readonly Uuid[]): void;
}

/** What the parts of share groups in one shard share. */
export interface ShareContext extends SharePorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topics: Topics;
  readonly groups: Map<string, Group>;
  readonly writer: GroupWriter<ShareGroupRecord>;
}

import type { KafabricConfig } from '../../config/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { CoordinatorTopic } from '../coordinator-shards.ts';
import type { FetchService } from '../partitions/fetch-service.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { shareConfig, stateConfig } from './config.ts';
import { ShareFetches } from './share-fetches.ts';
import { SharePartitions } from './share-partitions.ts';
import { ShareService } from './share-service.ts';
import { ShareSessions } from './share-sessions.ts';
import { ShareStateCoordinator } from './state-coordinator.ts';
import { PartitionStateLog } from './state-log.ts';

/** The parts of share groups that are not their members: what is delivered to whom, and where that is kept. */
export interface Sharing {
  readonly states: ShareStateCoordinator;
  readonly service: ShareService;
  close(): void;
}

export function openSharing(options: {
  readonly config: KafabricConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly partitions: PartitionManager;
  readonly fetches: FetchService;
  /** __share_group_state. */
  readonly topic: CoordinatorTopic;
  /** The values that a group has of its own, by key. */
  groupConfigs(groupId: string): ReadonlyMap<string, string>;
}): Sharing {
  const { clock, logger, partitions, topic } = options;
  const config = shareConfig(options.config, (groupId) => options.groupConfigs(groupId));
  const states = new ShareStateCoordinator({
    ...{ clock, logger, topic },
    config: stateConfig(options.config),
    log: new PartitionStateLog(partitions, clock),
  });
  const service = new ShareService({
    ...{ config, partitions, clock, logger },
    shares: new SharePartitions({ persister: states, config, clock, logger }),
    sessions: new ShareSessions(config.maxSessions),
    fetches: new ShareFetches(options.fetches, config, clock),
  });
  return {
    states,
    service,
    close() {
      service.close();
      states.close();
    },
  };
}

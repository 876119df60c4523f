import type { KafabricConfig } from '../../../config/index.ts';
import { groupTimes, type OwnValues } from '../own-values.ts';
import type { ConsumerConfig, MigrationPolicy } from './context.ts';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function consumerConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => OwnValues,
): ConsumerConfig {
  const config = configNow();
  return {
    enabled: config.get('group.coordinator.rebalance.protocols').includes('consumer'),
    maxSize: config.get('group.consumer.max.size'),
    assignors: config.get('group.consumer.assignors'),
    migrationPolicy: config.get('group.consumer.migration.policy') as MigrationPolicy,
    regexRefreshIntervalMs: config.get('group.consumer.regex.refresh.interval.ms'),
    timesOf: (groupId) => groupTimes('consumer', groupConfigs(groupId), configNow()),
  };
}

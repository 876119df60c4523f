import type { KafabricConfig } from '../../../config/index.ts';
import type { ConsumerConfig, MigrationPolicy } from './context.ts';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function consumerConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => ReadonlyMap<string, string>,
): ConsumerConfig {
  const limited = (key: TimeKey, value: string | undefined) => {
    const now = configNow();
    return value === undefined
      ? now.get(`group.consumer.${key}`)
      : Math.min(
          Math.max(Number(value), now.get(`group.consumer.min.${key}`)),
          now.get(`group.consumer.max.${key}`),
        );
  };
  const config = configNow();
  return {
    enabled: config.get('group.coordinator.rebalance.protocols').includes('consumer'),
    maxSize: config.get('group.consumer.max.size'),
    assignors: config.get('group.consumer.assignors'),
    migrationPolicy: config.get('group.consumer.migration.policy') as MigrationPolicy,
    regexRefreshIntervalMs: config.get('group.consumer.regex.refresh.interval.ms'),
    timesOf(groupId) {
      const own = groupConfigs(groupId);
      // The limits may have been narrowed after the group got its values.
      const time = (key: TimeKey) => limited(key, own.get(`consumer.${key}`));
      return {
        sessionTimeoutMs: time('session.timeout.ms'),
        heartbeatIntervalMs: time('heartbeat.interval.ms'),
        assignmentIntervalMs: time('assignment.interval.ms'),
      };
    },
  };
}

type TimeKey = 'session.timeout.ms' | 'heartbeat.interval.ms' | 'assignment.interval.ms';

import type { KafabricConfig } from '../../../config/index.ts';
import type { StreamsConfig } from './context.ts';

type LimitedKey = 'session.timeout.ms' | 'heartbeat.interval.ms' | 'assignment.interval.ms';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function streamsConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => ReadonlyMap<string, string>,
): StreamsConfig {
  return {
    enabled: configNow().get('group.coordinator.rebalance.protocols').includes('streams'),
    maxSize: configNow().get('group.streams.max.size'),
    of(groupId) {
      const config = configNow();
      const own = groupConfigs(groupId);
      // The limits may have been narrowed after the group got its values.
      const limited = (key: LimitedKey) => {
        const value = own.get(`streams.${key}`);
        if (value === undefined) return config.get(`group.streams.${key}`);
        const least = config.get(`group.streams.min.${key}`);
        return Math.min(Math.max(Number(value), least), config.get(`group.streams.max.${key}`));
      };
      const replicas = own.get('streams.num.standby.replicas');
      const delay = own.get('streams.initial.rebalance.delay.ms');
      return {
        sessionTimeoutMs: limited('session.timeout.ms'),
        heartbeatIntervalMs: limited('heartbeat.interval.ms'),
        assignmentIntervalMs: limited('assignment.interval.ms'),
        initialRebalanceDelayMs:
          delay === undefined ? config.get('group.streams.initial.rebalance.delay.ms') : Number(delay),
        standbyReplicas:
          replicas === undefined
            ? config.get('group.streams.num.standby.replicas')
            : Math.min(Number(replicas), config.get('group.streams.max.standby.replicas')),
      };
    },
  };
}

import type { KafabricConfig } from '../../../config/index.ts';
import { groupTimes, type OwnValues } from '../own-values.ts';
import type { StreamsConfig } from './context.ts';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function streamsConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => OwnValues,
): StreamsConfig {
  return {
    enabled: configNow().get('group.coordinator.rebalance.protocols').includes('streams'),
    maxSize: configNow().get('group.streams.max.size'),
    of(groupId) {
      const config = configNow();
      const own = groupConfigs(groupId);
      const replicas = own.get('streams.num.standby.replicas');
      const delay = own.get('streams.initial.rebalance.delay.ms');
      return {
        ...groupTimes('streams', own, config),
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

import type { KafabricConfig } from '../../../config/index.ts';
import { groupTimes, type OwnValues } from '../own-values.ts';
import type { ShareGroupConfig } from './context.ts';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function shareGroupConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => OwnValues,
): ShareGroupConfig {
  return {
    maxSize: configNow().get('group.share.max.size'),
    timesOf: (groupId) => groupTimes('share', groupConfigs(groupId), configNow()),
  };
}

import type { KafabricConfig } from '../../../config/index.ts';
import type { ShareGroupConfig } from './context.ts';

type TimeKey = 'session.timeout.ms' | 'heartbeat.interval.ms' | 'assignment.interval.ms';

/** `configNow` gives the broker's values, of which some may change; `groupConfigs` those that a group has of its own, by key. */
export function shareGroupConfig(
  configNow: () => KafabricConfig,
  groupConfigs: (groupId: string) => ReadonlyMap<string, string>,
): ShareGroupConfig {
  const limited = (key: TimeKey, value: string | undefined) => {
    const now = configNow();
    return value === undefined
      ? now.get(`group.share.${key}`)
      : Math.min(
          Math.max(Number(value), now.get(`group.share.min.${key}`)),
          now.get(`group.share.max.${key}`),
        );
  };
  const config = configNow();
  return {
    maxSize: config.get('group.share.max.size'),
    timesOf(groupId) {
      const own = groupConfigs(groupId);
      // The limits may have been narrowed after the group got its values.
      const time = (key: TimeKey) => limited(key, own.get(`share.${key}`));
      return {
        sessionTimeoutMs: time('session.timeout.ms'),
        heartbeatIntervalMs: time('heartbeat.interval.ms'),
        assignmentIntervalMs: time('assignment.interval.ms'),
      };
    },
  };
}

import type { KafabricConfig } from '../../config/index.ts';
import { type OwnValues, ownNumber } from '../groups/own-values.ts';
import type { Isolation } from '../partitions/fetch-wait.ts';
import type { StateConfig } from './state-shard.ts';

/** Where a group begins to read: at an end of the log, or with what is not older than so many milliseconds. */
export type OffsetReset = 'earliest' | 'latest' | { readonly ageMs: number };

/** How records are delivered to a group; a GROUP resource may have values of its own. */
export interface ShareGroupSettings {
  readonly lockDurationMs: number;
  readonly deliveryCountLimit: number;
  /** The most records of one partition that are delivered and not done with. */
  readonly maxRecordLocks: number;
  readonly offsetReset: OffsetReset;
  readonly isolation: Isolation;
  /** Whether members may keep records longer. */
  readonly mayRenew: boolean;
}

export interface ShareConfig {
  /** The most share sessions of all members. */
  readonly maxSessions: number;
  settingsOf(groupId: string): ShareGroupSettings;
}

type Limited = 'record.lock.duration.ms' | 'delivery.count.limit' | 'partition.max.record.locks';

/** `groupConfigs`: the values that a group has of its own, by key. */
export function shareConfig(
  config: KafabricConfig,
  groupConfigs: (groupId: string) => OwnValues,
): ShareConfig {
  return {
    maxSessions: config.get('group.share.max.share.sessions'),
    settingsOf(groupId) {
      const own = groupConfigs(groupId);
      const number = (key: Limited) =>
        ownNumber(own.get(`share.${key}`), {
          broker: config.get(`group.share.${key}`),
          min: config.get(`group.share.min.${key}`),
          max: config.get(`group.share.max.${key}`),
        });
      return {
        lockDurationMs: number('record.lock.duration.ms'),
        deliveryCountLimit: number('delivery.count.limit'),
        maxRecordLocks: number('partition.max.record.locks'),
        offsetReset: parseOffsetReset(own.get('share.auto.offset.reset') ?? 'latest'),
        isolation:
          own.get('share.isolation.level') === 'read_committed' ? 'read_committed' : 'read_uncommitted',
        mayRenew: own.get('share.renew.acknowledge.enable') !== 'false',
      };
    },
  };
}

export function stateConfig(config: KafabricConfig): StateConfig {
  return {
    updatesPerSnapshot: config.get('share.coordinator.snapshot.update.records.per.snapshot'),
    pruneIntervalMs: config.get('share.coordinator.state.topic.prune.interval.ms'),
    coldSnapshotIntervalMs: config.get('share.coordinator.cold.partition.snapshot.interval.ms'),
  };
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const DURATION = /^by_duration:P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/i;

/** A value that was checked when it was set: `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration. */
function parseOffsetReset(text: string): OffsetReset {
  if (text === 'earliest' || text === 'latest') return text;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = DURATION.exec(text) ?? [];
  const ageMs =
    Number(days) * DAY_MS + Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS + Number(seconds) * 1000;
  return { ageMs };
}

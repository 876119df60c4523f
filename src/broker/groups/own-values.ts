import type { KafabricConfig } from '../../config/index.ts';
import { type Clock, isPausing } from '../../util/clock.ts';

/** The values that a group has of its own, by the keys of a GROUP resource. */
export type OwnValues = ReadonlyMap<string, string>;

/** When members of a group are heard of; milliseconds. */
export interface GroupTimes {
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  /** The least time between two target assignments. */
  readonly assignmentIntervalMs: number;
}

type TimeKey = 'session.timeout.ms' | 'heartbeat.interval.ms' | 'assignment.interval.ms';

/** The times of a group of the types that have heartbeats of their own. */
export function groupTimes(
  type: 'consumer' | 'share' | 'streams',
  own: OwnValues,
  config: KafabricConfig,
): GroupTimes {
  const time = (key: TimeKey) =>
    ownNumber(own.get(`${type}.${key}`), {
      broker: config.get(`group.${type}.${key}`),
      min: config.get(`group.${type}.min.${key}`),
      max: config.get(`group.${type}.max.${key}`),
    });
  return {
    sessionTimeoutMs: time('session.timeout.ms'),
    heartbeatIntervalMs: time('heartbeat.interval.ms'),
    assignmentIntervalMs: time('assignment.interval.ms'),
  };
}

/** Whether a group may have its next target assignment; `assignmentTimestampMs` is when it got the last one, 0 if that is not known. */
export function isAssignmentDue(
  clock: Clock,
  { assignmentTimestampMs }: { readonly assignmentTimestampMs: number },
  { assignmentIntervalMs }: GroupTimes,
): boolean {
  if (assignmentTimestampMs === 0 || assignmentIntervalMs === 0) return true;
  return !isPausing(assignmentTimestampMs + assignmentIntervalMs, clock.now(), assignmentIntervalMs);
}

/** A group's own value, else the broker's. The limits may have been narrowed after the group got its value. */
export function ownNumber(
  own: string | undefined,
  { broker, min, max }: { readonly broker: number; readonly min: number; readonly max: number },
): number {
  return own === undefined ? broker : Math.min(Math.max(Number(own), min), max);
}

import type { KafabricConfig } from '../../config/index.ts';

/** What the group coordinator needs from the configuration; times in milliseconds. */
export interface GroupConfig {
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  readonly initialRebalanceDelayMs: number;
  /** The most members of one group. */
  readonly maxSize: number;
  /** How long the first JoinGroup of a member may wait before the member is given up; it cannot heartbeat yet. */
  readonly newMemberJoinTimeoutMs: number;
  /** How many ids a group has given out that nobody has joined with; of more, the oldest are forgotten. */
  readonly maxPendingMembers: number;
  /** The longest metadata text of a commit, in UTF-16 units as Kafka counts them. */
  readonly offsetMetadataMaxBytes: number;
  /** How long a client waits for its group or offsets to be written. */
  readonly commitTimeoutMs: number;
  readonly offsetsRetentionMs: number;
  readonly offsetsRetentionCheckIntervalMs: number;
}

/** Kafka's own constant: no configuration key sets it. */
const NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000;
/** Kafka has no limit. Clients join with their id at once, so that far fewer are on their way. */
const MAX_PENDING_MEMBERS = 10_000;

export function groupConfig(config: KafabricConfig): GroupConfig {
  return {
    minSessionTimeoutMs: config.get('group.min.session.timeout.ms'),
    maxSessionTimeoutMs: config.get('group.max.session.timeout.ms'),
    initialRebalanceDelayMs: config.get('group.initial.rebalance.delay.ms'),
    maxSize: config.get('group.max.size'),
    newMemberJoinTimeoutMs: NEW_MEMBER_JOIN_TIMEOUT_MS,
    maxPendingMembers: MAX_PENDING_MEMBERS,
    offsetMetadataMaxBytes: config.get('offset.metadata.max.bytes'),
    commitTimeoutMs: config.get('offsets.commit.timeout.ms'),
    offsetsRetentionMs: config.get('offsets.retention.minutes') * 60_000,
    offsetsRetentionCheckIntervalMs: config.get('offsets.retention.check.interval.ms'),
  };
}

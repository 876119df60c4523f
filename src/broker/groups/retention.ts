import { ErrorCode } from '../../protocol/errors.ts';
import { groupAppendError } from './append-errors.ts';
import { ClassicGroup } from './classic-group.ts';
import type { ConsumerGroup } from './consumer/consumer-group.ts';
import type { Group } from './consumer/context.ts';
import { groupTombstones } from './consumer/group-records.ts';
import type { OffsetOperationsOptions } from './offset-operations.ts';
import type { CommittedOffset, OffsetChange } from './offsets.ts';
import { groupTombstone } from './records.ts';
import type { ShareGroup } from './share/share-group.ts';
import { groupTombstones as streamsTombstones } from './streams/group-records.ts';
import type { StreamsGroup } from './streams/streams-group.ts';

/** The removal of groups and of offsets that nobody needs any more (KIP-211). */
export class Retention {
  readonly #options: OffsetOperationsOptions;

  constructor(options: OffsetOperationsOptions) {
    this.#options = options;
  }

  /** DeleteGroups: a group without members goes with all its offsets. */
  async deleteGroup(groupId: string): Promise<ErrorCode> {
    const { groups, offsets, log } = this.#options;
    const group = groups.get(groupId);
    if (group === undefined || group.type === 'share') return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.state !== 'Empty') return ErrorCode.NON_EMPTY_GROUP;
    const changes: OffsetChange[] = [];
    for (const { topic, partition } of offsets.entries(groupId))
      changes.push({ groupId, topic, partition, value: null });
    if (group.type !== 'classic') {
      try {
        await this.#end(group, changes);
        return ErrorCode.NONE;
      } catch (failure) {
        return groupAppendError(failure);
      }
    }
    const restore = this.#remove(group);
    try {
      await log.write(changes, [groupTombstone(groupId)]);
      return ErrorCode.NONE;
    } catch (failure) {
      restore();
      return groupAppendError(failure);
    }
  }

  /** Deletes expired offsets, and the groups that have neither members nor offsets. Rejects if not written. */
  async expire(): Promise<void> {
    const { clock, groups, offsets, log } = this.#options;
    const now = clock.now();
    const changes: OffsetChange[] = [];
    const removed: ClassicGroup[] = [];
    const ended: (ConsumerGroup | StreamsGroup)[] = [];
    for (const group of groups.values()) {
      if (group.type === 'share') continue;
      let kept = 0;
      for (const { topic, partition, committed, writing, pending } of offsets.entries(group.groupId)) {
        if (committed !== null && !writing && !pending && this.#isExpired(group, topic, committed, now))
          changes.push({ groupId: group.groupId, topic, partition, value: null });
        else kept++;
      }
      if (kept > 0 || group.state !== 'Empty') continue;
      if (group.type !== 'classic') ended.push(group);
      else if (group.pendingMembers.size === 0) removed.push(group);
    }
    // Behind the offsets, so that no group outlives its offsets in the log.
    const ends = () => ended.map((group) => this.#end(group, []));
    const restores = removed.map((group) => this.#remove(group));
    try {
      const written = log.write(
        changes,
        removed.map(({ groupId }) => groupTombstone(groupId)),
      );
      await Promise.all([written, ...ends()]);
    } catch (failure) {
      for (const restore of restores) restore();
      throw failure;
    }
  }

  /** Writes the end of a group whose members the coordinator assigns. Rejects as a write. */
  #end(group: ConsumerGroup | StreamsGroup, offsets: readonly OffsetChange[]): Promise<void> {
    const { writer, streamsWriter } = this.#options;
    const { groupId } = group;
    return group.type === 'consumer'
      ? writer.write({ groupId, records: groupTombstones(group), offsets })
      : streamsWriter.write({ groupId, records: streamsTombstones(group), offsets });
  }

  #isExpired(
    group: Exclude<Group, ShareGroup>,
    topic: string,
    offset: CommittedOffset,
    nowMs: number,
  ): boolean {
    const unusedSinceMs = unusedSince(group, topic, offset);
    if (unusedSinceMs === null) return false;
    if (offset.expireTimestampMs !== null) return nowMs >= offset.expireTimestampMs;
    return nowMs - unusedSinceMs >= this.#options.config.offsetsRetentionMs;
  }

  /** Takes a group out at once, so that a join after it begins a new one; returns how to take that back. */
  #remove(group: ClassicGroup): () => void {
    const { groups, rebalancer } = this.#options;
    const { groupId, generationId, protocolType, protocolName, leaderId, stateSinceMs } = group;
    groups.delete(groupId);
    rebalancer.bury(group, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    return () => {
      if (groups.has(groupId)) return;
      const snapshot = { generationId, protocolType, protocolName, leaderId, stateSinceMs, members: [] };
      groups.set(groupId, ClassicGroup.restore(groupId, snapshot));
    };
  }
}

/**
 * Since when an offset's retention runs; null while it is in use. For a group that only stores offsets: since the
 * commit. For one without members: since it lost the last. For consumers at work: since the commit, if no member
 * subscribes to the topic.
 */
function unusedSince(
  group: Exclude<Group, ShareGroup>,
  topic: string,
  offset: CommittedOffset,
): number | null {
  if (group.type !== 'classic') return group.isSubscribedTo(topic) ? null : offset.commitTimestampMs;
  if (group.protocolType === null) return offset.commitTimestampMs;
  if (group.state === 'Empty') return group.stateSinceMs ?? offset.commitTimestampMs;
  if (group.isConsumerGroup && group.state === 'Stable' && !group.isSubscribedTo(topic))
    return offset.commitTimestampMs;
  return null;
}

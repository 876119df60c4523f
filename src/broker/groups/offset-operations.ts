import { ErrorCode } from '../../protocol/errors.ts';
import type { OffsetCommitRequest } from '../../protocol/generated/offset-commit-request.ts';
import type { TxnOffsetCommitRequest } from '../../protocol/generated/txn-offset-commit-request.ts';
import { type Uuid, ZERO_UUID } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import { offsetAppendError } from './append-errors.ts';
import { ClassicGroup } from './classic-group.ts';
import type { GroupConfig } from './config.ts';
import type { Group } from './consumer/context.ts';
import type { ConsumerGroupRecord } from './consumer/group-records.ts';
import type { GroupWriter } from './consumer/group-writer.ts';
import { checkCommit } from './consumer/offset-checks.ts';
import type { Topics } from './consumer/topics.ts';
import type { CommittedOffset, OffsetChange, Offsets } from './offsets.ts';
import type { Rebalancer } from './rebalance.ts';
import type { ShardLog } from './shard-log.ts';
import type { StreamsGroupRecord } from './streams/group-records.ts';
import { checkStreamsCommit } from './streams/offset-checks.ts';

/** A partition of a commit and its place in the response. */
export interface CommitPart {
  readonly topic: string;
  readonly request: {
    readonly partitionIndex: number;
    readonly committedOffset: bigint;
    readonly committedLeaderEpoch: number;
    readonly committedMetadata: string | null;
  };
  readonly response: { errorCode: number };
}

export interface DeletePart {
  readonly topic: string;
  readonly partition: number;
  readonly response: { errorCode: number };
}

/** From this version clients know GROUP_ID_NOT_FOUND. */
const KNOWS_GROUP_ID_NOT_FOUND = 9;
/** The longest string that a record can carry, in bytes. */
const MAX_STRING_BYTES = 32767;

export interface OffsetOperationsOptions {
  readonly clock: Clock;
  readonly config: GroupConfig;
  readonly groups: Map<string, Group>;
  readonly offsets: Offsets;
  readonly topics: Topics;
  readonly log: ShardLog;
  readonly writer: GroupWriter<ConsumerGroupRecord>;
  readonly streamsWriter: GroupWriter<StreamsGroupRecord>;
  readonly rebalancer: Rebalancer;
}

/** Committing and deleting offsets. */
export class OffsetOperations {
  readonly #options: OffsetOperationsOptions;

  constructor(options: OffsetOperationsOptions) {
    this.#options = options;
  }

  /** Sets the error codes of the parts. Resolves when the offsets are written. */
  async commit(
    request: OffsetCommitRequest,
    apiVersion: number,
    parts: readonly CommitPart[],
  ): Promise<void> {
    const { clock, log } = this.#options;
    const error = this.#mayCommit(request, apiVersion, parts);
    const retentionMs = Number(request.retentionTimeMs);
    const now = clock.now();
    const expireTimestampMs =
      retentionMs === -1 ? null : Math.min(now + retentionMs, Number.MAX_SAFE_INTEGER);
    await this.#write(request.groupId, error, parts, { now, expireTimestampMs }, (changes) =>
      log.write(changes),
    );
  }

  /**
   * As `commit`, but within a transaction: the offsets take effect when it is committed. The caller has made sure that the
   * group belongs to the transaction.
   */
  async commitPending(request: TxnOffsetCommitRequest, parts: readonly CommitPart[]): Promise<void> {
    const { clock, log } = this.#options;
    const error = this.#mayCommitPending(request, parts);
    const times = { now: clock.now(), expireTimestampMs: null };
    await this.#write(request.groupId, error, parts, times, (changes) => log.writePending(changes, request));
  }

  async #write(
    groupId: string,
    error: ErrorCode,
    parts: readonly CommitPart[],
    { now, expireTimestampMs }: { now: number; expireTimestampMs: number | null },
    write: (changes: readonly OffsetChange[]) => Promise<void>,
  ): Promise<void> {
    if (error !== ErrorCode.NONE) {
      for (const { response } of parts) response.errorCode = error;
      return;
    }
    const { groups, topics } = this.#options;
    const accepted: CommitPart[] = [];
    const changes: OffsetChange[] = [];
    for (const part of parts) {
      const metadata = part.request.committedMetadata ?? '';
      if (this.#isTooLong(metadata)) {
        part.response.errorCode = ErrorCode.OFFSET_METADATA_TOO_LARGE;
        continue;
      }
      accepted.push(part);
      changes.push({
        groupId,
        topic: part.topic,
        partition: part.request.partitionIndex,
        value: {
          topicId: topics.byName(part.topic)?.id ?? ZERO_UUID,
          offset: part.request.committedOffset,
          leaderEpoch: part.request.committedLeaderEpoch,
          metadata,
          commitTimestampMs: now,
          expireTimestampMs,
        },
      });
    }
    // A group that only stores offsets begins with its first one.
    if (changes.length > 0 && !groups.has(groupId)) groups.set(groupId, new ClassicGroup(groupId, now));
    try {
      await write(lastOfEach(changes));
    } catch (failure) {
      for (const { response } of accepted) response.errorCode = offsetAppendError(failure);
      this.#removeIfUnused(groupId);
    }
  }

  /** A group that only stores offsets ends with the last that may be there; it has no record of its own. */
  #removeIfUnused(groupId: string): void {
    const { groups, offsets } = this.#options;
    const group = groups.get(groupId);
    if (group?.type !== 'classic' || group.protocolType !== null) return;
    const hasMembers = group.size > 0 || group.pendingMembers.size > 0;
    if (!hasMembers && offsets.entries(groupId).next().done) groups.delete(groupId);
  }

  /**
   * Deletes offsets of topics that the group is not subscribed to and sets the error codes of the parts; the result is
   * the error of the request as a whole.
   */
  async delete(groupId: string, parts: readonly DeletePart[]): Promise<ErrorCode> {
    const { groups, offsets, log } = this.#options;
    const group = groups.get(groupId);
    if (group === undefined || group.type === 'share') return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.type === 'classic' && group.state !== 'Empty' && !group.isConsumerGroup)
      return ErrorCode.NON_EMPTY_GROUP;
    const changes: OffsetChange[] = [];
    for (const { topic, partition, response } of parts) {
      if (group.isSubscribedTo(topic)) response.errorCode = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC;
      else if (offsets.mayExist(groupId, topic, partition))
        changes.push({ groupId, topic, partition, value: null });
    }
    try {
      await log.write(lastOfEach(changes));
      return ErrorCode.NONE;
    } catch (failure) {
      return offsetAppendError(failure);
    }
  }

  /** Deletes the offsets of all groups in a topic that is gone. Rejects if that could not be written. */
  async deleteTopic(topic: string): Promise<void> {
    const { offsets, log } = this.#options;
    const changes: OffsetChange[] = [];
    for (const groupId of offsets.groupIds())
      for (const { partition } of offsets.entries(groupId, topic))
        changes.push({ groupId, topic, partition, value: null });
    await log.write(changes);
  }

  /** What a group has committed in the topic that has the name now: an offset in a former one is none. */
  committed(groupId: string, topic: string, partition: number): CommittedOffset | null {
    const { offsets, topics } = this.#options;
    const found = offsets.get(groupId, topic, partition);
    return found === null || isOfAnother(found, topics.byName(topic)?.id ?? ZERO_UUID) ? null : found;
  }

  /**
   * Deletes offsets in topics that were deleted when their offsets could not be: a crash came between the two, or the shard was being
   * loaded. Rejects if that could not be written.
   */
  async deleteFormer(): Promise<void> {
    const { offsets, topics, log } = this.#options;
    const changes: OffsetChange[] = [];
    for (const groupId of offsets.groupIds())
      for (const { topic, partition, committed } of offsets.entries(groupId)) {
        const now = topics.byName(topic);
        if (now === null || (committed !== null && isOfAnother(committed, now.id)))
          changes.push({ groupId, topic, partition, value: null });
      }
    await log.write(changes);
  }

  #mayCommit(request: OffsetCommitRequest, apiVersion: number, parts: readonly CommitPart[]): ErrorCode {
    const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch: generationId } = request;
    const group = this.#options.groups.get(groupId);
    if (group === undefined) {
      if (generationId < 0) return ErrorCode.NONE;
      return apiVersion >= KNOWS_GROUP_ID_NOT_FOUND
        ? ErrorCode.GROUP_ID_NOT_FOUND
        : ErrorCode.ILLEGAL_GENERATION;
    }
    if (group.type === 'share') return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.type === 'consumer') {
      const commit = { memberId, instanceId: groupInstanceId, memberEpoch: generationId, apiVersion, parts };
      return checkCommit(group, { ...commit, isTransactional: false }, this.#options.topics);
    }
    if (group.type === 'streams') {
      const commit = { memberId, instanceId: groupInstanceId, memberEpoch: generationId, apiVersion, parts };
      return checkStreamsCommit(group, { ...commit, isTransactional: false });
    }
    // Without a generation it is an administrator or a consumer that assigns itself, which need an empty group.
    if (generationId < 0 && group.state === 'Empty') return ErrorCode.NONE;
    if (generationId < 0 && memberId === '' && groupInstanceId === null) return ErrorCode.UNKNOWN_MEMBER_ID;
    const error = group.validateMember(memberId, groupInstanceId);
    if (error !== ErrorCode.NONE) return error;
    if (generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
    // The member knows of the generation but has no assignment in it yet.
    if (group.state === 'CompletingRebalance') return ErrorCode.REBALANCE_IN_PROGRESS;
    const member = group.member(memberId);
    if (member !== undefined) this.#options.rebalancer.restartSession(group, member);
    return ErrorCode.NONE;
  }

  /** Whoever commits in a transaction without saying which member it is, as older clients do, is not checked. */
  #mayCommitPending(
    { groupId, memberId, groupInstanceId, generationId }: TxnOffsetCommitRequest,
    parts: readonly CommitPart[],
  ): ErrorCode {
    const group = this.#options.groups.get(groupId);
    if (group === undefined) return generationId < 0 ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
    if (group.type === 'share') return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.type === 'consumer') {
      const commit = { memberId, instanceId: groupInstanceId, memberEpoch: generationId, parts };
      return checkCommit(group, { ...commit, isTransactional: true, apiVersion: 0 }, this.#options.topics);
    }
    if (group.type === 'streams') {
      const commit = { memberId, instanceId: groupInstanceId, memberEpoch: generationId, parts };
      return checkStreamsCommit(group, { ...commit, isTransactional: true, apiVersion: 0 });
    }
    if (generationId < 0 && (group.state === 'Empty' || (memberId === '' && groupInstanceId === null)))
      return ErrorCode.NONE;
    const error = group.validateMember(memberId, groupInstanceId);
    if (error !== ErrorCode.NONE) return error;
    return generationId === group.generationId ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
  }

  #isTooLong(metadata: string): boolean {
    return (
      metadata.length > this.#options.config.offsetMetadataMaxBytes ||
      (metadata.length > MAX_STRING_BYTES / 3 && Buffer.byteLength(metadata) > MAX_STRING_BYTES)
    );
  }
}

/** Whether an offset is in another topic than that of the id, if both are known. */
function isOfAnother({ topicId }: CommittedOffset, now: Uuid): boolean {
  return topicId !== ZERO_UUID && now !== ZERO_UUID && topicId !== now;
}

/** Of a partition that one request names many times the last change, which is all that would be left of them. */
function lastOfEach(changes: readonly OffsetChange[]): readonly OffsetChange[] {
  const byTopic = new Map<string, Map<number, OffsetChange>>();
  for (const change of changes) {
    const ofTopic = byTopic.get(change.topic) ?? new Map<number, OffsetChange>();
    byTopic.set(change.topic, ofTopic.set(change.partition, change));
  }
  return Array.from(byTopic.values(), (ofTopic) => [...ofTopic.values()]).flat();
}

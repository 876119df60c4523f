import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { ShareGroupHeartbeatRequest } from '../../../protocol/generated/share-group-heartbeat-request.ts';
import {
  createShareGroupHeartbeatResponse,
  type ShareGroupHeartbeatResponse,
} from '../../../protocol/generated/share-group-heartbeat-response.ts';
import { groupAppendError } from '../append-errors.ts';
import { sameAssignment, topicPartitionsOf } from '../consumer/assignment.ts';
import { sameTopics } from '../consumer/consumer-member.ts';
import { GroupWriter, type GroupWriterOptions, replayOf } from '../consumer/group-writer.ts';
import { metadataHash, topicIdsOf } from '../consumer/topics.ts';
import type { GroupClient } from '../group-client.ts';
import { isAssignmentDue } from '../own-values.ts';
import type { ShareContext } from './context.ts';
import {
  ShareGroup,
  type ShareGroupRecord,
  shareGroupTombstones,
  shareMemberTombstones,
} from './share-group.ts';
import { ShareInitializer } from './share-initializer.ts';
import { newShareMember, type ShareMember } from './share-member.ts';
import { ShareOffsets } from './share-offsets.ts';
import { encodeShareRecord } from './share-record-codec.ts';
import { assignShares, SIMPLE_ASSIGNOR } from './simple-assignor.ts';

const JOIN_EPOCH = 0;
const LEAVE_EPOCH = -1;

/** Writes the records of share groups. */
export function shareWriter(
  options: Pick<GroupWriterOptions<ShareGroupRecord>, 'groups' | 'log' | 'failed'>,
): GroupWriter<ShareGroupRecord> {
  return new GroupWriter({
    ...options,
    encode: encodeShareRecord,
    replay: replayOf<ShareGroupRecord, ShareGroup>(options.groups, {
      type: 'share',
      create: (groupId) => new ShareGroup(groupId),
      apply: (group, record) => group.apply(record),
      cancelTimers: (group) => group.timers.cancelAll(),
    }),
  });
}

/** The share groups (KIP-932) in one shard. */
export class ShareGroups {
  readonly offsets: ShareOffsets;
  readonly #context: ShareContext;
  readonly #initializer: ShareInitializer;

  constructor(context: ShareContext) {
    this.#context = context;
    this.#initializer = new ShareInitializer(context);
    this.offsets = new ShareOffsets(context);
  }

  /** ShareGroupHeartbeat: answered when what the answer says is written. */
  async heartbeat(
    request: ShareGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<ShareGroupHeartbeatResponse> {
    try {
      return request.memberEpoch === LEAVE_EPOCH
        ? await this.#leave(request)
        : await this.#heartbeat(request, client);
    } catch (error) {
      const errorCode = this.#codeOf(error);
      const errorMessage = error instanceof ApiError ? error.message : null;
      return createShareGroupHeartbeatResponse({ errorCode, errorMessage });
    }
  }

  /** DeleteGroups: a group without members goes with the states of all its partitions. */
  async delete(group: ShareGroup): Promise<ErrorCode> {
    const { groupId } = group;
    try {
      do {
        // A state that is made when the group is gone would be in the way of the next group with its name.
        await group.initialization;
        if (group.size > 0) return ErrorCode.NON_EMPTY_GROUP;
        if (this.#context.groups.get(groupId) !== group) return ErrorCode.GROUP_ID_NOT_FOUND;
        await this.offsets.deleteStates(group, [...group.states.initialized, ...group.states.initializing]);
      } while (group.initialization !== null);
      if (group.size > 0) return ErrorCode.NON_EMPTY_GROUP;
      if (this.#context.groups.get(groupId) !== group) return ErrorCode.GROUP_ID_NOT_FOUND;
      await this.#context.writer.write({ groupId, records: shareGroupTombstones(group) });
      return ErrorCode.NONE;
    } catch (error) {
      return this.#codeOf(error);
    }
  }

  /** A topic was created, deleted, or got partitions: groups that name it look at it with their next heartbeat. */
  topicChanged(name: string): void {
    for (const group of this.#context.groups.values())
      if (group.type === 'share' && group.isSubscribedTo(name)) group.metadataMayDiffer = true;
  }

  /** Starts the timers of a group that was read back, and completes what a crash interrupted. */
  revive(group: ShareGroup): void {
    for (const { memberId } of group.members()) this.#startSession(group, memberId);
    this.offsets.finishDeletion(group);
    void this.offsets.deleteFormer(group);
  }

  async #heartbeat(
    request: ShareGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<ShareGroupHeartbeatResponse> {
    const { groupId, memberId, memberEpoch, subscribedTopicNames } = request;
    const joined = this.#groupFor(groupId, memberEpoch === JOIN_EPOCH);
    const found = this.#memberFor(joined, memberId, memberEpoch);
    const updated: ShareMember = {
      ...found,
      rackId: request.rackId ?? found.rackId,
      topicNames: subscribedTopicNames === null ? found.topicNames : new Set(subscribedTopicNames),
      ...client,
    };
    this.#update(joined, joined.member(memberId) ?? null, updated);
    const group = this.#context.groups.get(groupId);
    if (group?.type !== 'share') throw unknownMember(groupId, memberId);
    this.#startSession(group, memberId);
    if (memberEpoch === JOIN_EPOCH)
      this.#context.logger.info({ group: groupId, member: memberId }, 'member joins the share group');
    await this.#initializer.initialize(group);
    if (this.#context.groups.get(groupId) !== group) throw unknownMember(groupId, memberId);
    const member = await this.#advance(group, memberId);
    const saysAssignment =
      memberEpoch === JOIN_EPOCH ||
      subscribedTopicNames !== null ||
      !sameAssignment(found.assigned, member.assigned);
    return createShareGroupHeartbeatResponse({
      memberId,
      memberEpoch: member.memberEpoch,
      heartbeatIntervalMs: this.#context.config.timesOf(groupId).heartbeatIntervalMs,
      assignment: saysAssignment ? { topicPartitions: topicPartitionsOf(member.assigned) } : null,
    });
  }

  /** The member with what it says of itself, and the group's next epoch if that changes what is subscribed to. */
  #update(group: ShareGroup, present: ShareMember | null, updated: ShareMember): void {
    const records: ShareGroupRecord[] = [];
    const { memberId } = updated;
    const topicsChanged = present === null || !sameTopics(present.topicNames, updated.topicNames);
    if (topicsChanged || !sameOrigin(present, updated))
      records.push({ kind: 'member', memberId, value: updated });
    if (topicsChanged || group.metadataMayDiffer) {
      const names = group.topicNames();
      // What only this member named may stay for one epoch too long; the hash is compared with itself alone.
      for (const name of updated.topicNames) names.add(name);
      const hash = metadataHash(this.#context.topics, names);
      if (topicsChanged || hash !== group.metadataHash)
        records.push({ kind: 'epoch', value: { epoch: group.groupEpoch + 1, metadataHash: hash } });
    }
    if (records.length > 0) void this.#context.writer.write({ groupId: group.groupId, records });
    group.metadataMayDiffer = false;
  }

  /** Gives the member what it is to have, once that is settled; resolves when it is written. */
  async #advance(group: ShareGroup, memberId: string): Promise<ShareMember> {
    const { writer } = this.#context;
    const records: ShareGroupRecord[] = [];
    const target = this.#nextTarget(group, records) ?? {
      epoch: group.assignmentEpoch,
      assignment: group.targetOf(memberId),
    };
    const wanted = 'of' in target ? target.of(memberId) : target.assignment;
    // What is deleted goes at once, although the next target may have to wait.
    const assigned = new Map([...wanted].filter(([topicId]) => this.#context.topics.byId(topicId) !== null));
    const found = group.member(memberId);
    if (found === undefined) throw unknownMember(group.groupId, memberId);
    let member = found;
    if (found.memberEpoch !== target.epoch || !sameAssignment(found.assigned, assigned)) {
      member = { ...found, memberEpoch: target.epoch, previousEpoch: found.memberEpoch, assigned };
      records.push({ kind: 'current', memberId, value: member });
    }
    await writer.write({ groupId: group.groupId, records });
    return member;
  }

  /** A new target assignment for the whole group; null if the last one is good or too young. */
  #nextTarget(group: ShareGroup, records: ShareGroupRecord[]) {
    if (group.assignmentEpoch >= group.groupEpoch) return null;
    const { clock, config, logger, topics } = this.#context;
    if (!isAssignmentDue(clock, group, config.timesOf(group.groupId))) return null;
    const now = clock.now();
    const members = Array.from(group.members(), ({ memberId, topicNames }) => ({
      memberId,
      topicIds: topicIdsOf(topics, topicNames),
      assignment: group.targetOf(memberId),
    }));
    const assignments = assignShares(members, (topicId) => {
      const count = topics.byId(topicId)?.partitionCount ?? 0;
      const ready = group.states.initialized.get(topicId)?.partitions ?? [];
      return [...ready].filter((partition) => partition < count).sort((a, b) => a - b);
    });
    for (const { memberId, assignment } of members) {
      const value = assignments.get(memberId)!;
      if (!sameAssignment(assignment, value)) records.push({ kind: 'target', memberId, value });
    }
    const epoch = group.groupEpoch;
    records.push({ kind: 'target-epoch', value: { epoch, timestampMs: now } });
    logger.info(
      { group: group.groupId, epoch, members: members.length, assignor: SIMPLE_ASSIGNOR },
      'group has a new target assignment',
    );
    return { epoch, of: (memberId: string) => assignments.get(memberId) ?? new Map() };
  }

  async #leave({ groupId, memberId, memberEpoch }: ShareGroupHeartbeatRequest) {
    const group = this.#groupFor(groupId, false, 'Group');
    if (group.member(memberId) === undefined) throw unknownMember(groupId, memberId);
    this.#context.logger.info({ group: groupId, member: memberId }, 'member leaves the share group');
    await this.#fence(group, memberId);
    return createShareGroupHeartbeatResponse({ memberId, memberEpoch });
  }

  #fence(group: ShareGroup, memberId: string): Promise<void> {
    const names = new Set<string>();
    for (const member of group.members())
      if (member.memberId !== memberId) for (const name of member.topicNames) names.add(name);
    const hash = metadataHash(this.#context.topics, names);
    return this.#context.writer.write({
      groupId: group.groupId,
      records: [
        ...shareMemberTombstones(memberId),
        { kind: 'epoch', value: { epoch: group.groupEpoch + 1, metadataHash: hash } },
      ],
    });
  }

  #startSession(group: ShareGroup, memberId: string): void {
    const { clock, config, groups, logger } = this.#context;
    const { sessionTimeoutMs } = config.timesOf(group.groupId);
    group.timers.start(clock, memberId, 'session', sessionTimeoutMs, () => {
      if (group.member(memberId) === undefined || groups.get(group.groupId) !== group) return;
      const about = { group: group.groupId, member: memberId };
      logger.info(about, 'member removed from the share group: its session timed out');
      this.#fence(group, memberId).catch((error: unknown) => {
        logger.warn({ ...about, err: error }, 'the removal of a member was not written');
      });
    });
  }

  /** @throws ApiError */
  #groupFor(groupId: string, joins: boolean, name = 'Share group'): ShareGroup {
    const group = this.#context.groups.get(groupId);
    if (group?.type === 'share') return group;
    if (group === undefined && joins) return new ShareGroup(groupId);
    throw new ApiError(
      ErrorCode.GROUP_ID_NOT_FOUND,
      group === undefined ? `${name} ${groupId} not found.` : `Group ${groupId} is not a share group.`,
    );
  }

  /** @throws ApiError */
  #memberFor(group: ShareGroup, memberId: string, memberEpoch: number): ShareMember {
    const member = group.member(memberId);
    const { maxSize } = this.#context.config;
    if (member === undefined) {
      if (group.size >= maxSize)
        throw new ApiError(
          ErrorCode.GROUP_MAX_SIZE_REACHED,
          `The share group has reached its maximum capacity of ${maxSize} members.`,
        );
      if (memberEpoch !== JOIN_EPOCH) throw unknownMember(group.groupId, memberId);
      return newShareMember(memberId);
    }
    // One that comes with its former epoch has not got our last answer.
    if (memberEpoch === JOIN_EPOCH || memberEpoch === member.memberEpoch) return member;
    if (memberEpoch < member.memberEpoch && memberEpoch === member.previousEpoch) return member;
    const relation = memberEpoch > member.memberEpoch ? 'greater' : 'smaller';
    throw new ApiError(
      ErrorCode.FENCED_MEMBER_EPOCH,
      `The share group member has a ${relation} member epoch (${memberEpoch}) than the one known by the group coordinator (${member.memberEpoch}). The member must abandon all its partitions and rejoin.`,
    );
  }

  #codeOf(error: unknown): ErrorCode {
    if (typeof (error as { code?: unknown } | null)?.code !== 'number') {
      this.#context.logger.error({ err: error }, 'a request of a share group failed');
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    }
    return groupAppendError(error);
  }
}

function unknownMember(groupId: string, memberId: string): ApiError {
  return new ApiError(ErrorCode.UNKNOWN_MEMBER_ID, `Member ${memberId} is not a member of group ${groupId}.`);
}

function sameOrigin(a: ShareMember | null, b: ShareMember): boolean {
  return a?.rackId === b.rackId && a.clientId === b.clientId && a.clientHost === b.clientHost;
}

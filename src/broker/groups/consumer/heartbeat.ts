import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { ConsumerGroupHeartbeatRequest } from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import {
  type ConsumerGroupHeartbeatResponse,
  createConsumerGroupHeartbeatResponse,
} from '../../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { GroupClient } from '../group-client.ts';
import { sameEpochAssignment, topicPartitionsOf } from './assignment.ts';
import { ConsumerGroup } from './consumer-group.ts';
import {
  type ConsumerMember,
  LEAVE_EPOCH,
  MemberState,
  newMember,
  STATIC_LEAVE_EPOCH,
} from './consumer-member.ts';
import type { ConsumerContext } from './context.ts';
import type { Conversion, Upgrade } from './conversion.ts';
import { MemberDraft, replacement } from './draft.ts';
import type { Fencing } from './fencing.ts';
import type { RegexRefresh } from './regex-refresh.ts';

const JOIN_EPOCH = 0;

/** ConsumerGroupHeartbeat: members join, say what they own, learn what they get, and leave. */
export class Heartbeats {
  readonly #context: ConsumerContext;
  readonly #fencing: Fencing;
  readonly #conversion: Conversion;
  readonly #regexRefresh: RegexRefresh;

  constructor(
    context: ConsumerContext,
    parts: {
      readonly fencing: Fencing;
      readonly conversion: Conversion;
      readonly regexRefresh: RegexRefresh;
    },
  ) {
    this.#context = context;
    this.#fencing = parts.fencing;
    this.#conversion = parts.conversion;
    this.#regexRefresh = parts.regexRefresh;
  }

  /** Resolves when what the answer says is written. Rejects with an ApiError. */
  async heartbeat(
    request: ConsumerGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<ConsumerGroupHeartbeatResponse> {
    const { memberEpoch } = request;
    if (memberEpoch === LEAVE_EPOCH || memberEpoch === STATIC_LEAVE_EPOCH) return this.#leave(request);
    const joins = memberEpoch === JOIN_EPOCH;
    const memberId = request.memberId === '' ? this.#context.randomId() : request.memberId;
    const upgrade = this.#groupFor(request.groupId, joins);
    const { group } = upgrade;
    const { maxSize } = this.#context.config;
    if (group.size >= maxSize && group.member(memberId) === undefined)
      throw new ApiError(
        ErrorCode.GROUP_MAX_SIZE_REACHED,
        `The consumer group has reached its maximum capacity of ${maxSize} members.`,
      );
    const draft = this.#draft(group, memberId, request);
    draft.update(updatedBy(draft.found, request, client));
    draft.advance(request.topicPartitions);
    await this.#finish(draft, upgrade, request);
    const { found, updated } = draft;
    const isFull =
      request.rebalanceTimeoutMs !== -1 &&
      (request.subscribedTopicNames !== null || request.subscribedTopicRegex !== null) &&
      request.topicPartitions !== null;
    const saysAssignment = joins || isFull || !sameEpochAssignment(found.assigned, updated.assigned);
    return createConsumerGroupHeartbeatResponse({
      memberId,
      memberEpoch: updated.memberEpoch,
      heartbeatIntervalMs: this.#context.config.timesOf(group.groupId).heartbeatIntervalMs,
      assignment: saysAssignment ? { topicPartitions: topicPartitionsOf(updated.assigned) } : null,
    });
  }

  /** Makes the step; resolves when it is written. */
  #finish(
    draft: MemberDraft,
    { before, creation }: Upgrade,
    request: ConsumerGroupHeartbeatRequest,
  ): Promise<void> {
    const { groupId } = draft.group;
    const { clock, groups, rebalancer, writer } = this.#context;
    const { found, updated, records } = draft;
    const classic = groups.get(groupId);
    const written = writer.write({ groupId, before, records: [...creation, ...records] });
    const group = groups.get(groupId);
    if (group?.type !== 'consumer') return written;
    if (classic?.type === 'classic') {
      // Those who wait rejoin, now as members of the new group.
      rebalancer.bury(classic, ErrorCode.REBALANCE_IN_PROGRESS);
      for (const member of group.members()) this.#fencing.startSession(group, member.memberId);
    }
    group.metadataMayDiffer = false;
    const { memberId } = updated;
    this.#fencing.startSession(group, memberId);
    if (updated !== found) {
      if (updated.state !== MemberState.UNREVOKED_PARTITIONS) group.timers.cancel(memberId, 'rebalance');
      else if (records.some(({ kind }) => kind === 'current')) this.#fencing.startRebalance(group, updated);
    }
    this.#regexRefresh.refreshIfDue(group, draft.hasNewRegex, clock.now());
    if (request.memberEpoch === JOIN_EPOCH) this.#logJoin(groupId, updated);
    return written;
  }

  /** The group, made if the member joins it; a classic group is converted if that is allowed. */
  #groupFor(groupId: string, joins: boolean): Upgrade {
    const group = this.#context.groups.get(groupId);
    if (group?.type === 'consumer') return { group, before: [], creation: [] };
    if (group === undefined) {
      if (joins) return { group: new ConsumerGroup(groupId), before: [], creation: [] };
      throw new ApiError(ErrorCode.GROUP_ID_NOT_FOUND, `Consumer group ${groupId} not found.`);
    }
    if (joins && group.type === 'classic') return this.#conversion.toConsumer(group);
    throw new ApiError(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} is not a consumer group.`);
  }

  #draft(group: ConsumerGroup, memberId: string, request: ConsumerGroupHeartbeatRequest): MemberDraft {
    const { instanceId, memberEpoch } = request;
    const joins = memberEpoch === JOIN_EPOCH;
    const present = instanceId === null ? group.member(memberId) : group.staticMember(instanceId);
    if (present === undefined) {
      if (!joins) throw unknownMember(group.groupId, memberId, instanceId);
      const dynamic = group.member(memberId);
      return new MemberDraft(this.#context, group, dynamic ?? null, dynamic ?? newMember(memberId));
    }
    if (instanceId !== null && joins) {
      // The member before it must have left, unless one of the two uses the classic protocol.
      if (present.classic === null && present.memberEpoch !== STATIC_LEAVE_EPOCH)
        throw new ApiError(
          ErrorCode.UNRELEASED_INSTANCE_ID,
          `Static member ${memberId} with instance id ${instanceId} cannot join the group because the instance id is owned by ${present.memberId} member.`,
        );
      return new MemberDraft(this.#context, group, present, replacement(present, memberId));
    }
    if (instanceId !== null) throwIfFenced(present, memberId, instanceId);
    throwIfEpochIsInvalid(present, request);
    return new MemberDraft(this.#context, group, present, present);
  }

  async #leave(request: ConsumerGroupHeartbeatRequest): Promise<ConsumerGroupHeartbeatResponse> {
    const { groupId, memberId, memberEpoch, instanceId } = request;
    const group = this.#context.groups.get(groupId);
    if (group?.type !== 'consumer')
      throw new ApiError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        group === undefined ? `Group ${groupId} not found.` : `Group ${groupId} is not a consumer group.`,
      );
    const member = instanceId === null ? group.member(memberId) : group.staticMember(instanceId);
    if (member === undefined) throw unknownMember(groupId, memberId, instanceId);
    if (instanceId !== null) throwIfFenced(member, memberId, instanceId);
    this.#context.logger.info(
      { group: groupId, member: memberId, instance: instanceId, forGood: memberEpoch === LEAVE_EPOCH },
      'member leaves the consumer group',
    );
    if (instanceId !== null && memberEpoch === STATIC_LEAVE_EPOCH)
      await this.#fencing.leaveForAWhile(group, member);
    else await this.#fencing.fence(group, [member]);
    return createConsumerGroupHeartbeatResponse({ memberId, memberEpoch });
  }

  #logJoin(groupId: string, { memberId, instanceId, memberEpoch }: ConsumerMember): void {
    this.#context.logger.info(
      { group: groupId, member: memberId, instance: instanceId, epoch: memberEpoch },
      'member joins the consumer group',
    );
  }
}

/** The member with what the request says of it; what it leaves out stays. */
function updatedBy(
  member: ConsumerMember,
  request: ConsumerGroupHeartbeatRequest,
  { clientId, clientHost }: GroupClient,
): ConsumerMember {
  const { subscribedTopicNames, rebalanceTimeoutMs } = request;
  return {
    ...member,
    instanceId: request.instanceId ?? member.instanceId,
    rackId: request.rackId ?? member.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? member.rebalanceTimeoutMs : rebalanceTimeoutMs,
    serverAssignor: request.serverAssignor ?? member.serverAssignor,
    topicNames: subscribedTopicNames === null ? member.topicNames : new Set(subscribedTopicNames),
    topicRegex: request.subscribedTopicRegex ?? member.topicRegex,
    clientId,
    clientHost,
    classic: null,
  };
}

function unknownMember(groupId: string, memberId: string, instanceId: string | null): ApiError {
  return new ApiError(
    ErrorCode.UNKNOWN_MEMBER_ID,
    instanceId === null
      ? `Member ${memberId} is not a member of group ${groupId}.`
      : `Instance id ${instanceId} is unknown.`,
  );
}

function throwIfFenced(member: ConsumerMember, memberId: string, instanceId: string): void {
  if (member.memberId === memberId) return;
  throw new ApiError(
    ErrorCode.FENCED_INSTANCE_ID,
    `Static member ${memberId} with instance id ${instanceId} was fenced by member ${member.memberId}.`,
  );
}

/**
 * A member that joins may come with epoch 0 at any time. One that comes with its former epoch has not got our last answer; if
 * it owns nothing that it should not, it gets it again.
 */
function throwIfEpochIsInvalid(member: ConsumerMember, request: ConsumerGroupHeartbeatRequest): void {
  const { memberEpoch, topicPartitions } = request;
  if (memberEpoch === JOIN_EPOCH || memberEpoch === member.memberEpoch) return;
  const isRepeated =
    memberEpoch === member.previousEpoch &&
    topicPartitions !== null &&
    topicPartitions.every(({ topicId, partitions }) => {
      const assigned = member.assigned.get(topicId);
      return assigned !== undefined && partitions.every((partition) => assigned.has(partition));
    });
  if (memberEpoch < member.memberEpoch && isRepeated) return;
  const relation = memberEpoch > member.memberEpoch ? 'greater' : 'smaller';
  throw new ApiError(
    ErrorCode.FENCED_MEMBER_EPOCH,
    `The consumer group member has a ${relation} member epoch (${memberEpoch}) than the one known by the group coordinator (${member.memberEpoch}). The member must abandon all its partitions and rejoin.`,
  );
}

import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { HeartbeatRequest } from '../../../protocol/generated/heartbeat-request.ts';
import type { JoinGroupRequest } from '../../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../../protocol/generated/join-group-response.ts';
import type { MemberIdentity } from '../../../protocol/generated/leave-group-request.ts';
import {
  createMemberResponse,
  type MemberResponse,
} from '../../../protocol/generated/leave-group-response.ts';
import type { SyncGroupRequest } from '../../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../../protocol/generated/sync-group-response.ts';
import { ProtocolError } from '../../../protocol/wire/errors.ts';
import { joinResponse } from '../classic-group.ts';
import { type JoinCall, REQUIRES_MEMBER_ID } from '../join.ts';
import { isAssignmentDue } from '../own-values.ts';
import { CONSUMER_PROTOCOL_TYPE } from '../subscription.ts';
import { type TopicPartitions, topicPartitionsOf } from './assignment.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import {
  type ClassicSupport,
  type ConsumerMember,
  isReconciledTo,
  MemberState,
  newMember,
} from './consumer-member.ts';
import { encodeAssignment, parseSubscription, toTopicIds } from './consumer-protocol.ts';
import type { ConsumerContext } from './context.ts';
import type { Conversion } from './conversion.ts';
import { MemberDraft, replacement } from './draft.ts';
import type { Fencing } from './fencing.ts';

/** Members that use the classic protocol in a group of the consumer protocol, while it is migrated. */
export class ClassicMembers {
  readonly #context: ConsumerContext;
  readonly #fencing: Fencing;
  readonly #conversion: Conversion;

  constructor(
    context: ConsumerContext,
    parts: { readonly fencing: Fencing; readonly conversion: Conversion },
  ) {
    this.#context = context;
    this.#fencing = parts.fencing;
    this.#conversion = parts.conversion;
  }

  /** JoinGroup: a member takes its next step, without waiting for the others. Rejects with an ApiError. */
  async join(group: ConsumerGroup, call: JoinCall): Promise<JoinGroupResponse> {
    const { request, apiVersion } = call;
    const { groupInstanceId: instanceId } = request;
    const isUnknown = request.memberId === '';
    const memberId = isUnknown ? this.#context.randomId() : request.memberId;
    const { maxSize } = this.#context.config;
    if (group.size >= maxSize && group.member(memberId) === undefined)
      throw new ApiError(ErrorCode.GROUP_MAX_SIZE_REACHED);
    if (!group.supportsClassic(request.protocolType, request.protocols))
      throw new ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    if (isUnknown && instanceId === null && apiVersion >= REQUIRES_MEMBER_ID)
      return joinResponse({ memberId, errorCode: ErrorCode.MEMBER_ID_REQUIRED });
    const { draft, former } = this.#draft(group, memberId, instanceId, isUnknown);
    const classic = { sessionTimeoutMs: request.sessionTimeoutMs, protocols: request.protocols };
    const subscription = subscriptionOf(request);
    draft.update({
      ...draft.found,
      instanceId: instanceId ?? draft.found.instanceId,
      rackId: (subscription.rackId === '' ? null : subscription.rackId) ?? draft.found.rackId,
      rebalanceTimeoutMs: request.rebalanceTimeoutMs,
      topicNames: new Set(subscription.topics),
      topicRegex: '',
      clientId: call.clientId,
      clientHost: call.clientHost,
      classic,
    });
    const owned = topicPartitionsOf(toTopicIds(this.#context.topics, subscription.ownedPartitions));
    const downgraded = former === null ? null : this.#downgradeBy(former, draft, owned);
    if (downgraded === null) {
      draft.advance(owned);
      await this.#finish(group, draft, request);
    } else await downgraded;
    const { updated } = draft;
    return joinResponse({
      memberId,
      generationId: updated.memberEpoch,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocolName: classic.protocols[0]!.name,
    });
  }

  /** The group becomes a classic one if `former`, whose place the member takes, was the last of the others; null if it does not. */
  #downgradeBy(
    former: ConsumerMember,
    draft: MemberDraft,
    owned: readonly TopicPartitions[],
  ): Promise<void> | null {
    const { group } = draft;
    if (!this.#conversion.canDowngradeBy(group, former)) return null;
    const rebalances = group.assignmentEpoch < draft.groupEpoch || !areReconciled(group, former);
    if (!rebalances) {
      const target = { epoch: group.assignmentEpoch, assignment: group.targetOf(former.memberId) };
      draft.reconcile(target, owned);
    }
    return this.#conversion.downgradeBy(group, { former, joining: draft.updated }, rebalances);
  }

  #finish(group: ConsumerGroup, draft: MemberDraft, request: JoinGroupRequest): Promise<void> {
    const { memberId } = draft.updated;
    const written = this.#context.writer.write({ groupId: group.groupId, records: draft.records });
    group.metadataMayDiffer = false;
    // At once, for the member is there, also if the write takes so long that its client is not told.
    group.timers.cancel(memberId, 'join');
    this.#fencing.startSession(group, memberId);
    this.#fencing.start(group, memberId, 'sync', request.rebalanceTimeoutMs);
    return written;
  }

  /** `former`: the static member that is there. */
  #draft(
    group: ConsumerGroup,
    memberId: string,
    instanceId: string | null,
    isUnknown: boolean,
  ): { draft: MemberDraft; former: ConsumerMember | null } {
    const present = instanceId === null ? group.member(memberId) : group.staticMember(instanceId);
    const former = instanceId === null ? null : (present ?? null);
    if (instanceId !== null && !isUnknown) {
      if (present === undefined) throw new ApiError(ErrorCode.UNKNOWN_MEMBER_ID);
      if (present.memberId !== memberId) throw new ApiError(ErrorCode.FENCED_INSTANCE_ID);
    }
    const found =
      present !== undefined && present.memberId !== memberId ? replacement(present, memberId) : present;
    const draft = new MemberDraft(this.#context, group, present ?? null, found ?? newMember(memberId));
    return { draft, former };
  }

  /** SyncGroup: the member's assignment, once what it rests on is written. Rejects with an ApiError. */
  async sync(group: ConsumerGroup, request: SyncGroupRequest): Promise<SyncGroupResponse> {
    const { memberId, groupInstanceId, generationId, protocolType, protocolName } = request;
    const { member, classic } = this.#find(group, memberId, groupInstanceId, generationId);
    const [first] = classic.protocols;
    if (protocolType !== null && protocolType !== CONSUMER_PROTOCOL_TYPE)
      throw new ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    if (protocolName !== null && protocolName !== first!.name)
      throw new ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    if (group.assignmentEpoch > member.memberEpoch && member.state !== MemberState.UNREVOKED_PARTITIONS) {
      this.#expectJoin(group, member);
      throw new ApiError(ErrorCode.REBALANCE_IN_PROGRESS);
    }
    await this.#context.writer.write({ groupId: group.groupId, records: [] });
    if (group.member(memberId) !== undefined) {
      group.timers.cancel(memberId, 'sync');
      this.#fencing.startSession(group, memberId);
    }
    const assigned = new Map(
      Array.from(member.assigned, ([topicId, partitions]) => [topicId, new Set(partitions.keys())]),
    );
    const assignment = encodeAssignment(assigned, first!.metadata, this.#context.topics);
    return createSyncGroupResponse({ protocolType, protocolName, assignment });
  }

  /** Heartbeat: whether the member has to rejoin. @throws ApiError */
  heartbeat(group: ConsumerGroup, request: HeartbeatRequest): ErrorCode {
    const { memberId, groupInstanceId, generationId } = request;
    const { member } = this.#find(group, memberId, groupInstanceId, generationId);
    this.#fencing.startSession(group, memberId);
    const mustRejoin =
      member.memberEpoch < group.assignmentEpoch ||
      this.#needsTarget(group) ||
      member.state === MemberState.UNREVOKED_PARTITIONS ||
      (member.state === MemberState.UNRELEASED_PARTITIONS && !isWaiting(group, member));
    if (!mustRejoin) return ErrorCode.NONE;
    this.#expectJoin(group, member);
    return ErrorCode.REBALANCE_IN_PROGRESS;
  }

  /** LeaveGroup: also members of the consumer protocol, as administrators ask. Rejects if it is not written. */
  async leave(group: ConsumerGroup, identities: readonly MemberIdentity[]): Promise<MemberResponse[]> {
    const leaving = new Set<ConsumerMember>();
    const responses = identities.map(({ memberId, groupInstanceId }) => {
      const byInstance = memberId === '' && groupInstanceId !== null;
      const id = byInstance ? (group.staticMember(groupInstanceId)?.memberId ?? '') : memberId;
      const member = group.find(id, groupInstanceId);
      if (typeof member !== 'number') leaving.add(member);
      const errorCode = typeof member === 'number' ? member : ErrorCode.NONE;
      return createMemberResponse({ memberId, groupInstanceId, errorCode });
    });
    await this.#fencing.fence(group, [...leaving]);
    return responses;
  }

  #find(
    group: ConsumerGroup,
    memberId: string,
    instanceId: string | null,
    generationId: number,
  ): { member: ConsumerMember; classic: ClassicSupport } {
    const member = group.find(memberId, instanceId);
    if (typeof member === 'number') throw new ApiError(member);
    if (member.classic === null) throw new ApiError(ErrorCode.UNKNOWN_MEMBER_ID);
    if (generationId !== member.memberEpoch) throw new ApiError(ErrorCode.ILLEGAL_GENERATION);
    return { member, classic: member.classic };
  }

  /**
   * Whether the next target assignment is due, and only a member of the classic protocol can make it, by joining. Kafka tells these of
   * assignments alone: where there are no others nobody makes one.
   */
  #needsTarget(group: ConsumerGroup): boolean {
    const { clock, config } = this.#context;
    if (group.classicSize < group.size || group.assignmentEpoch >= group.groupEpoch) return false;
    return isAssignmentDue(clock, group, config.timesOf(group.groupId));
  }

  #expectJoin(group: ConsumerGroup, { memberId, rebalanceTimeoutMs }: ConsumerMember): void {
    if (!group.timers.isRunning(memberId, 'join'))
      this.#fencing.start(group, memberId, 'join', rebalanceTimeoutMs);
  }
}

/** Whether all but the member that is replaced have what they are to get: in a classic group nobody would tell them of the rest. */
function areReconciled(group: ConsumerGroup, replaced: ConsumerMember): boolean {
  for (const member of group.members())
    if (member !== replaced && !isReconciledTo(member, group.assignmentEpoch)) return false;
  return true;
}

/** Whether something that the member is to get is not free yet. */
function isWaiting(group: ConsumerGroup, { memberId, assigned }: ConsumerMember): boolean {
  for (const [topicId, partitions] of group.targetOf(memberId))
    for (const partition of partitions)
      if (!assigned.get(topicId)?.has(partition) && group.ownerOf(topicId, partition) !== null) return true;
  return false;
}

/** Of the protocol that the member likes best. */
function subscriptionOf({ protocols }: JoinGroupRequest) {
  try {
    return parseSubscription(protocols[0]!.metadata);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, 'The subscription is malformed.');
  }
}

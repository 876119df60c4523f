import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { CreatableTopic } from '../../../protocol/generated/create-topics-request.ts';
import type { StreamsGroupHeartbeatRequest } from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import {
  createStreamsGroupHeartbeatResponse,
  type StreamsGroupHeartbeatResponse,
} from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import { LEAVE_EPOCH, MemberState } from '../consumer/consumer-member.ts';
import type { GroupClient } from '../group-client.ts';
import { isAssignmentDue } from '../own-values.ts';
import type { OffsetsRecord } from '../ports.ts';
import { groupTombstone } from '../records.ts';
import { isTaskOf } from './configured-topology.ts';
import type { StreamsContext } from './context.ts';
import { StreamsDraft, targetRecords } from './draft.ts';
import { partitionsByEndpoint } from './endpoints.ts';
import type { StreamsFencing } from './fencing.ts';
import { Status } from './status.ts';
import { StreamsGroup } from './streams-group.ts';
import { newStreamsMember, type StreamsMember } from './streams-member.ts';
import { ownedTasks, ownsExactly, ownsOnly, ROLES, sameMemberTasks, taskIdsOf } from './tasks.ts';

const JOIN_EPOCH = 0;

/** The answer, and the internal topics that the group waits for. */
export interface StreamsHeartbeatResult {
  readonly response: StreamsGroupHeartbeatResponse;
  readonly missingTopics: readonly CreatableTopic[];
}

/** StreamsGroupHeartbeat: members join, say what they have, learn what they get, and leave. */
export class StreamsHeartbeats {
  readonly #context: StreamsContext;
  readonly #fencing: StreamsFencing;

  constructor(context: StreamsContext, fencing: StreamsFencing) {
    this.#context = context;
    this.#fencing = fencing;
  }

  /** Resolves when what the answer says is written. Rejects with an ApiError. */
  async heartbeat(
    request: StreamsGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<StreamsHeartbeatResult> {
    const { memberEpoch, topology } = request;
    if (memberEpoch === LEAVE_EPOCH) return this.#leave(request);
    const { group, before } = this.#groupFor(request.groupId, memberEpoch === JOIN_EPOCH);
    const draft = new StreamsDraft(this.#context, group, this.#member(group, request));
    draft.update(updatedBy(draft.found, request, client), topology);
    checkTasks(draft, request);
    draft.advance(ownedTasks(request));
    const written = this.#finish(draft, before, request);
    const response = this.#response(draft, request);
    await written;
    return { response, missingTopics: draft.configured.missingTopics };
  }

  /** Makes the step; resolves when it is written. */
  #finish(
    draft: StreamsDraft,
    before: readonly OffsetsRecord[],
    request: StreamsGroupHeartbeatRequest,
  ): Promise<void> {
    const { groupId } = draft.group;
    const { clock, groups, logger, writer } = this.#context;
    const { found, updated, records, startsDelay, config } = draft;
    const written = writer.write({ groupId, before, records });
    const group = groups.get(groupId);
    // One that is new has been made by its records.
    if (group?.type !== 'streams') return written;
    group.configured = draft.configured;
    group.topicsMayDiffer = false;
    const { memberId, memberEpoch } = updated;
    this.#fencing.startSession(group, memberId);
    if (records.some(({ kind }) => kind === 'current')) {
      if (updated.state === MemberState.UNREVOKED_PARTITIONS) this.#fencing.startRebalance(group, updated);
      else group.timers.cancel(memberId, 'rebalance');
    }
    if (startsDelay)
      group.initialDelay = clock.setTimer(config.initialRebalanceDelayMs, () => void this.#endDelay(group));
    if (request.shutdownApplication && group === draft.group) this.#shutDown(group, memberId);
    const isTold = request.memberEpoch === JOIN_EPOCH || !sameMemberTasks(found.assigned, updated.assigned);
    if (isTold && updated.userEndpoint !== null && group === draft.group) group.endpointEpoch++;
    if (request.memberEpoch === JOIN_EPOCH)
      logger.info({ group: groupId, member: memberId, epoch: memberEpoch }, 'member joins the streams group');
    return written;
  }

  #response(draft: StreamsDraft, request: StreamsGroupHeartbeatRequest): StreamsGroupHeartbeatResponse {
    const { found, updated, configured, status, config, group } = draft;
    const { memberId, memberEpoch, assigned } = updated;
    const hasChanged = request.memberEpoch === JOIN_EPOCH || !sameMemberTasks(found.assigned, assigned);
    const owned = ownedTasks(request);
    // Kafka tells of changes alone: whoever has not got that answer would never learn of it.
    const isTold = hasChanged || (owned !== null && !ownsExactly(owned, assigned));
    if (configured.problem !== null) {
      const { status: statusCode, message: statusDetail } = configured.problem;
      status.push({ statusCode, statusDetail });
    }
    if (group.shutdownMemberId !== null)
      status.push({
        statusCode: Status.SHUTDOWN_APPLICATION,
        statusDetail: `Streams group member ${group.shutdownMemberId} encountered a fatal error and requested a shutdown for the entire application.`,
      });
    return createStreamsGroupHeartbeatResponse({
      memberId,
      memberEpoch,
      heartbeatIntervalMs: config.heartbeatIntervalMs,
      activeTasks: isTold ? taskIdsOf(assigned.active) : null,
      standbyTasks: isTold ? taskIdsOf(assigned.standby) : null,
      warmupTasks: isTold ? taskIdsOf(assigned.warmup) : null,
      status,
      endpointInformationEpoch: group.endpointEpoch,
      partitionsByUserEndpoint:
        group.endpointEpoch === request.endpointInformationEpoch
          ? null
          : partitionsByEndpoint(group, updated, configured, this.#context.topics),
    });
  }

  /** The first assignment, for all that have joined meanwhile; they learn of it with their next heartbeats. */
  async #endDelay(group: StreamsGroup): Promise<void> {
    const { clock, config, groups, logger, writer } = this.#context;
    const { groupId, configured, groupEpoch: epoch } = group;
    group.initialDelay = null;
    if (groups.get(groupId) !== group || group.size === 0 || configured === null) return;
    const groupConfig = config.of(groupId);
    if (epoch <= group.assignmentEpoch || !isAssignmentDue(clock, group, groupConfig)) return;
    const { standbyReplicas } = groupConfig;
    const members = [...group.members()];
    const records = targetRecords(this.#context, group, { epoch, members, configured, standbyReplicas });
    try {
      await writer.write({ groupId, records });
    } catch (error) {
      logger.warn({ group: groupId, err: error }, 'the first assignment of a streams group was not written');
    }
  }

  /** The group, made if the member joins it; an empty classic group makes room. */
  #groupFor(groupId: string, joins: boolean): { group: StreamsGroup; before: OffsetsRecord[] } {
    const { groups, config, logger } = this.#context;
    const group = groups.get(groupId);
    if (group === undefined && !joins)
      throw new ApiError(ErrorCode.GROUP_ID_NOT_FOUND, `Streams group ${groupId} not found.`);
    if (group === undefined) return { group: new StreamsGroup(groupId), before: [] };
    if (group.type === 'classic' && joins && group.state === 'Empty' && group.pendingMembers.size === 0) {
      logger.info({ group: groupId }, 'the empty classic group becomes a streams group');
      return { group: new StreamsGroup(groupId), before: [groupTombstone(groupId)] };
    }
    if (group.type !== 'streams') throw notStreams(groupId);
    if (joins && group.size >= config.maxSize)
      throw new ApiError(
        ErrorCode.GROUP_MAX_SIZE_REACHED,
        `The streams group has reached its maximum capacity of ${config.maxSize} members.`,
      );
    return { group, before: [] };
  }

  #member(group: StreamsGroup, request: StreamsGroupHeartbeatRequest): StreamsMember {
    const { memberId, memberEpoch } = request;
    const member = group.member(memberId);
    if (memberEpoch === JOIN_EPOCH) return member ?? newStreamsMember(memberId);
    if (member === undefined) throw unknownMember(group.groupId, memberId);
    throwIfEpochIsInvalid(member, request);
    return member;
  }

  async #leave(request: StreamsGroupHeartbeatRequest): Promise<StreamsHeartbeatResult> {
    const { groupId, memberId, memberEpoch } = request;
    const group = this.#context.groups.get(groupId);
    if (group === undefined) throw new ApiError(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} not found.`);
    if (group.type !== 'streams') throw notStreams(groupId);
    if (request.shutdownApplication) this.#shutDown(group, memberId);
    const member = group.member(memberId);
    if (member === undefined) throw unknownMember(groupId, memberId);
    this.#context.logger.info({ group: groupId, member: memberId }, 'member leaves the streams group');
    await this.#fencing.fence(group, member);
    const response = createStreamsGroupHeartbeatResponse({ memberId, memberEpoch, status: [] });
    return { response, missingTopics: [] };
  }

  /** The first member that asks is remembered; everybody is told. */
  #shutDown(group: StreamsGroup, memberId: string): void {
    if (group.shutdownMemberId !== null) return;
    this.#context.logger.info(
      { group: group.groupId, member: memberId },
      'a member asks the streams application to shut down',
    );
    group.shutdownMemberId = memberId;
  }
}

/** The member with what the request says of it; what it leaves out stays. */
function updatedBy(
  member: StreamsMember,
  request: StreamsGroupHeartbeatRequest,
  { clientId, clientHost }: GroupClient,
): StreamsMember {
  const { rebalanceTimeoutMs, clientTags } = request;
  return {
    ...member,
    rackId: request.rackId ?? member.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? member.rebalanceTimeoutMs : rebalanceTimeoutMs,
    topologyEpoch: request.topology?.epoch ?? member.topologyEpoch,
    processId: request.processId ?? member.processId,
    userEndpoint: request.userEndpoint ?? member.userEndpoint,
    clientTags:
      clientTags === null ? member.clientTags : new Map(clientTags.map(({ key, value }) => [key, value])),
    clientId,
    clientHost,
  };
}

/** @throws ApiError INVALID_REQUEST for tasks that the topology does not have */
function checkTasks({ configured }: StreamsDraft, request: StreamsGroupHeartbeatRequest): void {
  const { subtopologies, problem } = configured;
  const owned = ownedTasks(request);
  if (problem !== null || subtopologies === null || owned === null) return;
  for (const { subtopologyId, partitions } of ROLES.flatMap((role) => owned[role])) {
    const taskCount = subtopologies.get(subtopologyId)?.taskCount;
    if (taskCount === undefined)
      throw new ApiError(
        ErrorCode.INVALID_REQUEST,
        `Subtopology ${subtopologyId} does not exist in the topology.`,
      );
    for (const partition of partitions)
      if (!isTaskOf(subtopologies, subtopologyId, partition))
        throw new ApiError(
          ErrorCode.INVALID_REQUEST,
          `Task ${partition} for subtopology ${subtopologyId} is invalid. Number of tasks for this subtopology: ${taskCount}`,
        );
  }
}

/**
 * One that comes with its former epoch has not got our last answer; if it has nothing that it should not have, it gets it again.
 */
function throwIfEpochIsInvalid(member: StreamsMember, request: StreamsGroupHeartbeatRequest): void {
  const { memberEpoch } = request;
  if (memberEpoch === member.memberEpoch) return;
  const isRepeated = memberEpoch === member.previousEpoch && ownsOnly(ownedTasks(request), member.assigned);
  if (memberEpoch < member.memberEpoch && isRepeated) return;
  const relation = memberEpoch > member.memberEpoch ? 'greater' : 'smaller';
  throw new ApiError(
    ErrorCode.FENCED_MEMBER_EPOCH,
    `The streams group member has a ${relation} member epoch (${memberEpoch}) than the one known by the group coordinator (${member.memberEpoch}). The member must abandon all its partitions and rejoin.`,
  );
}

function unknownMember(groupId: string, memberId: string): ApiError {
  return new ApiError(ErrorCode.UNKNOWN_MEMBER_ID, `Member ${memberId} is not a member of group ${groupId}.`);
}

function notStreams(groupId: string): ApiError {
  return new ApiError(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} is not a streams group.`);
}

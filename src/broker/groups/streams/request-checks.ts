import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type {
  StreamsGroupHeartbeatRequest,
  StreamsGroupHeartbeatRequestTopology as Topology,
} from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import { isInternalTopic, topicNameProblem } from '../../metadata/topic-name.ts';
import { STATIC_LEAVE_EPOCH } from '../consumer/consumer-member.ts';
import { refuseIf } from '../consumer/request-checks.ts';
import { invalidTopology } from './topology.ts';

/** @throws ApiError for a request that says too little, contradicts itself, or asks for what Kafka 4.3 has not */
export function checkHeartbeat(request: StreamsGroupHeartbeatRequest): void {
  const { memberEpoch, topology, activeTasks, standbyTasks, warmupTasks } = request;
  if (topology !== null) checkTopicNames(topology);
  refuseIf(request.instanceId !== null, 'Static membership is not yet supported.');
  refuseIf(isFilled(request.taskOffsets), 'TaskOffsets are not supported yet.');
  refuseIf(isFilled(request.taskEndOffsets), 'TaskEndOffsets are not supported yet.');
  refuseIf(isFilled(warmupTasks), 'WarmupTasks are not supported yet.');
  for (const { sourceTopicRegex } of topology?.subtopologies ?? [])
    refuseIf(sourceTopicRegex.length > 0, 'Regular expressions for source topics are not supported yet.');
  refuseIf(request.memberId.trim() === '', "MemberId can't be empty.");
  refuseIf(request.groupId.trim() === '', "GroupId can't be empty.");
  refuseIf(request.rackId?.trim() === '', "RackId can't be empty.");
  if (memberEpoch === 0) checkJoin(request);
  refuseIf(memberEpoch === STATIC_LEAVE_EPOCH, "InstanceId can't be null.");
  refuseIf(
    memberEpoch < STATIC_LEAVE_EPOCH,
    `MemberEpoch is ${memberEpoch}, but must be greater than or equal to -2.`,
  );
  const tasks = [activeTasks, standbyTasks, warmupTasks];
  refuseIf(
    tasks.includes(null) && tasks.some((some) => some !== null),
    'If one task-type is non-null, all must be non-null.',
  );
  if (memberEpoch !== 0) refuseIf(topology !== null, 'Topology can only be provided when (re-)joining.');
}

function checkTopicNames({ subtopologies }: Topology): void {
  const names = new Set<string>();
  for (const { sourceTopics, repartitionSinkTopics, ...internals } of subtopologies) {
    for (const name of [...sourceTopics, ...repartitionSinkTopics]) names.add(name);
    for (const { name } of internals.repartitionSourceTopics) names.add(name);
    for (const { name } of internals.stateChangelogTopics) names.add(name);
  }
  const internal = [...names].filter(isInternalTopic);
  if (internal.length > 0)
    throw invalidTopology(
      `Use of Kafka internal topics ${internal.join(',')} in a Kafka Streams topology is prohibited.`,
    );
  const invalid = [...names].filter((name) => topicNameProblem(name) !== null);
  if (invalid.length > 0)
    throw invalidTopology(`Topic names ${invalid.join(',')} are not valid topic names.`);
}

function checkJoin(request: StreamsGroupHeartbeatRequest): void {
  const { topology } = request;
  refuseIf(request.rebalanceTimeoutMs === -1, 'RebalanceTimeoutMs must be provided in first request.');
  refuseIf(isFilled(request.activeTasks), 'ActiveTasks must be empty when (re-)joining.');
  refuseIf(isFilled(request.standbyTasks), 'StandbyTasks must be empty when (re-)joining.');
  if (topology === null)
    throw new ApiError(ErrorCode.INVALID_REQUEST, 'Topology must be non-null when (re-)joining.');
  refuseIf(topology.epoch < 0, 'Topology epoch must be non-negative.');
  for (const { stateChangelogTopics } of topology.subtopologies)
    for (const { name, partitions } of stateChangelogTopics)
      if (partitions !== 0)
        throw invalidTopology(
          `Changelog topic ${name} must have an undefined partition count, but it is set to ${partitions}.`,
        );
}

function isFilled(list: readonly unknown[] | null): boolean {
  return list !== null && list.length > 0;
}

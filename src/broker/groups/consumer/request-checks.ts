import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { ConsumerGroupHeartbeatRequest } from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import { LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from './consumer-member.ts';

/** From this version members choose their ids themselves. */
const REQUIRES_MEMBER_ID = 1;

/** @throws ApiError for a request that says too little, or contradicts itself */
export function checkHeartbeat(
  request: ConsumerGroupHeartbeatRequest,
  apiVersion: number,
  assignors: readonly string[],
): void {
  const { memberEpoch, serverAssignor } = request;
  if (apiVersion >= REQUIRES_MEMBER_ID || memberEpoch > 0 || memberEpoch === LEAVE_EPOCH)
    refuseIf(request.memberId.trim() === '', "MemberId can't be empty.");
  refuseIf(request.groupId.trim() === '', "GroupId can't be empty.");
  refuseIf(request.instanceId?.trim() === '', "InstanceId can't be empty.");
  refuseIf(request.rackId?.trim() === '', "RackId can't be empty.");
  if (memberEpoch === 0) {
    refuseIf(request.rebalanceTimeoutMs === -1, 'RebalanceTimeoutMs must be provided in first request.');
    refuseIf(
      request.topicPartitions === null || request.topicPartitions.length > 0,
      'TopicPartitions must be empty when (re-)joining.',
    );
    refuseIf(
      request.subscribedTopicNames === null && request.subscribedTopicRegex === null,
      'Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.',
    );
  } else if (memberEpoch === STATIC_LEAVE_EPOCH) {
    refuseIf(request.instanceId === null, "InstanceId can't be null.");
  } else {
    refuseIf(memberEpoch < STATIC_LEAVE_EPOCH, 'MemberEpoch is invalid.');
  }
  if (serverAssignor !== null && !assignors.includes(serverAssignor))
    throw new ApiError(
      ErrorCode.UNSUPPORTED_ASSIGNOR,
      `ServerAssignor ${serverAssignor} is not supported. Supported assignors: ${assignors.join(', ')}.`,
    );
}

/** @throws ApiError INVALID_REQUEST */
export function refuseIf(condition: boolean, message: string): void {
  if (condition) throw new ApiError(ErrorCode.INVALID_REQUEST, message);
}

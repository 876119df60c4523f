import type { ShareGroupHeartbeatRequest } from '../../../protocol/generated/share-group-heartbeat-request.ts';
import { refuseIf } from '../consumer/request-checks.ts';

const LEAVE_EPOCH = -1;

/** @throws ApiError for a request that says too little, or contradicts itself */
export function checkShareHeartbeat(request: ShareGroupHeartbeatRequest): void {
  refuseIf(request.memberId.trim() === '', "MemberId can't be empty.");
  refuseIf(request.groupId.trim() === '', "GroupId can't be empty.");
  refuseIf(request.rackId?.trim() === '', "RackId can't be empty.");
  if (request.memberEpoch === 0)
    refuseIf(
      request.subscribedTopicNames === null || request.subscribedTopicNames.length === 0,
      'SubscribedTopicNames must be set in first request.',
    );
  else refuseIf(request.memberEpoch < LEAVE_EPOCH, 'MemberEpoch is invalid.');
}

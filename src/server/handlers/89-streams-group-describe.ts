import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ALL_GROUP_OPERATIONS } from '../../broker/groups/group-listing.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type StreamsGroupDescribeRequest,
  streamsGroupDescribeRequest,
} from '../../protocol/generated/streams-group-describe-request.ts';
import {
  createStreamsGroupDescribeResponse,
  type StreamsGroupDescribeResponse,
  streamsGroupDescribeResponse,
} from '../../protocol/generated/streams-group-describe-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { distinct } from './duplicates.ts';

/** StreamsGroupDescribe 0 (KIP-1071): streams groups with their topology. */
export function streamsGroupDescribeHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<StreamsGroupDescribeRequest, StreamsGroupDescribeResponse> {
  return {
    apiKey: ApiKey.StreamsGroupDescribe,
    minVersion: 0,
    maxVersion: 0,
    request: streamsGroupDescribeRequest,
    response: streamsGroupDescribeResponse,
    handle(request) {
      const groups = distinct(request.groupIds).map((groupId) => deps.groups.describeStreamsGroup(groupId));
      if (request.includeAuthorizedOperations)
        for (const group of groups)
          if (group.errorCode === 0) group.authorizedOperations = ALL_GROUP_OPERATIONS;
      return createStreamsGroupDescribeResponse({ groups });
    },
  };
}

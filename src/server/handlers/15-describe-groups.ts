import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ALL_GROUP_OPERATIONS, describeGroup } from '../../broker/groups/group-listing.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type DescribeGroupsRequest,
  describeGroupsRequest,
} from '../../protocol/generated/describe-groups-request.ts';
import {
  createDescribeGroupsResponse,
  type DescribeGroupsResponse,
  describeGroupsResponse,
} from '../../protocol/generated/describe-groups-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { distinct } from './duplicates.ts';

/** DescribeGroups 0-6: classic groups. */
export function describeGroupsHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<DescribeGroupsRequest, DescribeGroupsResponse> {
  return {
    apiKey: ApiKey.DescribeGroups,
    minVersion: 0,
    maxVersion: 6,
    request: describeGroupsRequest,
    response: describeGroupsResponse,
    handle(request, { apiVersion }) {
      const groups = distinct(request.groups).map((groupId) =>
        describeGroup(deps.groups, groupId, apiVersion),
      );
      if (request.includeAuthorizedOperations)
        for (const group of groups)
          if (group.errorCode === 0) group.authorizedOperations = ALL_GROUP_OPERATIONS;
      return createDescribeGroupsResponse({ groups });
    },
  };
}

import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ALL_GROUP_OPERATIONS } from '../../broker/groups/group-listing.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ShareGroupDescribeRequest,
  shareGroupDescribeRequest,
} from '../../protocol/generated/share-group-describe-request.ts';
import {
  createShareGroupDescribeResponse,
  type ShareGroupDescribeResponse,
  shareGroupDescribeResponse,
} from '../../protocol/generated/share-group-describe-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { distinct } from './duplicates.ts';

/** ShareGroupDescribe 1 (KIP-932). */
export function shareGroupDescribeHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<ShareGroupDescribeRequest, ShareGroupDescribeResponse> {
  return {
    apiKey: ApiKey.ShareGroupDescribe,
    minVersion: 1,
    maxVersion: 1,
    request: shareGroupDescribeRequest,
    response: shareGroupDescribeResponse,
    handle(request) {
      const groups = distinct(request.groupIds).map((groupId) => deps.groups.describeShareGroup(groupId));
      if (request.includeAuthorizedOperations)
        for (const group of groups)
          if (group.errorCode === 0) group.authorizedOperations = ALL_GROUP_OPERATIONS;
      return createShareGroupDescribeResponse({ groups });
    },
  };
}

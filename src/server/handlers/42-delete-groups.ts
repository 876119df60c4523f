import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type DeleteGroupsRequest,
  deleteGroupsRequest,
} from '../../protocol/generated/delete-groups-request.ts';
import {
  createDeletableGroupResult,
  createDeleteGroupsResponse,
  type DeleteGroupsResponse,
  deleteGroupsResponse,
} from '../../protocol/generated/delete-groups-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DeleteGroups 0-2: groups without members, with their offsets. */
export function deleteGroupsHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<DeleteGroupsRequest, DeleteGroupsResponse> {
  return {
    apiKey: ApiKey.DeleteGroups,
    minVersion: 0,
    maxVersion: 2,
    request: deleteGroupsRequest,
    response: deleteGroupsResponse,
    async handle({ groupsNames }) {
      const results = Array.from(new Set(groupsNames), async (groupId) =>
        createDeletableGroupResult({ groupId, errorCode: await deps.groups.deleteGroup(groupId) }),
      );
      return createDeleteGroupsResponse({ results: await Promise.all(results) });
    },
  };
}

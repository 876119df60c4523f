import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { listGroups } from '../../broker/groups/group-listing.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { type ListGroupsRequest, listGroupsRequest } from '../../protocol/generated/list-groups-request.ts';
import {
  createListGroupsResponse,
  type ListGroupsResponse,
  listGroupsResponse,
} from '../../protocol/generated/list-groups-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** ListGroups 0-5: filters by state from version 4 (KIP-518), by type from version 5 (KIP-848). */
export function listGroupsHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<ListGroupsRequest, ListGroupsResponse> {
  return {
    apiKey: ApiKey.ListGroups,
    minVersion: 0,
    maxVersion: 5,
    request: listGroupsRequest,
    response: listGroupsResponse,
    handle: ({ statesFilter, typesFilter }) =>
      createListGroupsResponse(listGroups(deps.groups, statesFilter, typesFilter)),
  };
}

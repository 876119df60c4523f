import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { fetchOffsets } from '../../broker/groups/offset-fetch.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type OffsetFetchRequest,
  offsetFetchRequest,
} from '../../protocol/generated/offset-fetch-request.ts';
import {
  type OffsetFetchResponse,
  offsetFetchResponse,
} from '../../protocol/generated/offset-fetch-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** From this version a request names several groups. */
const HAS_GROUPS = 8;

/** OffsetFetch 1-10: several groups from version 8, topics by id from version 10. Behind a commit it tells what that has committed. */
export function offsetFetchHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<OffsetFetchRequest, OffsetFetchResponse> {
  return {
    apiKey: ApiKey.OffsetFetch,
    minVersion: 1,
    maxVersion: 10,
    request: offsetFetchRequest,
    response: offsetFetchResponse,
    async handle(request, { apiVersion }) {
      const { groups, groupId } = request;
      await deps.groups.offsetsWritten(
        apiVersion >= HAS_GROUPS ? groups.map((group) => group.groupId) : [groupId],
      );
      return fetchOffsets(deps.groups, deps.topics, request, apiVersion);
    },
  };
}

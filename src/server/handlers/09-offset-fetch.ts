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

/** OffsetFetch 1-10: several groups from version 8, topics by id from version 10. */
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
    handle: (request, { apiVersion }) => fetchOffsets(deps.groups, deps.topics, request, apiVersion),
  };
}

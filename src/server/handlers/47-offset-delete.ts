import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { deleteOffsets } from '../../broker/groups/offset-commit.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type OffsetDeleteRequest,
  offsetDeleteRequest,
} from '../../protocol/generated/offset-delete-request.ts';
import {
  type OffsetDeleteResponse,
  offsetDeleteResponse,
} from '../../protocol/generated/offset-delete-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** OffsetDelete 0 (KIP-496): offsets in topics that the group is not subscribed to. */
export function offsetDeleteHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<OffsetDeleteRequest, OffsetDeleteResponse> {
  return {
    apiKey: ApiKey.OffsetDelete,
    minVersion: 0,
    maxVersion: 0,
    request: offsetDeleteRequest,
    response: offsetDeleteResponse,
    handle: (request) => deleteOffsets(deps.groups, deps.topics, request),
  };
}

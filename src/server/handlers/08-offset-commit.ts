import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { commitOffsets } from '../../broker/groups/offset-commit.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type OffsetCommitRequest,
  offsetCommitRequest,
} from '../../protocol/generated/offset-commit-request.ts';
import {
  type OffsetCommitResponse,
  offsetCommitResponse,
} from '../../protocol/generated/offset-commit-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** OffsetCommit 2-10: answered when the offsets are written. From version 10 topics go by id. */
export function offsetCommitHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<OffsetCommitRequest, OffsetCommitResponse> {
  return {
    apiKey: ApiKey.OffsetCommit,
    minVersion: 2,
    maxVersion: 10,
    request: offsetCommitRequest,
    response: offsetCommitResponse,
    handle: (request, { apiVersion }) => commitOffsets(deps.groups, deps.topics, request, apiVersion),
  };
}

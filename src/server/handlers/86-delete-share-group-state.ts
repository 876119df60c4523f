import type { TopicNames } from '../../broker/groups/ports.ts';
import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type DeleteShareGroupStateRequest,
  deleteShareGroupStateRequest,
} from '../../protocol/generated/delete-share-group-state-request.ts';
import {
  createDeleteShareGroupStateResponse,
  createDeleteShareGroupStateResponsePartitionResult,
  type DeleteShareGroupStateResponse,
  deleteShareGroupStateResponse,
} from '../../protocol/generated/delete-share-group-state-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { assertPartition, forEachState } from './share-state-requests.ts';

/** DeleteShareGroupState 0: removes the states of share partitions. */
export function deleteShareGroupStateHandler(deps: {
  states: ShareStateCoordinator;
  topics: TopicNames;
}): ApiHandler<DeleteShareGroupStateRequest, DeleteShareGroupStateResponse> {
  const { states, topics: names } = deps;
  return {
    apiKey: ApiKey.DeleteShareGroupState,
    minVersion: 0,
    maxVersion: 0,
    request: deleteShareGroupStateRequest,
    response: deleteShareGroupStateResponse,
    async handle({ groupId, topics }) {
      const results = await forEachState(
        groupId,
        topics,
        createDeleteShareGroupStateResponsePartitionResult,
        async (key) => {
          assertPartition(names, key);
          await states.delete(key);
          return {};
        },
      );
      return createDeleteShareGroupStateResponse({ results });
    },
  };
}

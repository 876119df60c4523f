import type { TopicNames } from '../../broker/groups/ports.ts';
import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type InitializeShareGroupStateRequest,
  initializeShareGroupStateRequest,
} from '../../protocol/generated/initialize-share-group-state-request.ts';
import {
  createInitializeShareGroupStateResponse,
  createInitializeShareGroupStateResponsePartitionResult,
  type InitializeShareGroupStateResponse,
  initializeShareGroupStateResponse,
} from '../../protocol/generated/initialize-share-group-state-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { assertPartition, forEachState } from './share-state-requests.ts';

/** InitializeShareGroupState 0: begins the states of share partitions, or begins them anew. */
export function initializeShareGroupStateHandler(deps: {
  states: ShareStateCoordinator;
  topics: TopicNames;
}): ApiHandler<InitializeShareGroupStateRequest, InitializeShareGroupStateResponse> {
  const { states, topics: names } = deps;
  return {
    apiKey: ApiKey.InitializeShareGroupState,
    minVersion: 0,
    maxVersion: 0,
    request: initializeShareGroupStateRequest,
    response: initializeShareGroupStateResponse,
    async handle({ groupId, topics }) {
      const results = await forEachState(
        groupId,
        topics,
        createInitializeShareGroupStateResponsePartitionResult,
        async (key, { stateEpoch, startOffset }) => {
          assertPartition(names, key);
          await states.initialize(key, stateEpoch, startOffset);
          return {};
        },
      );
      return createInitializeShareGroupStateResponse({ results });
    },
  };
}

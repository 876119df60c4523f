import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ReadShareGroupStateRequest,
  readShareGroupStateRequest,
} from '../../protocol/generated/read-share-group-state-request.ts';
import {
  createReadShareGroupStateResponse,
  createReadShareGroupStateResponsePartitionResult,
  type ReadShareGroupStateResponse,
  readShareGroupStateResponse,
} from '../../protocol/generated/read-share-group-state-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { forEachState } from './share-state-requests.ts';

/** ReadShareGroupState 0: what the leaders of share partitions go on from. */
export function readShareGroupStateHandler(deps: {
  states: ShareStateCoordinator;
}): ApiHandler<ReadShareGroupStateRequest, ReadShareGroupStateResponse> {
  const { states } = deps;
  return {
    apiKey: ApiKey.ReadShareGroupState,
    minVersion: 0,
    maxVersion: 0,
    request: readShareGroupStateRequest,
    response: readShareGroupStateResponse,
    async handle({ groupId, topics }) {
      const results = await forEachState(
        groupId,
        topics,
        createReadShareGroupStateResponsePartitionResult,
        async (key, { leaderEpoch }) => {
          const { stateEpoch, startOffset, batches } = await states.read(key, leaderEpoch);
          return { stateEpoch, startOffset, stateBatches: [...batches] };
        },
      );
      return createReadShareGroupStateResponse({ results });
    },
  };
}

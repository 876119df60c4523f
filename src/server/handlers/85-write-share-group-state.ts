import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type WriteShareGroupStateRequest,
  writeShareGroupStateRequest,
} from '../../protocol/generated/write-share-group-state-request.ts';
import {
  createWriteShareGroupStateResponse,
  createWriteShareGroupStateResponsePartitionResult,
  type WriteShareGroupStateResponse,
  writeShareGroupStateResponse,
} from '../../protocol/generated/write-share-group-state-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { forEachState } from './share-state-requests.ts';

/** WriteShareGroupState 0-1: changes of the states of share partitions. */
export function writeShareGroupStateHandler(deps: {
  states: ShareStateCoordinator;
}): ApiHandler<WriteShareGroupStateRequest, WriteShareGroupStateResponse> {
  const { states } = deps;
  return {
    apiKey: ApiKey.WriteShareGroupState,
    minVersion: 0,
    maxVersion: 1,
    request: writeShareGroupStateRequest,
    response: writeShareGroupStateResponse,
    async handle({ groupId, topics }) {
      const results = await forEachState(
        groupId,
        topics,
        createWriteShareGroupStateResponsePartitionResult,
        async (key, { stateBatches, ...write }) => {
          await states.write(key, { ...write, batches: stateBatches });
          return {};
        },
      );
      return createWriteShareGroupStateResponse({ results });
    },
  };
}

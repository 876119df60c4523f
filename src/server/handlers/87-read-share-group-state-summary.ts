import type { TopicNames } from '../../broker/groups/ports.ts';
import { UNINITIALIZED_OFFSET } from '../../broker/share/partition-state.ts';
import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ReadShareGroupStateSummaryRequest,
  readShareGroupStateSummaryRequest,
} from '../../protocol/generated/read-share-group-state-summary-request.ts';
import {
  createReadShareGroupStateSummaryResponse,
  createReadShareGroupStateSummaryResponsePartitionResult,
  type ReadShareGroupStateSummaryResponse,
  readShareGroupStateSummaryResponse,
} from '../../protocol/generated/read-share-group-state-summary-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { assertPartition, forEachState } from './share-state-requests.ts';

/** ReadShareGroupStateSummary 0-1: how far share groups have come. */
export function readShareGroupStateSummaryHandler(deps: {
  states: ShareStateCoordinator;
  topics: TopicNames;
}): ApiHandler<ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse> {
  const { states, topics: names } = deps;
  return {
    apiKey: ApiKey.ReadShareGroupStateSummary,
    minVersion: 0,
    maxVersion: 1,
    request: readShareGroupStateSummaryRequest,
    response: readShareGroupStateSummaryResponse,
    async handle({ groupId, topics }) {
      const results = await forEachState(
        groupId,
        topics,
        createReadShareGroupStateSummaryResponsePartitionResult,
        async (key) => {
          assertPartition(names, key);
          const state = states.summary(key);
          if (state === null) return { startOffset: UNINITIALIZED_OFFSET };
          const { stateEpoch, leaderEpoch, startOffset, deliveryCompleteCount } = state;
          return { stateEpoch, leaderEpoch, startOffset, deliveryCompleteCount };
        },
      );
      return createReadShareGroupStateSummaryResponse({ results });
    },
  };
}

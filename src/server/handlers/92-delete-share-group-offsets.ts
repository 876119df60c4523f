import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type DeleteShareGroupOffsetsRequest,
  deleteShareGroupOffsetsRequest,
} from '../../protocol/generated/delete-share-group-offsets-request.ts';
import {
  createDeleteShareGroupOffsetsResponse,
  createDeleteShareGroupOffsetsResponseTopic,
  type DeleteShareGroupOffsetsResponse,
  deleteShareGroupOffsetsResponse,
} from '../../protocol/generated/delete-share-group-offsets-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { ApiHandler } from '../net/handler.ts';
import { shareRefusal } from './share-refusal.ts';

/** DeleteShareGroupOffsets 0: a share group without members forgets where it is in topics. */
export function deleteShareGroupOffsetsHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse> {
  return {
    apiKey: ApiKey.DeleteShareGroupOffsets,
    minVersion: 0,
    maxVersion: 0,
    request: deleteShareGroupOffsetsRequest,
    response: deleteShareGroupOffsetsResponse,
    async handle({ groupId, topics }) {
      const shard = groupId === '' ? ErrorCode.INVALID_GROUP_ID : deps.groups.shardOf(groupId);
      if (typeof shard === 'number')
        return createDeleteShareGroupOffsetsResponse({
          ...{ errorCode: shard, errorMessage: errorInfo(shard).message },
        });
      const named = new Set<string>();
      const responses = topics.flatMap(({ topicName }) => {
        const topicId = deps.topics.idOf(topicName);
        // As in Kafka, what can be forgotten is answered once.
        if (topicId !== null && named.has(topicName)) return [];
        named.add(topicName);
        const errorCode = topicId === null ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.NONE;
        const errorMessage = topicId === null ? errorInfo(errorCode).message : null;
        return createDeleteShareGroupOffsetsResponseTopic({
          ...{ topicName, errorCode, errorMessage },
          ...(topicId === null ? {} : { topicId }),
        });
      });
      const known = responses.filter(({ errorCode }) => errorCode === ErrorCode.NONE);
      try {
        const outcomes = await shard.shares.offsets.delete(
          groupId,
          known.map(({ topicId }) => topicId),
        );
        for (const [i, outcome] of outcomes.entries()) {
          Object.assign(known[i]!, outcome);
          if (outcome.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) known[i]!.topicId = ZERO_UUID;
        }
      } catch (error) {
        return createDeleteShareGroupOffsetsResponse(shareRefusal(error));
      }
      return createDeleteShareGroupOffsetsResponse({ responses });
    },
  };
}

import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type AlterShareGroupOffsetsRequest,
  alterShareGroupOffsetsRequest,
} from '../../protocol/generated/alter-share-group-offsets-request.ts';
import {
  type AlterShareGroupOffsetsResponse,
  alterShareGroupOffsetsResponse,
  createAlterShareGroupOffsetsResponse,
  createAlterShareGroupOffsetsResponsePartition,
  createAlterShareGroupOffsetsResponseTopic,
  type AlterShareGroupOffsetsResponseTopic as ResponseTopic,
} from '../../protocol/generated/alter-share-group-offsets-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { ApiHandler } from '../net/handler.ts';
import { shareRefusal } from './share-refusal.ts';

/** AlterShareGroupOffsets 0: where a share group without members begins. */
export function alterShareGroupOffsetsHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse> {
  return {
    apiKey: ApiKey.AlterShareGroupOffsets,
    minVersion: 0,
    maxVersion: 0,
    request: alterShareGroupOffsetsRequest,
    response: alterShareGroupOffsetsResponse,
    async handle({ groupId, topics }) {
      const shard = groupId === '' ? ErrorCode.INVALID_GROUP_ID : deps.groups.shardOf(groupId);
      if (typeof shard === 'number')
        return createAlterShareGroupOffsetsResponse({
          ...{ errorCode: shard, errorMessage: errorInfo(shard).message },
        });
      // As in Kafka, a topic that is named twice is answered once, with everything that is said of it.
      const responses = new Map<string, ResponseTopic>();
      /** Of a partition that is named several times the last offset counts. */
      const parts = new Map<string, Part>();
      for (const { topicName, partitions } of topics) {
        const topicId = deps.topics.idOf(topicName);
        const count = deps.topics.partitionCount(topicName) ?? 0;
        const response =
          responses.get(topicName) ??
          createAlterShareGroupOffsetsResponseTopic({ topicName, topicId: topicId ?? ZERO_UUID });
        responses.set(topicName, response);
        for (const { partitionIndex: partition, startOffset } of partitions) {
          const answer = unknownPartition(partition);
          response.partitions.push(answer);
          if (topicId === null || partition < 0 || partition >= count) continue;
          const key = `${topicId}:${partition}`;
          const answers = parts.get(key)?.answers ?? [];
          answers.push(answer);
          parts.set(key, { topicId, name: topicName, partition, startOffset, answers });
        }
      }
      const wanted = [...parts.values()];
      try {
        const outcomes = await shard.shares.offsets.alter(groupId, wanted);
        for (const [i, outcome] of outcomes.entries())
          for (const answer of wanted[i]!.answers) Object.assign(answer, outcome);
      } catch (error) {
        return createAlterShareGroupOffsetsResponse(shareRefusal(error));
      }
      return createAlterShareGroupOffsetsResponse({ responses: [...responses.values()] });
    },
  };
}

interface Part {
  readonly topicId: string;
  readonly name: string;
  readonly partition: number;
  readonly startOffset: bigint;
  readonly answers: ReturnType<typeof unknownPartition>[];
}

function unknownPartition(partitionIndex: number) {
  const errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  return createAlterShareGroupOffsetsResponsePartition({
    ...{ partitionIndex, errorCode, errorMessage: errorInfo(errorCode).message },
  });
}

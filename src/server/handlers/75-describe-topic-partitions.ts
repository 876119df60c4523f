import type { Topic } from '../../broker/metadata/state.ts';
import { isInternalTopic, topicNameProblem } from '../../broker/metadata/topic-name.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeTopicPartitionsRequest,
  describeTopicPartitionsRequest,
} from '../../protocol/generated/describe-topic-partitions-request.ts';
import {
  createDescribeTopicPartitionsResponsePartition,
  createDescribeTopicPartitionsResponseTopic,
  type DescribeTopicPartitionsResponse,
  type DescribeTopicPartitionsResponseTopic,
  describeTopicPartitionsResponse,
} from '../../protocol/generated/describe-topic-partitions-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import type { MetadataDeps } from './03-metadata.ts';
import { TOPIC_OPERATIONS } from './authorized-operations.ts';

type Deps = Pick<MetadataDeps, 'metadata' | 'isOffline'>;

/** DescribeTopicPartitions 0 (KIP-966): topics in the order of their names, page by page. */
export function describeTopicPartitionsHandler(
  deps: Deps,
): ApiHandler<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse> {
  return {
    apiKey: describeTopicPartitionsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: describeTopicPartitionsRequest,
    response: describeTopicPartitionsResponse,
    handle(request) {
      const { metadata } = deps;
      const all = request.topics.length === 0;
      const wanted = all
        ? [...metadata.topics()].map(({ name }) => name)
        : [...new Set(request.topics.map(({ name }) => name))];
      const { cursor } = request;
      if (cursor !== null && (cursor.partitionIndex < 0 || (!all && !wanted.includes(cursor.topicName))))
        return refused(request);
      const names = wanted.sort().filter((name) => cursor === null || name >= cursor.topicName);
      const limit = metadata.config.get('max.request.partition.size.limit');
      let remaining = Math.max(1, Math.min(request.responsePartitionLimit, limit));
      const topics: DescribeTopicPartitionsResponseTopic[] = [];
      for (const name of names) {
        if (remaining === 0) return page(topics, name, 0);
        const topic = metadata.topicByName(name);
        if (topic === undefined) {
          topics.push(unknownTopic(name));
          continue;
        }
        const first = name === cursor?.topicName ? Math.max(0, cursor.partitionIndex) : 0;
        const end = Math.min(topic.partitions.length, first + remaining);
        topics.push(describe(deps, topic, first, end));
        if (end < topic.partitions.length) return page(topics, name, end);
        remaining -= Math.max(0, end - first);
      }
      return describeTopicPartitionsResponse.create({ topics });
    },
  };
}

/** A cursor that no answer can have given. */
function refused({ topics }: DescribeTopicPartitionsRequest): DescribeTopicPartitionsResponse {
  const errorCode = ErrorCode.INVALID_REQUEST;
  return describeTopicPartitionsResponse.create({
    topics: topics.map(({ name }) => createDescribeTopicPartitionsResponseTopic({ errorCode, name })),
  });
}

function page(
  topics: DescribeTopicPartitionsResponseTopic[],
  topicName: string,
  partitionIndex: number,
): DescribeTopicPartitionsResponse {
  return describeTopicPartitionsResponse.create({ topics, nextCursor: { topicName, partitionIndex } });
}

function unknownTopic(name: string): DescribeTopicPartitionsResponseTopic {
  const invalid = topicNameProblem(name) !== null;
  return createDescribeTopicPartitionsResponseTopic({
    errorCode: invalid ? ErrorCode.INVALID_TOPIC_EXCEPTION : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    name,
    isInternal: isInternalTopic(name),
    topicAuthorizedOperations: TOPIC_OPERATIONS,
  });
}

function describe(
  deps: Deps,
  topic: Topic,
  first: number,
  end: number,
): DescribeTopicPartitionsResponseTopic {
  return createDescribeTopicPartitionsResponseTopic({
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: topic.partitions.slice(first, end).map((partition) => {
      const offline = deps.isOffline(topic, partition.index);
      return createDescribeTopicPartitionsResponsePartition({
        errorCode: offline ? ErrorCode.LEADER_NOT_AVAILABLE : ErrorCode.NONE,
        partitionIndex: partition.index,
        leaderId: offline ? -1 : partition.leader,
        leaderEpoch: partition.leaderEpoch,
        replicaNodes: [...partition.replicas],
        isrNodes: [...partition.isr],
        // Empty, not null: Java's client 4.3 throws on null.
        eligibleLeaderReplicas: [],
        lastKnownElr: [],
        offlineReplicas: offline ? [...partition.replicas] : [],
      });
    }),
    topicAuthorizedOperations: TOPIC_OPERATIONS,
  });
}

import { allOffsetsOnce } from '../../broker/groups/all-offsets-once.ts';
import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import type { ShareOffsets } from '../../broker/groups/share/share-offsets.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ApiError, errorInfo } from '../../protocol/errors.ts';
import {
  type DescribeShareGroupOffsetsRequest,
  describeShareGroupOffsetsRequest,
  type DescribeShareGroupOffsetsRequestGroup as RequestGroup,
  type DescribeShareGroupOffsetsRequestTopic as RequestTopic,
} from '../../protocol/generated/describe-share-group-offsets-request.ts';
import {
  createDescribeShareGroupOffsetsResponse,
  createDescribeShareGroupOffsetsResponseGroup,
  createDescribeShareGroupOffsetsResponsePartition,
  createDescribeShareGroupOffsetsResponseTopic,
  type DescribeShareGroupOffsetsResponse,
  describeShareGroupOffsetsResponse,
  type DescribeShareGroupOffsetsResponseGroup as ResponseGroup,
  type DescribeShareGroupOffsetsResponseTopic as ResponseTopic,
} from '../../protocol/generated/describe-share-group-offsets-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/**
 * DescribeShareGroupOffsets 0-1: where share groups are, and from version 1 how many records they have to do. As in Kafka, what is not there
 * is nowhere (-1), and no error.
 */
export function describeShareGroupOffsetsHandler(deps: {
  groups: GroupCoordinator;
  topics: TopicNames;
}): ApiHandler<DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse> {
  return {
    apiKey: ApiKey.DescribeShareGroupOffsets,
    minVersion: 0,
    maxVersion: 1,
    request: describeShareGroupOffsetsRequest,
    response: describeShareGroupOffsetsResponse,
    handle({ groups }) {
      return createDescribeShareGroupOffsetsResponse({
        groups: allOffsetsOnce(groups).map((group) => describe(deps.groups, deps.topics, group)),
      });
    },
  };
}

function describe(groups: GroupCoordinator, topics: TopicNames, request: RequestGroup): ResponseGroup {
  const { groupId } = request;
  const shard = groups.shardOf(groupId);
  if (typeof shard === 'number')
    return createDescribeShareGroupOffsetsResponseGroup({
      ...{ groupId, errorCode: shard, errorMessage: errorInfo(shard).message },
    });
  const { offsets } = shard.shares;
  try {
    const known = offsets.known(groupId);
    return createDescribeShareGroupOffsetsResponseGroup({
      groupId,
      topics:
        request.topics === null
          ? known.map(({ topicId, name, partitions }) => topicOf(offsets, groupId, topicId, name, partitions))
          : namedTopics(offsets, topics, groupId, request.topics),
    });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { code: errorCode, message: errorMessage } = error;
    return createDescribeShareGroupOffsetsResponseGroup({ groupId, errorCode, errorMessage });
  }
}

/** As Kafka answers: each topic once, whatever was named twice, and then those that are not there. */
function namedTopics(
  offsets: ShareOffsets,
  topics: TopicNames,
  groupId: string,
  wanted: readonly RequestTopic[],
): ResponseTopic[] {
  const found = new Map<string, { readonly topicName: string; readonly partitions: Set<number> }>();
  const missing: ResponseTopic[] = [];
  for (const { topicName, partitions } of wanted) {
    const topicId = topics.idOf(topicName);
    if (topicId === null) {
      missing.push(missingTopic(topicName, partitions));
      continue;
    }
    const topic = found.get(topicId) ?? { topicName, partitions: new Set() };
    found.set(topicId, topic);
    for (const partition of partitions) topic.partitions.add(partition);
  }
  const described = Array.from(found, ([topicId, { topicName, partitions }]) =>
    topicOf(offsets, groupId, topicId, topicName, [...partitions]),
  );
  return [...described, ...missing];
}

function missingTopic(topicName: string, partitions: readonly number[]): ResponseTopic {
  return createDescribeShareGroupOffsetsResponseTopic({
    topicName,
    partitions: partitions.map((partitionIndex) =>
      createDescribeShareGroupOffsetsResponsePartition({ partitionIndex, startOffset: -1n }),
    ),
  });
}

function topicOf(
  offsets: ShareOffsets,
  groupId: string,
  topicId: string,
  topicName: string,
  partitions: readonly number[],
): ResponseTopic {
  return createDescribeShareGroupOffsetsResponseTopic({
    topicName,
    topicId,
    partitions: offsets
      .describe(groupId, topicId, partitions)
      .map(({ partition: partitionIndex, ...offset }) =>
        createDescribeShareGroupOffsetsResponsePartition({ partitionIndex, ...offset }),
      ),
  });
}

import { ErrorCode } from '../../protocol/errors.ts';
import type {
  OffsetFetchRequest,
  OffsetFetchRequestGroup,
  OffsetFetchRequestTopics,
} from '../../protocol/generated/offset-fetch-request.ts';
import {
  createOffsetFetchResponse,
  createOffsetFetchResponseGroup,
  createOffsetFetchResponsePartitions,
  createOffsetFetchResponseTopics,
  type OffsetFetchResponse,
  type OffsetFetchResponseGroup,
  type OffsetFetchResponsePartitions,
  type OffsetFetchResponseTopics,
} from '../../protocol/generated/offset-fetch-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { GroupCoordinator } from './coordinator.ts';
import type { CommittedOffset, Offsets } from './offsets.ts';
import type { TopicNames } from './ports.ts';

/** From this version an error of the group stands beside its partitions, before only in them. */
const HAS_GROUP_ERROR = 2;
/** From this version a request names several groups. */
const HAS_GROUPS = 8;
/** From this version topics go by id. */
const USES_TOPIC_IDS = 10;

/** OffsetFetch in all its versions. There are no pending transactional offsets, so `requireStable` is always met. */
export function fetchOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: OffsetFetchRequest,
  apiVersion: number,
): OffsetFetchResponse {
  const fetch = (group: Pick<OffsetFetchRequestGroup, 'groupId' | 'topics'>) =>
    fetchGroup(coordinator, topicNames, group, apiVersion >= USES_TOPIC_IDS);
  if (apiVersion >= HAS_GROUPS) return createOffsetFetchResponse({ groups: request.groups.map(fetch) });

  const topics = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null;
  const group = fetch({ groupId: request.groupId, topics });
  if (apiVersion < HAS_GROUP_ERROR && group.errorCode !== ErrorCode.NONE)
    return createOffsetFetchResponse({
      topics: (request.topics ?? []).map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((index) => answer(index, null, group.errorCode)),
      })),
    });
  return createOffsetFetchResponse({ topics: group.topics, errorCode: group.errorCode });
}

function fetchGroup(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  { groupId, topics }: Pick<OffsetFetchRequestGroup, 'groupId' | 'topics'>,
  usesIds: boolean,
): OffsetFetchResponseGroup {
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number') return createOffsetFetchResponseGroup({ groupId, errorCode: shard });
  return createOffsetFetchResponseGroup({
    groupId,
    topics:
      topics === null
        ? allTopics(shard.offsets, topicNames, groupId, usesIds)
        : topics.map((topic) => oneTopic(shard.offsets, topicNames, groupId, topic, usesIds)),
  });
}

/** Everything that the group has committed; by id only what still exists. */
function allTopics(
  offsets: Offsets,
  topicNames: TopicNames,
  groupId: string,
  usesIds: boolean,
): OffsetFetchResponseTopics[] {
  const topics: OffsetFetchResponseTopics[] = [];
  for (const [name, partitions] of offsets.topics(groupId)) {
    const topicId = usesIds ? topicNames.idOf(name) : ZERO_UUID;
    if (topicId === null) continue;
    topics.push(
      createOffsetFetchResponseTopics({
        name,
        topicId,
        partitions: partitions.map(([index, committed]) => answer(index, committed)),
      }),
    );
  }
  return topics;
}

function oneTopic(
  offsets: Offsets,
  topicNames: TopicNames,
  groupId: string,
  { name: givenName, topicId, partitionIndexes }: OffsetFetchRequestTopics,
  usesIds: boolean,
): OffsetFetchResponseTopics {
  const name = usesIds ? topicNames.nameOf(topicId) : givenName;
  return createOffsetFetchResponseTopics({
    name: name ?? '',
    topicId,
    partitions: partitionIndexes.map((index) =>
      name === null
        ? answer(index, null, ErrorCode.UNKNOWN_TOPIC_ID)
        : answer(index, offsets.get(groupId, name, index)),
    ),
  });
}

function answer(
  partitionIndex: number,
  committed: CommittedOffset | null,
  errorCode: number = ErrorCode.NONE,
): OffsetFetchResponsePartitions {
  return createOffsetFetchResponsePartitions({
    partitionIndex,
    committedOffset: committed?.offset ?? -1n,
    committedLeaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? '',
    errorCode,
  });
}

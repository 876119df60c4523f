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
import { allOffsetsOnce } from './all-offsets-once.ts';
import type { Group } from './consumer/context.ts';
import { checkFetch } from './consumer/offset-checks.ts';
import type { GroupCoordinator } from './coordinator.ts';
import type { CommittedOffset } from './offsets.ts';
import type { TopicNames } from './ports.ts';
import type { GroupShard } from './shard.ts';
import { checkStreamsFetch } from './streams/offset-checks.ts';

/** From this version an error of the group stands beside its partitions, before only in them. */
const HAS_GROUP_ERROR = 2;
/** From this version a request names several groups. */
const HAS_GROUPS = 8;
/** From this version topics go by id. */
const USES_TOPIC_IDS = 10;

/** OffsetFetch in all its versions. With `requireStable` offsets that an open transaction may change are an error (KIP-447). */
export function fetchOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: OffsetFetchRequest,
  apiVersion: number,
): OffsetFetchResponse {
  const fetch = (group: OffsetFetchRequestGroup) =>
    fetchGroup(coordinator, topicNames, group, apiVersion >= USES_TOPIC_IDS, request.requireStable);
  if (apiVersion >= HAS_GROUPS)
    return createOffsetFetchResponse({ groups: partitionsOnce(allOffsetsOnce(request.groups)).map(fetch) });

  const topics = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null;
  const [wanted] = partitionsOnce([{ groupId: request.groupId, memberId: null, memberEpoch: -1, topics }]);
  const group = fetch(wanted!);
  if (apiVersion < HAS_GROUP_ERROR && group.errorCode !== ErrorCode.NONE)
    return createOffsetFetchResponse({
      topics: (request.topics ?? []).map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((index) => answer(index, null, group.errorCode)),
      })),
    });
  return createOffsetFetchResponse({ topics: group.topics, errorCode: group.errorCode });
}

/** Each partition of a group where it is named first: its number is four bytes, and its metadata may be thousands. */
function partitionsOnce(groups: readonly OffsetFetchRequestGroup[]): OffsetFetchRequestGroup[] {
  const named = new Map<string, Map<string, Set<number>>>();
  return groups.map((group) => {
    const { groupId, topics } = group;
    if (topics === null) return group;
    const ofGroup = named.get(groupId) ?? new Map<string, Set<number>>();
    named.set(groupId, ofGroup);
    const once = topics.map((topic) => {
      const key = `${topic.topicId}/${topic.name}`;
      const ofTopic = ofGroup.get(key) ?? new Set<number>();
      ofGroup.set(key, ofTopic);
      const isFirst = (index: number) => !ofTopic.has(index) && ofTopic.add(index);
      return { ...topic, partitionIndexes: topic.partitionIndexes.filter(isFirst) };
    });
    return { ...group, topics: once };
  });
}

function fetchGroup(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  { groupId, memberId, memberEpoch, topics }: OffsetFetchRequestGroup,
  usesIds: boolean,
  requireStable: boolean,
): OffsetFetchResponseGroup {
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number') return createOffsetFetchResponseGroup({ groupId, errorCode: shard });
  const group = shard.groups.get(groupId);
  const errorCode = mayFetch(group, memberId, memberEpoch);
  if (errorCode !== ErrorCode.NONE) return createOffsetFetchResponseGroup({ groupId, errorCode });
  const find = (topic: string, index: number): OffsetFetchResponsePartitions =>
    requireStable && shard.offsets.isUnstable(groupId, topic, index)
      ? answer(index, null, ErrorCode.UNSTABLE_OFFSET_COMMIT)
      : answer(index, shard.offsetOperations.committed(groupId, topic, index));
  return createOffsetFetchResponseGroup({
    groupId,
    topics:
      topics === null
        ? allTopics(partitionsOf(shard, groupId, requireStable), topicNames, usesIds, find)
        : (usesIds ? namedFirst(topicNames, topics) : topics).map((topic) =>
            oneTopic(topicNames, topic, usesIds, find),
          ),
  });
}

/** Whether who asks may know; members of classic groups do not say who they are. */
function mayFetch(group: Group | undefined, memberId: string | null, memberEpoch: number): ErrorCode {
  if (group?.type === 'consumer') return checkFetch(group, memberId, memberEpoch);
  if (group?.type === 'streams') return checkStreamsFetch(group, memberId, memberEpoch);
  return ErrorCode.NONE;
}

/** The partitions in which a group has committed something, by topic; with `withUnstable` also those of open transactions. */
function partitionsOf(
  { offsets, offsetOperations }: GroupShard,
  groupId: string,
  withUnstable: boolean,
): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>();
  for (const { topic, partition, pending } of offsets.entries(groupId)) {
    const committed = offsetOperations.committed(groupId, topic, partition);
    if (committed === null && !(withUnstable && pending)) continue;
    const partitions = found.get(topic);
    if (partitions === undefined) found.set(topic, new Set([partition]));
    else partitions.add(partition);
  }
  return found;
}

type FindOffset = (topic: string, index: number) => OffsetFetchResponsePartitions;

/** Everything that the group has committed; by id only what still exists. */
function allTopics(
  committed: ReadonlyMap<string, ReadonlySet<number>>,
  topicNames: TopicNames,
  usesIds: boolean,
  find: FindOffset,
): OffsetFetchResponseTopics[] {
  const topics: OffsetFetchResponseTopics[] = [];
  for (const [name, partitions] of committed) {
    const topicId = usesIds ? topicNames.idOf(name) : ZERO_UUID;
    if (topicId === null) continue;
    topics.push(
      createOffsetFetchResponseTopics({
        name,
        topicId,
        partitions: Array.from(partitions, (index) => find(name, index)),
      }),
    );
  }
  return topics;
}

/** As Kafka answers: ids of no topic after all others. */
function namedFirst(topicNames: TopicNames, topics: readonly OffsetFetchRequestTopics[]) {
  const isNamed = ({ topicId }: OffsetFetchRequestTopics) => topicNames.nameOf(topicId) !== null;
  return [...topics.filter(isNamed), ...topics.filter((topic) => !isNamed(topic))];
}

function oneTopic(
  topicNames: TopicNames,
  { name: givenName, topicId, partitionIndexes }: OffsetFetchRequestTopics,
  usesIds: boolean,
  find: FindOffset,
): OffsetFetchResponseTopics {
  const name = usesIds ? topicNames.nameOf(topicId) : givenName;
  return createOffsetFetchResponseTopics({
    name: name ?? '',
    topicId,
    partitions: partitionIndexes.map((index) =>
      name === null ? answer(index, null, ErrorCode.UNKNOWN_TOPIC_ID) : find(name, index),
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

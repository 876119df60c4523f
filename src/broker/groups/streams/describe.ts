import { ErrorCode } from '../../../protocol/errors.ts';
import {
  createStreamsGroupDescribeResponseDescribedGroup,
  createStreamsGroupDescribeResponseMember,
  type StreamsGroupDescribeResponseDescribedGroup as DescribedGroup,
  type StreamsGroupDescribeResponseMember as DescribedMember,
  type StreamsGroupDescribeResponseTopicInfo as DescribedTopic,
  type StreamsGroupDescribeResponseTopology as DescribedTopology,
} from '../../../protocol/generated/streams-group-describe-response.ts';
import type { StreamsGroupTopologyValueTopicInfo as TopicInfo } from '../../../protocol/generated/streams-group-topology-value.ts';
import type { GroupCoordinator } from '../coordinator.ts';
import type { StreamsGroup } from './streams-group.ts';
import { metadataOf, type StreamsMember } from './streams-member.ts';
import { type AnyTasks, type Role, type TaskRoles, taskIdsOf } from './tasks.ts';

/** A streams group with its members and topology, for StreamsGroupDescribe. */
export function describeStreamsGroup(coordinator: GroupCoordinator, groupId: string): DescribedGroup {
  const refuse = (errorCode: ErrorCode, errorMessage: string | null = null) =>
    createStreamsGroupDescribeResponseDescribedGroup({ groupId, errorCode, errorMessage });
  if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number') return refuse(shard);
  const group = shard.groups.get(groupId);
  if (group === undefined) return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} not found.`);
  if (group.type !== 'streams')
    return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} is not a streams group.`);
  return createStreamsGroupDescribeResponseDescribedGroup({
    groupId,
    groupState: group.state,
    groupEpoch: group.groupEpoch,
    assignmentEpoch: group.assignmentEpoch,
    topology: describeTopology(group),
    members: Array.from(group.members(), (member) => describeMember(member, group.targetOf(member.memberId))),
  });
}

/** With the numbers of partitions that the internal topics have, once they are known. */
function describeTopology({ topology, configured }: StreamsGroup): DescribedTopology | null {
  if (topology === null) return null;
  const counts = new Map<string, number>();
  if (configured?.problem === null)
    for (const { repartitionSourceTopics, changelogTopics } of configured.subtopologies?.values() ?? [])
      for (const { info, partitionCount } of [...repartitionSourceTopics, ...changelogTopics])
        counts.set(info.name, partitionCount);
  return {
    epoch: topology.epoch,
    subtopologies: topology.subtopologies.map((subtopology) => ({
      subtopologyId: subtopology.subtopologyId,
      sourceTopics: [...subtopology.sourceTopics].sort(),
      repartitionSinkTopics: [...subtopology.repartitionSinkTopics].sort(),
      stateChangelogTopics: describeTopics(subtopology.stateChangelogTopics, counts),
      repartitionSourceTopics: describeTopics(subtopology.repartitionSourceTopics, counts),
    })),
  };
}

function describeTopics(infos: readonly TopicInfo[], counts: ReadonlyMap<string, number>): DescribedTopic[] {
  return infos
    .map((info) => ({ ...info, partitions: counts.get(info.name) ?? info.partitions }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function describeMember(member: StreamsMember, target: TaskRoles): DescribedMember {
  const { memberId, memberEpoch, clientTags, assigned } = member;
  return createStreamsGroupDescribeResponseMember({
    ...metadataOf(member),
    ...{ memberId, memberEpoch },
    clientTags: Array.from(clientTags, ([key, value]) => ({ key, value })),
    assignment: describeTasks(assigned),
    targetAssignment: describeTasks(target),
  });
}

function describeTasks({ active, standby, warmup }: Readonly<Record<Role, AnyTasks>>) {
  return {
    activeTasks: taskIdsOf(active),
    standbyTasks: taskIdsOf(standby),
    warmupTasks: taskIdsOf(warmup),
  };
}

import { ErrorCode } from '../../../protocol/errors.ts';
import {
  createConsumerGroupDescribeResponseDescribedGroup,
  createConsumerGroupDescribeResponseMember,
  type ConsumerGroupDescribeResponseDescribedGroup as DescribedGroup,
  type ConsumerGroupDescribeResponseMember as DescribedMember,
} from '../../../protocol/generated/consumer-group-describe-response.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import type { GroupCoordinator } from '../coordinator.ts';
import type { Assignment } from './assignment.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type { ConsumerMember } from './consumer-member.ts';
import type { Topics } from './topics.ts';

const CLASSIC_MEMBER = 0;
const CONSUMER_MEMBER = 1;

/** A group of the consumer protocol with its members, for ConsumerGroupDescribe. */
export function describeConsumerGroup(
  coordinator: GroupCoordinator,
  topics: Topics,
  groupId: string,
  defaultAssignor: string,
): DescribedGroup {
  const refuse = (errorCode: ErrorCode, errorMessage: string | null = null) =>
    createConsumerGroupDescribeResponseDescribedGroup({ groupId, errorCode, errorMessage });
  if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number') return refuse(shard);
  const group = shard.groups.get(groupId);
  if (group === undefined) return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} not found.`);
  if (group.type !== 'consumer')
    return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} is not a consumer group.`);
  return createConsumerGroupDescribeResponseDescribedGroup({
    groupId,
    groupState: group.state,
    groupEpoch: group.groupEpoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: group.preferredAssignor() ?? defaultAssignor,
    members: Array.from(group.members(), (member) => describeMember(group, member, topics)),
  });
}

function describeMember(group: ConsumerGroup, member: ConsumerMember, topics: Topics): DescribedMember {
  return createConsumerGroupDescribeResponseMember({
    memberId: member.memberId,
    instanceId: member.instanceId,
    rackId: member.rackId,
    memberEpoch: member.memberEpoch,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: [...member.topicNames],
    subscribedTopicRegex: member.topicRegex,
    assignment: { topicPartitions: named(ownedBy(member), topics) },
    targetAssignment: { topicPartitions: named(group.targetOf(member.memberId), topics) },
    memberType: member.classic === null ? CONSUMER_MEMBER : CLASSIC_MEMBER,
  });
}

/** A member is responsible for what it must give up until it has. */
function ownedBy({ assigned, pendingRevocation }: ConsumerMember): Assignment {
  const owned = new Map<Uuid, Set<number>>();
  for (const assignment of [assigned, pendingRevocation])
    for (const [topicId, partitions] of assignment)
      owned.set(topicId, new Set([...(owned.get(topicId) ?? []), ...partitions.keys()]));
  return owned;
}

/** Topics that do not exist any more are left out. */
function named(assignment: Assignment, topics: Topics) {
  return Array.from(assignment).flatMap(([topicId, partitions]) => {
    const topicName = topics.byId(topicId)?.name;
    return topicName === undefined
      ? []
      : [{ topicId, topicName, partitions: [...partitions].sort((a, b) => a - b) }];
  });
}

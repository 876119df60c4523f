import { ErrorCode } from '../../../protocol/errors.ts';
import {
  createShareGroupDescribeResponseDescribedGroup,
  createShareGroupDescribeResponseMember,
  type ShareGroupDescribeResponseDescribedGroup as DescribedGroup,
} from '../../../protocol/generated/share-group-describe-response.ts';
import { topicPartitionsOf } from '../consumer/assignment.ts';
import type { Topics } from '../consumer/topics.ts';
import type { GroupCoordinator } from '../coordinator.ts';
import { SIMPLE_ASSIGNOR } from './simple-assignor.ts';

/** A share group with its members, for ShareGroupDescribe. */
export function describeShareGroup(
  coordinator: GroupCoordinator,
  topics: Topics,
  groupId: string,
): DescribedGroup {
  const refuse = (errorCode: ErrorCode, errorMessage: string | null = null) =>
    createShareGroupDescribeResponseDescribedGroup({ groupId, errorCode, errorMessage });
  if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number') return refuse(shard);
  const group = shard.groups.get(groupId);
  if (group === undefined) return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} not found.`);
  if (group.type !== 'share')
    return refuse(ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} is not a share group.`);
  return createShareGroupDescribeResponseDescribedGroup({
    groupId,
    groupState: group.state,
    groupEpoch: group.groupEpoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: SIMPLE_ASSIGNOR,
    members: Array.from(group.members(), (member) =>
      createShareGroupDescribeResponseMember({
        memberId: member.memberId,
        rackId: member.rackId,
        memberEpoch: member.memberEpoch,
        clientId: member.clientId,
        clientHost: member.clientHost,
        subscribedTopicNames: [...member.topicNames],
        assignment: {
          // Topics that do not exist any more are left out.
          topicPartitions: topicPartitionsOf(member.assigned).flatMap(({ topicId, partitions }) => {
            const topicName = topics.byId(topicId)?.name;
            return topicName === undefined ? [] : [{ topicId, topicName, partitions }];
          }),
        },
      }),
    ),
  });
}

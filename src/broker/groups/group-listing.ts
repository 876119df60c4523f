import { ErrorCode } from '../../protocol/errors.ts';
import {
  createDescribedGroupMember,
  createDescribeGroupsResponseDescribedGroup,
  type DescribedGroupMember,
  type DescribeGroupsResponseDescribedGroup,
} from '../../protocol/generated/describe-groups-response.ts';
import { createListedGroup, type ListedGroup } from '../../protocol/generated/list-groups-response.ts';
import type { ClassicGroup } from './classic-group.ts';
import type { GroupCoordinator } from './coordinator.ts';

/** From this version a group that does not exist is an error; before it was described as Dead. */
const REPORTS_MISSING_GROUPS = 6;

/** READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS: everything that can be done to a group. */
export const ALL_GROUP_OPERATIONS = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

/** The groups whose state and type are among those given, in any case of letters; an empty list takes all. */
export function listGroups(
  coordinator: GroupCoordinator,
  states: readonly string[],
  types: readonly string[],
): { errorCode: ErrorCode; groups: ListedGroup[] } {
  const wanted = new Set(states.map((state) => state.trim().toLowerCase()));
  const wantedTypes = new Set(types.map((type) => type.toLowerCase()));
  const groups: ListedGroup[] = [];
  for (const shard of coordinator.shards) {
    // One whose log has failed has no groups any more, which keeps nobody from those of others.
    if (shard.unavailable === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
      return { errorCode: shard.unavailable, groups: [] };
    for (const { groupId, protocolType, state: groupState, type: groupType } of shard.groups.values()) {
      if (wanted.size > 0 && !wanted.has(groupState.toLowerCase())) continue;
      if (wantedTypes.size > 0 && !wantedTypes.has(groupType)) continue;
      groups.push(createListedGroup({ groupId, protocolType: protocolType ?? '', groupState, groupType }));
    }
  }
  return { errorCode: ErrorCode.NONE, groups };
}

/** A group with its members, for DescribeGroups. */
export function describeGroup(
  coordinator: GroupCoordinator,
  groupId: string,
  apiVersion: number,
): DescribeGroupsResponseDescribedGroup {
  const shard = coordinator.shardOf(groupId);
  if (typeof shard === 'number')
    return createDescribeGroupsResponseDescribedGroup({ groupId, errorCode: shard });
  const group = shard.groups.get(groupId);
  if (group === undefined) return missingGroup(groupId, apiVersion, `Group ${groupId} not found.`);
  if (group.type !== 'classic')
    return missingGroup(groupId, apiVersion, `Group ${groupId} is not a classic group.`);
  const isStable = group.state === 'Stable';
  return createDescribeGroupsResponseDescribedGroup({
    groupId,
    groupState: group.state,
    protocolType: group.protocolType ?? '',
    protocolData: isStable ? (group.protocolName ?? '') : '',
    members: describeMembers(group),
  });
}

function missingGroup(
  groupId: string,
  apiVersion: number,
  message: string,
): DescribeGroupsResponseDescribedGroup {
  const described = createDescribeGroupsResponseDescribedGroup({ groupId, groupState: 'Dead' });
  if (apiVersion < REPORTS_MISSING_GROUPS) return described;
  described.errorCode = ErrorCode.GROUP_ID_NOT_FOUND;
  described.errorMessage = message;
  return described;
}

/** Subscriptions and assignments mean something in a stable group only. */
function describeMembers(group: ClassicGroup): DescribedGroupMember[] {
  return Array.from(group.members(), (member) => {
    const { memberId, groupInstanceId, clientId, clientHost } = member;
    const described = createDescribedGroupMember({ memberId, groupInstanceId, clientId, clientHost });
    if (group.state === 'Stable') {
      described.memberMetadata = member.metadata(group.protocolName);
      described.memberAssignment = member.assignment;
    }
    return described;
  });
}

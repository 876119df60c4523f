import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  createMemberIdentity,
  type LeaveGroupRequest,
  leaveGroupRequest,
} from '../../protocol/generated/leave-group-request.ts';
import {
  createLeaveGroupResponse,
  type LeaveGroupResponse,
  leaveGroupResponse,
} from '../../protocol/generated/leave-group-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** From this version several members leave at once. */
const HAS_SEVERAL_MEMBERS = 3;

/** LeaveGroup 0-5. */
export function leaveGroupHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<LeaveGroupRequest, LeaveGroupResponse> {
  return {
    apiKey: ApiKey.LeaveGroup,
    minVersion: 0,
    maxVersion: 5,
    request: leaveGroupRequest,
    response: leaveGroupResponse,
    async handle({ groupId, memberId, members }, { apiVersion }) {
      const several = apiVersion >= HAS_SEVERAL_MEMBERS;
      const identities = several ? members : [createMemberIdentity({ memberId })];
      const result = await deps.groups.leave(groupId, identities);
      if (typeof result === 'number') return createLeaveGroupResponse({ errorCode: result });
      return createLeaveGroupResponse(several ? { members: result } : { errorCode: result[0]!.errorCode });
    },
  };
}

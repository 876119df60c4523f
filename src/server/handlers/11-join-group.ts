import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { type JoinGroupRequest, joinGroupRequest } from '../../protocol/generated/join-group-request.ts';
import { type JoinGroupResponse, joinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** From this version the protocol name may be null. */
const NULLABLE_PROTOCOL_NAME = 7;

/** JoinGroup 0-9: answered when the group's next generation begins. Members get their id first from version 4 (KIP-394). */
export function joinGroupHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<JoinGroupRequest, JoinGroupResponse> {
  return {
    apiKey: ApiKey.JoinGroup,
    minVersion: 0,
    maxVersion: 9,
    request: joinGroupRequest,
    response: joinGroupResponse,
    async handle(request, { apiVersion, clientId, connection }) {
      const client = { clientId: clientId ?? '', clientHost: `/${connection.remoteAddress}` };
      const response = await deps.groups.join(request, apiVersion, client);
      if (apiVersion < NULLABLE_PROTOCOL_NAME) response.protocolName ??= '';
      return response;
    },
  };
}

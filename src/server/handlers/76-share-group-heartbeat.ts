import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ShareGroupHeartbeatRequest,
  shareGroupHeartbeatRequest,
} from '../../protocol/generated/share-group-heartbeat-request.ts';
import {
  type ShareGroupHeartbeatResponse,
  shareGroupHeartbeatResponse,
} from '../../protocol/generated/share-group-heartbeat-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** ShareGroupHeartbeat 1 (KIP-932). */
export function shareGroupHeartbeatHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse> {
  return {
    apiKey: ApiKey.ShareGroupHeartbeat,
    minVersion: 1,
    maxVersion: 1,
    request: shareGroupHeartbeatRequest,
    response: shareGroupHeartbeatResponse,
    handle: (request, { clientId, connection }) =>
      deps.groups.shareHeartbeat(request, {
        clientId: clientId ?? '',
        clientHost: `/${connection.remoteAddress}`,
      }),
  };
}

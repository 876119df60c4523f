import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { type SyncGroupRequest, syncGroupRequest } from '../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
  syncGroupResponse,
} from '../../protocol/generated/sync-group-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** From this version the member must name the protocol that it was told (KIP-559). */
const NAMES_PROTOCOL = 5;

/** SyncGroup 0-5: answered when the leader's assignments are written. */
export function syncGroupHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<SyncGroupRequest, SyncGroupResponse> {
  return {
    apiKey: ApiKey.SyncGroup,
    minVersion: 0,
    maxVersion: 5,
    request: syncGroupRequest,
    response: syncGroupResponse,
    handle(request, { apiVersion }) {
      const isNamed = request.protocolType !== null && request.protocolName !== null;
      if (apiVersion >= NAMES_PROTOCOL && !isNamed)
        return createSyncGroupResponse({ errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL });
      return deps.groups.sync(request);
    },
  };
}

import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { type HeartbeatRequest, heartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import {
  createHeartbeatResponse,
  type HeartbeatResponse,
  heartbeatResponse,
} from '../../protocol/generated/heartbeat-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** Heartbeat 0-4. */
export function heartbeatHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<HeartbeatRequest, HeartbeatResponse> {
  return {
    apiKey: ApiKey.Heartbeat,
    minVersion: 0,
    maxVersion: 4,
    request: heartbeatRequest,
    response: heartbeatResponse,
    handle: (request) => createHeartbeatResponse({ errorCode: deps.groups.heartbeat(request) }),
  };
}

import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ConsumerGroupHeartbeatRequest,
  consumerGroupHeartbeatRequest,
} from '../../protocol/generated/consumer-group-heartbeat-request.ts';
import {
  type ConsumerGroupHeartbeatResponse,
  consumerGroupHeartbeatResponse,
} from '../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** ConsumerGroupHeartbeat 0-1 (KIP-848): members choose their ids themselves, and may subscribe by regular expression, from version 1. */
export function consumerGroupHeartbeatHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse> {
  return {
    apiKey: ApiKey.ConsumerGroupHeartbeat,
    minVersion: 0,
    maxVersion: 1,
    request: consumerGroupHeartbeatRequest,
    response: consumerGroupHeartbeatResponse,
    handle: (request, { apiVersion, clientId, connection }) =>
      deps.groups.consumerHeartbeat(request, apiVersion, {
        clientId: clientId ?? '',
        clientHost: `/${connection.remoteAddress}`,
      }),
  };
}

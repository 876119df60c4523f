import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type StreamsGroupHeartbeatRequest,
  streamsGroupHeartbeatRequest,
} from '../../protocol/generated/streams-group-heartbeat-request.ts';
import {
  type StreamsGroupHeartbeatResponse,
  streamsGroupHeartbeatResponse,
} from '../../protocol/generated/streams-group-heartbeat-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** StreamsGroupHeartbeat 0 (KIP-1071): members of Kafka Streams applications get their tasks. */
export function streamsGroupHeartbeatHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse> {
  return {
    apiKey: ApiKey.StreamsGroupHeartbeat,
    minVersion: 0,
    maxVersion: 0,
    request: streamsGroupHeartbeatRequest,
    response: streamsGroupHeartbeatResponse,
    handle: (request, { clientId, connection }) =>
      deps.groups.streamsHeartbeat(request, {
        clientId: clientId ?? '',
        clientHost: `/${connection.remoteAddress}`,
      }),
  };
}

import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type UnregisterBrokerRequest,
  unregisterBrokerRequest,
} from '../../protocol/generated/unregister-broker-request.ts';
import {
  type UnregisterBrokerResponse,
  unregisterBrokerResponse,
} from '../../protocol/generated/unregister-broker-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** UnregisterBroker 0: the only broker cannot leave itself. */
export function unregisterBrokerHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<UnregisterBrokerRequest, UnregisterBrokerResponse> {
  return {
    apiKey: unregisterBrokerRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: unregisterBrokerRequest,
    response: unregisterBrokerResponse,
    handle({ brokerId }) {
      const { nodeId } = deps.metadata;
      if (brokerId !== nodeId)
        return unregisterBrokerResponse.create({
          errorCode: ErrorCode.BROKER_ID_NOT_REGISTERED,
          errorMessage: `Broker ID ${brokerId} is not currently registered`,
        });
      return unregisterBrokerResponse.create({
        errorCode: ErrorCode.INVALID_REQUEST,
        errorMessage: `Broker ${nodeId} is the only one and serves this request; stop it instead`,
      });
    },
  };
}

import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeClusterRequest,
  describeClusterRequest,
} from '../../protocol/generated/describe-cluster-request.ts';
import {
  type DescribeClusterResponse,
  describeClusterResponse,
} from '../../protocol/generated/describe-cluster-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import type { MetadataDeps } from './03-metadata.ts';
import { CLUSTER_OPERATIONS, NO_OPERATIONS } from './authorized-operations.ts';

const BROKER_ENDPOINT = 1;
const CONTROLLER_ENDPOINT = 2;

/** DescribeCluster 0-2. */
export function describeClusterHandler(
  deps: Pick<MetadataDeps, 'metadata' | 'advertised'>,
): ApiHandler<DescribeClusterRequest, DescribeClusterResponse> {
  return {
    apiKey: describeClusterRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: describeClusterRequest,
    response: describeClusterResponse,
    handle({ endpointType, includeClusterAuthorizedOperations }, context) {
      if (endpointType !== BROKER_ENDPOINT) return wrongEndpoint(endpointType);
      const { metadata } = deps;
      const { host, port } = deps.advertised(context.connection.listenerName);
      return describeClusterResponse.create({
        clusterId: metadata.clusterId,
        controllerId: metadata.nodeId,
        brokers: [
          {
            brokerId: metadata.nodeId,
            host,
            port,
            rack: metadata.config.get('broker.rack'),
            isFenced: false,
          },
        ],
        clusterAuthorizedOperations: includeClusterAuthorizedOperations ? CLUSTER_OPERATIONS : NO_OPERATIONS,
      });
    },
  };
}

function wrongEndpoint(endpointType: number): DescribeClusterResponse {
  return endpointType === CONTROLLER_ENDPOINT
    ? describeClusterResponse.create({
        errorCode: ErrorCode.MISMATCHED_ENDPOINT_TYPE,
        errorMessage:
          'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER',
      })
    : describeClusterResponse.create({
        errorCode: ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
        errorMessage: `Unsupported endpoint type ${endpointType}`,
      });
}

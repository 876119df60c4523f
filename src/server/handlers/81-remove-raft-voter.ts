import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type RemoveRaftVoterRequest,
  removeRaftVoterRequest,
} from '../../protocol/generated/remove-raft-voter-request.ts';
import {
  type RemoveRaftVoterResponse,
  removeRaftVoterResponse,
} from '../../protocol/generated/remove-raft-voter-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** RemoveRaftVoter: the only voter of the metadata is this broker, as with Kafka's kraft.version 0. */
export function removeRaftVoterHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<RemoveRaftVoterRequest, RemoveRaftVoterResponse> {
  return {
    apiKey: removeRaftVoterRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: removeRaftVoterRequest,
    response: removeRaftVoterResponse,
    handle({ clusterId, voterId }) {
      if (clusterId !== null && clusterId !== deps.metadata.clusterId)
        return removeRaftVoterResponse.create({
          errorCode: ErrorCode.INCONSISTENT_CLUSTER_ID,
          errorMessage: `The given id "${clusterId}" doesn't match the cluster id "${deps.metadata.clusterId}"`,
        });
      if (voterId < 0)
        return removeRaftVoterResponse.create({
          errorCode: ErrorCode.INVALID_REQUEST,
          errorMessage: "Remove voter request didn't include a valid voter",
        });
      return removeRaftVoterResponse.create({
        errorCode: ErrorCode.UNSUPPORTED_VERSION,
        errorMessage: "Cluster doesn't support removing voter because the kraft.version feature is 0",
      });
    },
  };
}

import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type AddRaftVoterRequest,
  addRaftVoterRequest,
} from '../../protocol/generated/add-raft-voter-request.ts';
import {
  type AddRaftVoterResponse,
  addRaftVoterResponse,
} from '../../protocol/generated/add-raft-voter-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** AddRaftVoter: the only voter of the metadata is this broker, as with Kafka's kraft.version 0. */
export function addRaftVoterHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<AddRaftVoterRequest, AddRaftVoterResponse> {
  return {
    apiKey: addRaftVoterRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: addRaftVoterRequest,
    response: addRaftVoterResponse,
    handle({ clusterId, voterId }) {
      if (clusterId !== null && clusterId !== deps.metadata.clusterId)
        return addRaftVoterResponse.create({
          errorCode: ErrorCode.INCONSISTENT_CLUSTER_ID,
          errorMessage: `The given id "${clusterId}" doesn't match the cluster id "${deps.metadata.clusterId}"`,
        });
      if (voterId < 0)
        return addRaftVoterResponse.create({
          errorCode: ErrorCode.INVALID_REQUEST,
          errorMessage: "Add voter request didn't include a valid voter",
        });
      return addRaftVoterResponse.create({
        errorCode: ErrorCode.UNSUPPORTED_VERSION,
        errorMessage: "Cluster doesn't support adding voter because the kraft.version feature is 0",
      });
    },
  };
}

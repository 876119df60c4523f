import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { shownName } from '../../broker/metadata/topic-name.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type ElectLeadersRequest,
  electLeadersRequest,
} from '../../protocol/generated/elect-leaders-request.ts';
import {
  type ElectLeadersResponse,
  electLeadersResponse,
} from '../../protocol/generated/elect-leaders-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** Kafka's election types. */
const PREFERRED = 0;
const UNCLEAN = 1;

function unknownType(wanted: NonNullable<ElectLeadersRequest['topicPartitions']>, electionType: number) {
  const errorCode = ErrorCode.INVALID_REQUEST;
  const errorMessage = `Unknown election type ${electionType}`;
  return wanted.map(({ topic, partitions }) => ({
    topic,
    partitionResult: partitions.map((partitionId) => ({ partitionId, errorCode, errorMessage })),
  }));
}

function outcome(metadata: ClusterMetadata, topic: string, partition: number) {
  const found = metadata.topicByName(topic);
  const errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  if (found === undefined) return { errorCode, errorMessage: `No such topic as ${shownName(topic)}` };
  if (found.partitions[partition] === undefined)
    return { errorCode, errorMessage: `No such partition as ${topic}-${partition}` };
  const { ELECTION_NOT_NEEDED } = ErrorCode;
  return { errorCode: ELECTION_NOT_NEEDED, errorMessage: errorInfo(ELECTION_NOT_NEEDED).message };
}

/** ElectLeaders 0-2: the only replica leads already. */
export function electLeadersHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<ElectLeadersRequest, ElectLeadersResponse> {
  return {
    apiKey: electLeadersRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: electLeadersRequest,
    response: electLeadersResponse,
    handle({ topicPartitions, electionType }) {
      if (electionType !== PREFERRED && electionType !== UNCLEAN)
        return electLeadersResponse.create({
          errorCode: ErrorCode.INVALID_REQUEST,
          replicaElectionResults: unknownType(topicPartitions ?? [], electionType),
        });
      const wanted =
        topicPartitions ?? [...deps.metadata.topics()].map(({ name }) => ({ topic: name, partitions: [] }));
      return electLeadersResponse.create({
        replicaElectionResults: wanted.map(({ topic, partitions }) => ({
          topic,
          partitionResult: partitions.map((partitionId) => ({
            partitionId,
            ...outcome(deps.metadata, topic, partitionId),
          })),
        })),
      });
    },
  };
}

import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { shownName } from '../../broker/metadata/topic-name.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type AlterPartitionReassignmentsRequest,
  alterPartitionReassignmentsRequest,
} from '../../protocol/generated/alter-partition-reassignments-request.ts';
import {
  type AlterPartitionReassignmentsResponse,
  alterPartitionReassignmentsResponse,
} from '../../protocol/generated/alter-partition-reassignments-response.ts';
import type { ApiHandler } from '../net/handler.ts';

interface Outcome {
  readonly errorCode: ErrorCode;
  readonly errorMessage: string | null;
}

function outcome(
  metadata: ClusterMetadata,
  name: string,
  partition: number,
  replicas: readonly number[] | null,
): Outcome {
  const topic = metadata.topicByName(name);
  const unknown = (what: string) => ({
    errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    errorMessage: `Unable to find ${what}.`,
  });
  if (topic === undefined) return unknown(`a topic named ${shownName(name)}`);
  if (topic.partitions[partition] === undefined) return unknown(`partition ${name}:${partition}`);
  if (replicas === null) {
    const errorCode = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS;
    return { errorCode, errorMessage: errorInfo(errorCode).message };
  }
  const problem = problemOf(replicas, metadata.nodeId);
  if (problem === null) return { errorCode: ErrorCode.NONE, errorMessage: null };
  return {
    errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    errorMessage: `The manual partition assignment includes ${problem}.`,
  };
}

function problemOf(replicas: readonly number[], nodeId: number): string | null {
  if (replicas.length === 0) return 'an empty replica list';
  const sorted = [...replicas].sort((a, b) => a - b);
  for (const [position, broker] of sorted.entries()) {
    if (broker !== nodeId) return `broker ${broker}, but no such broker is registered`;
    if (sorted[position - 1] === broker) return `the broker ${broker} more than once`;
  }
  return null;
}

/** AlterPartitionReassignments 0-1: the only broker has every replica, so that only what is so already can be asked for. */
export function alterPartitionReassignmentsHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse> {
  return {
    apiKey: alterPartitionReassignmentsRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: alterPartitionReassignmentsRequest,
    response: alterPartitionReassignmentsResponse,
    handle({ topics, allowReplicationFactorChange }) {
      return alterPartitionReassignmentsResponse.create({
        allowReplicationFactorChange,
        errorMessage: null,
        responses: topics.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex, replicas }) => ({
            partitionIndex,
            ...outcome(deps.metadata, name, partitionIndex, replicas),
          })),
        })),
      });
    },
  };
}

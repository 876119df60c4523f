import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { METADATA_TOPIC } from '../../broker/metadata/topic-name.ts';
import type { AdvertisedListener } from '../../config/index.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeQuorumRequest,
  describeQuorumRequest,
} from '../../protocol/generated/describe-quorum-request.ts';
import {
  createDescribeQuorumResponsePartitionData,
  type DescribeQuorumResponse,
  describeQuorumResponse,
} from '../../protocol/generated/describe-quorum-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import type { ApiHandler } from '../net/handler.ts';

const FIRST_VERSION_WITH_NODES = 2;

/** Any other partition has no quorum. */
function refused(topics: DescribeQuorumRequest['topics'], apiVersion: number): DescribeQuorumResponse {
  const errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  return describeQuorumResponse.create({
    errorMessage: apiVersion < FIRST_VERSION_WITH_NODES ? '' : null,
    topics: topics.map(({ topicName, partitions }) => ({
      topicName,
      partitions: partitions.map(({ partitionIndex }) =>
        createDescribeQuorumResponsePartitionData({ partitionIndex, errorCode }),
      ),
    })),
  });
}

/** DescribeQuorum 0-2: this broker is the only voter of the metadata log, and leads it. */
export function describeQuorumHandler(deps: {
  readonly metadata: ClusterMetadata;
  readonly advertised: readonly AdvertisedListener[];
  readonly clock: Clock;
}): ApiHandler<DescribeQuorumRequest, DescribeQuorumResponse> {
  return {
    apiKey: describeQuorumRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: describeQuorumRequest,
    response: describeQuorumResponse,
    handle({ topics }, { apiVersion }) {
      const [topic, more] = topics;
      if (topic === undefined || more !== undefined || topic.topicName !== METADATA_TOPIC)
        return refused(topics, apiVersion);
      const [partition, another] = topic.partitions;
      if (partition?.partitionIndex !== 0 || another !== undefined) return refused(topics, apiVersion);
      const { metadata, advertised, clock } = deps;
      const now = BigInt(clock.now());
      const { leaderEpoch, endOffset } = metadata.quorum;
      const voter = {
        replicaId: metadata.nodeId,
        // Voters are named by their directories only where the quorum can change (KIP-853).
        replicaDirectoryId: ZERO_UUID,
        logEndOffset: endOffset,
        lastFetchTimestamp: now,
        lastCaughtUpTimestamp: now,
      };
      return describeQuorumResponse.create({
        errorMessage: null,
        topics: [
          {
            topicName: METADATA_TOPIC,
            partitions: [
              createDescribeQuorumResponsePartitionData({
                errorMessage: null,
                leaderId: metadata.nodeId,
                leaderEpoch,
                highWatermark: endOffset,
                currentVoters: [voter],
              }),
            ],
          },
        ],
        nodes:
          apiVersion < FIRST_VERSION_WITH_NODES
            ? []
            : [{ nodeId: metadata.nodeId, listeners: [...advertised] }],
      });
    },
  };
}

import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderPartition,
  offsetForLeaderEpochRequest,
} from '../../protocol/generated/offset-for-leader-epoch-request.ts';
import {
  createOffsetForLeaderEpochResponse,
  createOffsetForLeaderEpochResponseEpochEndOffset,
  type OffsetForLeaderEpochResponse,
  type OffsetForLeaderEpochResponseEpochEndOffset,
  offsetForLeaderEpochResponse,
} from '../../protocol/generated/offset-for-leader-epoch-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** OffsetForLeaderEpoch, versions 2 to 4 (KIP-320): where an epoch of the log ends. */
export function offsetForLeaderEpochHandler({
  partitions,
}: {
  partitions: PartitionManager;
}): ApiHandler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse> {
  return {
    apiKey: 23,
    minVersion: 2,
    maxVersion: 4,
    request: offsetForLeaderEpochRequest,
    response: offsetForLeaderEpochResponse,
    handle({ topics }) {
      return createOffsetForLeaderEpochResponse({
        topics: topics.map(({ topic, partitions: wanted }) => ({
          topic,
          partitions: wanted.map((request) => endOfEpoch(partitions, topic, request)),
        })),
      });
    },
  };
}

function endOfEpoch(
  partitions: PartitionManager,
  topic: string,
  { partition: index, currentLeaderEpoch, leaderEpoch }: OffsetForLeaderPartition,
): OffsetForLeaderEpochResponseEpochEndOffset {
  const partition = partitions.find(topic, index);
  const errorCode = partition?.checkEpoch(currentLeaderEpoch) ?? partitions.errorOfMissing(topic, index);
  if (partition === null || errorCode !== ErrorCode.NONE) {
    return createOffsetForLeaderEpochResponseEpochEndOffset({ partition: index, errorCode });
  }
  return createOffsetForLeaderEpochResponseEpochEndOffset({
    partition: index,
    ...partition.log.endOffsetForEpoch(leaderEpoch),
  });
}

import type { Isolation } from '../../broker/partitions/fetch-wait.ts';
import { findOffset } from '../../broker/partitions/offset-lookup.ts';
import type { Partition } from '../../broker/partitions/partition.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type ListOffsetsPartition,
  type ListOffsetsRequest,
  type ListOffsetsTopic,
  listOffsetsRequest,
} from '../../protocol/generated/list-offsets-request.ts';
import {
  createListOffsetsPartitionResponse,
  createListOffsetsResponse,
  type ListOffsetsPartitionResponse,
  type ListOffsetsResponse,
  listOffsetsResponse,
} from '../../protocol/generated/list-offsets-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { duplicatesOf } from './duplicates.ts';
import { errorCodeOf } from './error-code.ts';

const READ_COMMITTED = 1;
const FIRST_VERSION_WITH_EPOCHS = 4;

/** From which version on each special timestamp may be asked for. */
const FIRST_VERSIONS = new Map<bigint, number>([
  [-1n, 1],
  [-2n, 1],
  [-3n, 7],
  [-4n, 8],
  [-5n, 9],
  [-6n, 11],
]);

/** ListOffsets, versions 1 to 11: by timestamp, and the special timestamps latest, earliest, max and those of tiered storage. */
export function listOffsetsHandler({
  partitions,
}: {
  partitions: PartitionManager;
}): ApiHandler<ListOffsetsRequest, ListOffsetsResponse> {
  return {
    apiKey: 2,
    minVersion: 1,
    maxVersion: 11,
    request: listOffsetsRequest,
    response: listOffsetsResponse,
    async handle({ topics, isolationLevel }, { apiVersion }) {
      const isolation = isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted';
      const answered = [...byTopic(topics)].map(async ([name, wanted]) => {
        const duplicates = duplicatesOf(wanted.map(({ partitionIndex }) => partitionIndex));
        const once = [...new Map(wanted.map((request) => [request.partitionIndex, request])).values()];
        const results = once.map((request) => {
          if (duplicates.has(request.partitionIndex))
            return failure(request.partitionIndex, ErrorCode.INVALID_REQUEST);
          const partition = partitions.find(name, request.partitionIndex);
          if (partition !== null) return listOffset(partition, request, isolation, apiVersion);
          return failure(request.partitionIndex, partitions.errorOfMissing(name, request.partitionIndex));
        });
        return { name, partitions: await Promise.all(results) };
      });
      return createListOffsetsResponse({ topics: await Promise.all(answered) });
    },
  };
}

/** What is asked of each topic, which may be named several times. As in Kafka, without partitions there is nothing to tell of it. */
function byTopic(topics: readonly ListOffsetsTopic[]): Map<string, ListOffsetsPartition[]> {
  const wanted = new Map<string, ListOffsetsPartition[]>();
  for (const { name, partitions } of topics) {
    const before = wanted.get(name);
    if (before !== undefined) for (const partition of partitions) before.push(partition);
    else if (partitions.length > 0) wanted.set(name, [...partitions]);
  }
  return wanted;
}

async function listOffset(
  partition: Partition,
  { partitionIndex, currentLeaderEpoch, timestamp }: ListOffsetsPartition,
  isolation: Isolation,
  apiVersion: number,
): Promise<ListOffsetsPartitionResponse> {
  if (timestamp < 0n && apiVersion < (FIRST_VERSIONS.get(timestamp) ?? Number.POSITIVE_INFINITY)) {
    return failure(partitionIndex, ErrorCode.UNSUPPORTED_VERSION);
  }
  const epochError = partition.checkEpoch(currentLeaderEpoch);
  if (epochError !== ErrorCode.NONE) return failure(partitionIndex, epochError);
  try {
    const found = await findOffset(partition, timestamp, isolation);
    const leaderEpoch = apiVersion < FIRST_VERSION_WITH_EPOCHS ? -1 : found.leaderEpoch;
    return createListOffsetsPartitionResponse({ partitionIndex, ...found, leaderEpoch });
  } catch (error) {
    return failure(partitionIndex, errorCodeOf(error));
  }
}

function failure(partitionIndex: number, errorCode: number): ListOffsetsPartitionResponse {
  return createListOffsetsPartitionResponse({ partitionIndex, errorCode });
}

import { isInternalTopic } from '../../broker/metadata/topic-name.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DeleteRecordsPartition,
  type DeleteRecordsRequest,
  type DeleteRecordsTopic,
  deleteRecordsRequest,
} from '../../protocol/generated/delete-records-request.ts';
import {
  createDeleteRecordsResponse,
  type DeleteRecordsPartitionResult,
  type DeleteRecordsResponse,
  deleteRecordsResponse,
} from '../../protocol/generated/delete-records-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { errorCodeOf } from './error-code.ts';

/** DeleteRecords, versions 0 to 2: moves the log start; payload below it is reclaimed. Internal topics are refused. */
export function deleteRecordsHandler({
  partitions,
}: {
  partitions: PartitionManager;
}): ApiHandler<DeleteRecordsRequest, DeleteRecordsResponse> {
  return {
    apiKey: 21,
    minVersion: 0,
    maxVersion: 2,
    request: deleteRecordsRequest,
    response: deleteRecordsResponse,
    async handle({ topics }) {
      const answered = [...lastOfEach(topics)].map(async ([name, wanted]) => ({
        name,
        partitions: await Promise.all(
          Array.from(wanted.values(), (request) => deleteRecords(partitions, name, request)),
        ),
      }));
      return createDeleteRecordsResponse({ topics: await Promise.all(answered) });
    },
  };
}

/** What is asked of each partition, by topic. As in Kafka, of one that is named twice the last counts. */
function lastOfEach(topics: readonly DeleteRecordsTopic[]): Map<string, Map<number, DeleteRecordsPartition>> {
  const wanted = new Map<string, Map<number, DeleteRecordsPartition>>();
  for (const { name, partitions } of topics)
    for (const partition of partitions) {
      const ofTopic = wanted.get(name) ?? new Map<number, DeleteRecordsPartition>();
      wanted.set(name, ofTopic.set(partition.partitionIndex, partition));
    }
  return wanted;
}

async function deleteRecords(
  partitions: PartitionManager,
  topic: string,
  { partitionIndex, offset }: DeleteRecordsPartition,
): Promise<DeleteRecordsPartitionResult> {
  const failure = (errorCode: number) => ({ partitionIndex, errorCode, lowWatermark: -1n });
  if (isInternalTopic(topic)) return failure(ErrorCode.INVALID_TOPIC_EXCEPTION);
  const partition = partitions.find(topic, partitionIndex);
  if (partition === null) return failure(partitions.errorOfMissing(topic, partitionIndex));
  if (!partition.config.deletable) return failure(ErrorCode.POLICY_VIOLATION);
  if (offset < -1n || offset > partition.highWatermark) return failure(ErrorCode.OFFSET_OUT_OF_RANGE);
  try {
    return {
      partitionIndex,
      errorCode: ErrorCode.NONE,
      lowWatermark: await partition.deleteRecordsBefore(offset),
    };
  } catch (error) {
    return failure(errorCodeOf(error));
  }
}

import { isInternalTopic } from '../../broker/metadata/topic-name.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DeleteRecordsPartition,
  type DeleteRecordsRequest,
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
      const answered = topics.map(async ({ name, partitions: wanted }) => ({
        name,
        partitions: await Promise.all(
          lastOfEach(wanted).map((request) => deleteRecords(partitions, name, request)),
        ),
      }));
      return createDeleteRecordsResponse({ topics: await Promise.all(answered) });
    },
  };
}

/** Of a partition that is named twice the last counts, as in Kafka. */
function lastOfEach(wanted: readonly DeleteRecordsPartition[]): DeleteRecordsPartition[] {
  return [...new Map(wanted.map((request) => [request.partitionIndex, request])).values()];
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

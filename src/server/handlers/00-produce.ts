import type { Partition } from '../../broker/partitions/partition.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { Appended } from '../../broker/partitions/produce-pipeline.ts';
import { ProduceError } from '../../broker/partitions/produce-rules.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type PartitionProduceData,
  type ProduceRequest,
  produceRequest,
  type TopicProduceData,
} from '../../protocol/generated/produce-request.ts';
import {
  createPartitionProduceResponse,
  createProduceResponse,
  type PartitionProduceResponse,
  type ProduceResponse,
  produceResponse,
} from '../../protocol/generated/produce-response.ts';
import { type ApiHandler, type RequestContext, UnansweredFailure } from '../net/handler.ts';

const FIRST_VERSION_WITH_ZSTD = 7;
const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const BATCH_HEADER_BYTES = 61;
const ATTRIBUTES_LOW_BYTE = 22;
const ZSTD = 4;

/**
 * Produce, versions 3 to 13 (topic ids from 13). Batches are handed to their partitions in the order of requests; the answer follows
 * when all are written, for acks=all flushed (log.durability). acks=0 gets no answer; if it fails the connection is closed, so
 * that the client notices. Transactional batches are refused.
 */
export function produceHandler({
  partitions,
}: {
  partitions: PartitionManager;
}): ApiHandler<ProduceRequest, ProduceResponse> {
  return {
    apiKey: 0,
    minVersion: 3,
    maxVersion: 13,
    request: produceRequest,
    response: produceResponse,
    borrowsFrame: true,
    handle(request, context) {
      const pending: Promise<void>[] = [];
      const responses = request.topicData.map((topic) => ({
        name: topic.name,
        topicId: topic.topicId,
        partitionResponses: topic.partitionData.map((data) => {
          const answer = createPartitionProduceResponse({
            index: data.index,
            baseOffset: -1n,
            logStartOffset: -1n,
          });
          const partition = findPartition(partitions, topic, data, context);
          if (typeof partition === 'number') answer.errorCode = partition;
          else producePartition(partition, request.acks, data, context, answer, pending);
          return answer;
        }),
      }));
      const finish = () =>
        request.acks === 0 ? finishUnanswered(responses) : createProduceResponse({ responses });
      // One promise for what is most often one partition.
      return pending.length === 1 ? pending[0]!.then(finish) : Promise.all(pending).then(finish);
    },
  };
}

/** acks=0: there is no answer, but the client has to notice an error. */
function finishUnanswered(responses: ProduceResponse['responses']): null {
  for (const { partitionResponses } of responses) {
    for (const { errorCode } of partitionResponses) {
      if (errorCode !== ErrorCode.NONE)
        throw new UnansweredFailure(`Produce with acks=0 failed with error ${errorCode}`);
    }
  }
  return null;
}

/** The partition, or the ErrorCode that says why not. */
function findPartition(
  partitions: PartitionManager,
  { name, topicId }: TopicProduceData,
  { index }: PartitionProduceData,
  { apiVersion }: RequestContext,
): Partition | number {
  if (apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS) {
    return partitions.findById(topicId, index) ?? partitions.errorOfMissingById(topicId, index);
  }
  return partitions.find(name, index) ?? partitions.errorOfMissing(name, index);
}

/** Fills `answer`, at once or when what it adds to `pending` settles. */
function producePartition(
  partition: Partition,
  acks: number,
  { records }: PartitionProduceData,
  { apiVersion, memory }: RequestContext,
  answer: PartitionProduceResponse,
  pending: Promise<void>[],
): void {
  if (acks < -1 || acks > 1) {
    answer.errorCode = ErrorCode.INVALID_REQUIRED_ACKS;
  } else if (records === null || records.byteLength === 0) {
    answer.errorCode = ErrorCode.INVALID_RECORD;
    answer.errorMessage = 'A partition needs one record batch';
  } else if (apiVersion < FIRST_VERSION_WITH_ZSTD && isZstd(records)) {
    answer.errorCode = ErrorCode.UNSUPPORTED_COMPRESSION_TYPE;
    answer.errorMessage = `Produce ${apiVersion} does not allow zstd`;
  } else {
    const appended = ({ baseOffset, logAppendTimeMs }: Appended) => {
      answer.baseOffset = baseOffset;
      answer.logAppendTimeMs = logAppendTimeMs;
      answer.logStartOffset = partition.logStartOffset;
    };
    pending.push(
      partition.produce(records, memory, acks === -1).then(appended, (error) => refuse(answer, error)),
    );
  }
}

function refuse(answer: PartitionProduceResponse, error: unknown): void {
  if (!(error instanceof ProduceError)) throw error;
  answer.errorCode = error.code;
  answer.errorMessage = error.message;
  answer.recordErrors = error.records.map(({ index, message }) => ({
    batchIndex: index,
    batchIndexErrorMessage: message,
  }));
}

function isZstd(records: Uint8Array): boolean {
  return records.byteLength >= BATCH_HEADER_BYTES && (records[ATTRIBUTES_LOW_BYTE]! & 0x07) === ZSTD;
}

import type { Partition } from '../../broker/partitions/partition.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
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
import type { ApiHandler, RequestContext } from '../net/handler.ts';

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
    async handle(request, context) {
      const responses = await Promise.all(
        request.topicData.map((topic) => produceTopic(partitions, request, topic, context)),
      );
      if (request.acks !== 0) return createProduceResponse({ responses });
      const failed = responses
        .flatMap((topic) => topic.partitionResponses)
        .find(({ errorCode }) => errorCode !== 0);
      if (failed !== undefined) throw new Error(`produce with acks=0 failed with error ${failed.errorCode}`);
      return null;
    },
  };
}

async function produceTopic(
  partitions: PartitionManager,
  { acks }: ProduceRequest,
  { name, topicId, partitionData }: TopicProduceData,
  context: RequestContext,
): Promise<ProduceResponse['responses'][number]> {
  const byId = context.apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
  const produced = partitionData.map((data) => {
    const partition = byId ? partitions.findById(topicId, data.index) : partitions.find(name, data.index);
    if (partition === null) {
      const missing = byId
        ? partitions.errorOfMissingById(topicId, data.index)
        : partitions.errorOfMissing(name, data.index);
      return failure(data.index, missing, null);
    }
    return producePartition(partition, acks, data, context);
  });
  return { name, topicId, partitionResponses: await Promise.all(produced) };
}

async function producePartition(
  partition: Partition,
  acks: number,
  { index, records }: PartitionProduceData,
  { apiVersion, memory }: RequestContext,
): Promise<PartitionProduceResponse> {
  if (acks < -1 || acks > 1) return failure(index, ErrorCode.INVALID_REQUIRED_ACKS, null);
  if (records === null || records.byteLength === 0) {
    return failure(index, ErrorCode.INVALID_RECORD, 'A partition needs one record batch');
  }
  if (apiVersion < FIRST_VERSION_WITH_ZSTD && isZstd(records)) {
    return failure(
      index,
      ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
      `Produce ${apiVersion} does not allow zstd`,
    );
  }
  try {
    const { baseOffset, logAppendTimeMs } = await partition.produce(records, memory, acks === -1);
    return createPartitionProduceResponse({
      index,
      baseOffset,
      logAppendTimeMs,
      logStartOffset: partition.logStartOffset,
    });
  } catch (error) {
    if (!(error instanceof ProduceError)) throw error;
    const recordErrors = error.records.map((record) => ({
      batchIndex: record.index,
      batchIndexErrorMessage: record.message,
    }));
    return { ...failure(index, error.code, error.message), recordErrors };
  }
}

function isZstd(records: Uint8Array): boolean {
  return records.byteLength >= BATCH_HEADER_BYTES && (records[ATTRIBUTES_LOW_BYTE]! & 0x07) === ZSTD;
}

function failure(index: number, errorCode: number, errorMessage: string | null): PartitionProduceResponse {
  return createPartitionProduceResponse({
    index,
    errorCode,
    errorMessage,
    baseOffset: -1n,
    logStartOffset: -1n,
  });
}

import { isInternalTopic } from '../../broker/metadata/topic-name.ts';
import type { Partition } from '../../broker/partitions/partition.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { Appended } from '../../broker/partitions/produce-job.ts';
import { ProduceError } from '../../broker/partitions/produce-rules.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { ProduceGate } from '../../broker/transactions/produce-gate.ts';
import type { ProducerIdentity, TopicPartition } from '../../broker/transactions/transaction.ts';
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
import { Attribute, BATCH_HEADER_SIZE, BatchHeader } from '../../protocol/records/batch-header.ts';
import { type ApiHandler, type RequestContext, UnansweredFailure } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';
import { transactionRefusal } from './transaction-refusals.ts';

const FIRST_VERSION_WITH_ZSTD = 7;
const FIRST_VERSION_WITH_ABORTABLE = 11;
const FIRST_VERSION_THAT_ADDS_PARTITIONS = 12;
const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const ATTRIBUTES_LOW_BYTE = 22;
const ZSTD = 4;

/**
 * Produce, versions 3 to 13 (topic ids from 13). Batches are handed to their partitions in the order of requests; the answer follows
 * when all are written, for acks=all flushed (log.durability). acks=0 gets no answer; if it fails the connection is closed, so
 * that the client notices. Transactional batches have to belong to an open transaction, to which their partitions are added from
 * version 12 on (KIP-890).
 */
export function produceHandler({
  partitions,
  gate,
  quota,
}: {
  partitions: PartitionManager;
  gate: ProduceGate;
  quota: RateQuota;
}): ApiHandler<ProduceRequest, ProduceResponse> {
  return {
    apiKey: 0,
    minVersion: 3,
    maxVersion: 13,
    request: produceRequest,
    response: produceResponse,
    borrowsFrame: true,
    handle(request, context) {
      const answer = admitAndProduce(partitions, gate, request, context);
      return quota.active ? withQuota(quota, request, context, answer) : answer;
    },
  };
}

/** What was produced counts when it is answered; the client waits before its next request. */
async function withQuota(
  quota: RateQuota,
  request: ProduceRequest,
  context: RequestContext,
  answer: ProduceResponse | null | Promise<ProduceResponse | null>,
): Promise<ProduceResponse | null> {
  // Read now: the records are views of memory that is given back.
  const bytes = recordBytes(request);
  const response = await answer;
  const throttleTimeMs = quota.record(quotaClientOf(context), bytes);
  context.connection.throttle(throttleTimeMs);
  if (response !== null) response.throttleTimeMs = throttleTimeMs;
  return response;
}

function recordBytes({ topicData }: ProduceRequest): number {
  let bytes = 0;
  for (const { partitionData } of topicData)
    for (const { records } of partitionData) bytes += records?.byteLength ?? 0;
  return bytes;
}

function admitAndProduce(
  partitions: PartitionManager,
  gate: ProduceGate,
  request: ProduceRequest,
  context: RequestContext,
): ProduceResponse | null | Promise<ProduceResponse | null> {
  if (request.transactionalId === null) {
    // Nobody may write to a transaction that has no name.
    const refused = isTransactional(request) ? ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED : null;
    return produce(partitions, request, context, refused);
  }
  const admitted = admit(partitions, gate, request, context);
  if (!(admitted instanceof Promise)) return produce(partitions, request, context, admitted);
  if (context.memory === null) keepRecords(request);
  return admitted.then((error) => produce(partitions, request, context, error));
}

/** @param admitted of a request with a transactional id: NONE, or why its transactional batches must not be appended */
function produce(
  partitions: PartitionManager,
  request: ProduceRequest,
  context: RequestContext,
  admitted: ErrorCode | null,
): ProduceResponse | null | Promise<ProduceResponse | null> {
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
      else if (admitted && transactionOf(data))
        refuseTransactional(answer, toldAs(admitted, context.apiVersion));
      else producePartition(partition, request, data, context, answer, pending);
      return answer;
    }),
  }));
  const finish = () =>
    request.acks === 0 ? finishUnanswered(responses) : createProduceResponse({ responses });
  // What is in memory is appended by now. Without an answer, failing takes a promise.
  if (pending.length === 0 && request.acks !== 0) return finish();
  // One promise for what is most often one partition.
  return pending.length === 1 ? pending[0]!.then(finish) : Promise.all(pending).then(finish);
}

/** Whether the transactional batches of a request belong to an open transaction. */
function admit(
  partitions: PartitionManager,
  gate: ProduceGate,
  request: ProduceRequest,
  context: RequestContext,
): ErrorCode | Promise<ErrorCode> {
  let producer: ProducerIdentity | null = null;
  const written: TopicPartition[] = [];
  for (const topic of request.topicData) {
    for (const data of topic.partitionData) {
      const partition = findPartition(partitions, topic, data, context);
      const found = typeof partition === 'number' ? null : transactionOf(data);
      if (found === null || typeof partition === 'number') continue;
      producer ??= found;
      if (producer.producerId !== found.producerId || producer.producerEpoch !== found.producerEpoch)
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
      written.push({ topic: partition.topic, partition: partition.index });
    }
  }
  if (producer === null) return ErrorCode.NONE;
  const addsPartitions = context.apiVersion >= FIRST_VERSION_THAT_ADDS_PARTITIONS;
  return gate.admit({
    ...producer,
    transactionalId: request.transactionalId!,
    partitions: written,
    addsPartitions,
  });
}

/** The producer of a transactional batch; null for another, or what is none. */
function transactionOf({ records }: PartitionProduceData): ProducerIdentity | null {
  if (records === null || records.byteLength < BATCH_HEADER_SIZE) return null;
  const { isTransactional, producerId, producerEpoch } = new BatchHeader(records);
  return isTransactional ? { producerId, producerEpoch } : null;
}

function isTransactional({ topicData }: ProduceRequest): boolean {
  for (const { partitionData } of topicData)
    for (const { records } of partitionData) {
      // Every plain produce comes here: one byte decides.
      const isWhole = records !== null && records.byteLength >= BATCH_HEADER_SIZE;
      if (isWhole && (records[ATTRIBUTES_LOW_BYTE]! & Attribute.transactional) !== 0) return true;
    }
  return false;
}

/** Copies batches that would otherwise be valid only now. */
export function keepRecords(request: ProduceRequest): void {
  for (const { partitionData } of request.topicData)
    for (const data of partitionData) if (data.records !== null) data.records = Uint8Array.from(data.records);
}

function refuseTransactional(answer: PartitionProduceResponse, errorCode: ErrorCode): void {
  answer.errorCode = errorCode;
  if (errorCode === ErrorCode.INVALID_TXN_STATE)
    answer.errorMessage = 'Partition was not added to the transaction';
}

function toldAs(error: ErrorCode, apiVersion: number): ErrorCode {
  return transactionRefusal(error, {
    addsPartitions: apiVersion >= FIRST_VERSION_THAT_ADDS_PARTITIONS,
    knowsAbortable: apiVersion >= FIRST_VERSION_WITH_ABORTABLE,
    notReady: ErrorCode.NOT_ENOUGH_REPLICAS,
  });
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

/** Where to append, or the ErrorCode that says why not: what the broker keeps of groups and transactions is written by nobody else. */
function findPartition(
  partitions: PartitionManager,
  { name, topicId }: TopicProduceData,
  { index }: PartitionProduceData,
  { apiVersion }: RequestContext,
): Partition | number {
  const partition =
    apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS
      ? (partitions.findById(topicId, index) ?? partitions.errorOfMissingById(topicId, index))
      : (partitions.find(name, index) ?? partitions.errorOfMissing(name, index));
  if (typeof partition === 'number' || !isInternalTopic(partition.topic)) return partition;
  return ErrorCode.INVALID_TOPIC_EXCEPTION;
}

/** Fills `answer`, at once or when what it adds to `pending` settles. */
function producePartition(
  partition: Partition,
  { acks, transactionalId }: ProduceRequest,
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
    const inTransaction = transactionalId !== null;
    const beginsAnew = inTransaction && apiVersion >= FIRST_VERSION_THAT_ADDS_PARTITIONS;
    const origin = beginsAnew ? 'transaction' : 'client';
    const appended = partition.produce(records, memory, acks === -1, inTransaction, origin);
    if (!(appended instanceof Promise)) confirm(answer, appended, partition);
    else
      pending.push(
        appended.then(
          (done) => confirm(answer, done, partition),
          (error) => refuse(answer, error, partition),
        ),
      );
  }
}

function confirm(
  answer: PartitionProduceResponse,
  { baseOffset, logAppendTimeMs }: Appended,
  partition: Partition,
): void {
  answer.baseOffset = baseOffset;
  answer.logAppendTimeMs = logAppendTimeMs;
  answer.logStartOffset = partition.logStartOffset;
}

/** Errors of what is in a batch that is whole, with which Kafka tells where the log starts. */
const WITH_LOG_START: ReadonlySet<number> = new Set([
  ErrorCode.INVALID_TIMESTAMP,
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ErrorCode.INVALID_PRODUCER_EPOCH,
]);

function refuse(answer: PartitionProduceResponse, error: unknown, partition: Partition): void {
  if (!(error instanceof ProduceError)) throw error;
  answer.errorCode = error.code;
  if (WITH_LOG_START.has(error.code)) answer.logStartOffset = partition.logStartOffset;
  answer.errorMessage = error.message;
  answer.recordErrors = error.records.map(({ index, message }) => ({
    batchIndex: index,
    batchIndexErrorMessage: message,
  }));
}

function isZstd(records: Uint8Array): boolean {
  return records.byteLength >= BATCH_HEADER_SIZE && (records[ATTRIBUTES_LOW_BYTE]! & 0x07) === ZSTD;
}

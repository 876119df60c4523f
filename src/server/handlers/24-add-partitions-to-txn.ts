import type { TopicNames } from '../../broker/groups/ports.ts';
import { isInternalTopic } from '../../broker/metadata/topic-name.ts';
import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { type ProducerIdentity, TransactionVersion } from '../../broker/transactions/transaction.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type AddPartitionsToTxnRequest,
  type AddPartitionsToTxnTopic,
  addPartitionsToTxnRequest,
} from '../../protocol/generated/add-partitions-to-txn-request.ts';
import {
  type AddPartitionsToTxnResponse,
  type AddPartitionsToTxnTopicResult,
  addPartitionsToTxnResponse,
  createAddPartitionsToTxnResponse,
} from '../../protocol/generated/add-partitions-to-txn-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { fencedFor } from './transaction-errors.ts';

/** From this version a request has several transactions, and may only ask; brokers send it to coordinators. */
const HAS_TRANSACTIONS = 4;
/** From this version clients know PRODUCER_FENCED. */
const KNOWS_FENCED = 2;

interface Addition extends ProducerIdentity {
  readonly transactionalId: string;
  readonly verifyOnly: boolean;
  readonly topics: readonly AddPartitionsToTxnTopic[];
}

interface Dependencies {
  readonly transactions: TransactionCoordinator;
  readonly topics: TopicNames;
}

/**
 * AddPartitionsToTxn, versions 0 to 5: all partitions of a transaction are added, or none if one of them does not exist, or is the broker's
 * own.
 */
export function addPartitionsToTxnHandler(
  deps: Dependencies,
): ApiHandler<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse> {
  return {
    apiKey: ApiKey.AddPartitionsToTxn,
    minVersion: 0,
    maxVersion: 5,
    request: addPartitionsToTxnRequest,
    response: addPartitionsToTxnResponse,
    async handle(request, { apiVersion }) {
      if (apiVersion >= HAS_TRANSACTIONS) {
        // As in Kafka, of a transaction that is named twice the last counts.
        const additions = new Map(request.transactions.map((each) => [each.transactionalId, each]));
        const resultsByTransaction = Array.from(additions.values(), async (addition) => ({
          transactionalId: addition.transactionalId,
          topicResults: await add(deps, addition, apiVersion),
        }));
        return createAddPartitionsToTxnResponse({
          resultsByTransaction: await Promise.all(resultsByTransaction),
        });
      }
      const addition = {
        transactionalId: request.v3AndBelowTransactionalId,
        producerId: request.v3AndBelowProducerId,
        producerEpoch: request.v3AndBelowProducerEpoch,
        verifyOnly: false,
        topics: request.v3AndBelowTopics,
      };
      return createAddPartitionsToTxnResponse({
        resultsByTopicV3AndBelow: await add(deps, addition, apiVersion),
      });
    },
  };
}

async function add(
  { transactions, topics: names }: Dependencies,
  { transactionalId, verifyOnly, topics, producerId, producerEpoch }: Addition,
  apiVersion: number,
): Promise<AddPartitionsToTxnTopicResult[]> {
  const producer = { producerId, producerEpoch };
  const partitions = topics.flatMap(({ name, partitions: indexes }) =>
    indexes.map((partition) => ({ topic: name, partition })),
  );
  const knowsFenced = apiVersion >= KNOWS_FENCED;
  const refusalOf = (topic: string, partition: number): ErrorCode => {
    if (apiVersion < HAS_TRANSACTIONS && isInternalTopic(topic)) return ErrorCode.TOPIC_AUTHORIZATION_FAILED;
    const isThere = partition >= 0 && partition < (names.partitionCount(topic) ?? 0);
    return isThere ? ErrorCode.NONE : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  };
  if (partitions.some(({ topic, partition }) => refusalOf(topic, partition) !== ErrorCode.NONE))
    return results(
      topics,
      (topic, partition) => refusalOf(topic, partition) || ErrorCode.OPERATION_NOT_ATTEMPTED,
    );
  if (verifyOnly) {
    return results(topics, (topic, partition) =>
      fencedFor(transactions.verify(transactionalId, producer, { topic, partition }), knowsFenced),
    );
  }
  // The versions that brokers send stand for clients that leave the adding to them (KIP-890).
  const version =
    apiVersion >= HAS_TRANSACTIONS ? TransactionVersion.epochPerTransaction : TransactionVersion.classic;
  const error = await transactions.addPartitionsInTurn(transactionalId, producer, partitions, version);
  return results(topics, () => fencedFor(error, knowsFenced));
}

function results(
  topics: readonly AddPartitionsToTxnTopic[],
  errorOf: (topic: string, partition: number) => ErrorCode,
): AddPartitionsToTxnTopicResult[] {
  return topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({
      partitionIndex,
      partitionErrorCode: errorOf(name, partitionIndex),
    })),
  }));
}

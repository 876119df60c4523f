import { createTransactionLogKey, transactionLogKey } from '../../protocol/generated/transaction-log-key.ts';
import {
  createTransactionLogValue,
  transactionLogValue,
} from '../../protocol/generated/transaction-log-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../protocol/internal-records.ts';
import { NO_PRODUCER_EPOCH } from '../../protocol/records/batch-header.ts';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import type { TransactionRecord } from './ports.ts';
import {
  TRANSACTION_STATES,
  type Transaction,
  type TransactionState,
  TransactionVersion,
} from './transaction.ts';

/** What Kafka writes since transaction.version 1. */
const VALUE_VERSION = 1;

export function transactionRecord(transactionalId: string, transaction: Transaction): TransactionRecord {
  const partitions = Array.from(transaction.partitions, ([topic, indexes]) => ({
    topic,
    partitionIds: [...indexes],
  }));
  const message = createTransactionLogValue({
    producerId: transaction.producerId,
    previousProducerId: transaction.previousProducerId,
    nextProducerId: transaction.nextProducerId,
    producerEpoch: transaction.producerEpoch,
    transactionTimeoutMs: transaction.timeoutMs,
    transactionStatus: TRANSACTION_STATES.indexOf(transaction.state),
    // Kafka writes null for a transactional id without a transaction.
    transactionPartitions: transaction.state === 'Empty' ? null : partitions,
    transactionLastUpdateTimestampMs: BigInt(transaction.updateMs),
    transactionStartTimestampMs: BigInt(transaction.startMs),
    clientTransactionVersion: transaction.version,
  });
  return { key: keyOf(transactionalId), value: encodeVersioned(transactionLogValue, message, VALUE_VERSION) };
}

export function transactionTombstone(transactionalId: string): TransactionRecord {
  return { key: keyOf(transactionalId), value: null };
}

/** What a record of __transaction_state says; null for one of a later Kafka. @throws ProtocolError */
export function parseTransaction(
  key: Uint8Array,
  value: Uint8Array | null,
): { transactionalId: string; transaction: Transaction | null } | null {
  if (coordinatorKeyType(key) !== transactionLogKey.apiKey) return null;
  const { transactionalId } = decodeCoordinatorKey(transactionLogKey, key);
  return { transactionalId, transaction: value && parseValue(value) };
}

function parseValue(bytes: Uint8Array): Transaction {
  const { value: message } = decodeVersioned(transactionLogValue, bytes);
  const partitions = (message.transactionPartitions ?? []).map(
    ({ topic, partitionIds }) => [topic, new Set(partitionIds)] as const,
  );
  return {
    state: stateOf(message.transactionStatus),
    producerId: message.producerId,
    previousProducerId: message.previousProducerId,
    nextProducerId: message.nextProducerId,
    producerEpoch: message.producerEpoch,
    lastProducerEpoch: NO_PRODUCER_EPOCH,
    timeoutMs: message.transactionTimeoutMs,
    partitions: new Map(partitions),
    startMs: Number(message.transactionStartTimestampMs),
    updateMs: Number(message.transactionLastUpdateTimestampMs),
    version:
      message.clientTransactionVersion >= TransactionVersion.epochPerTransaction
        ? TransactionVersion.epochPerTransaction
        : TransactionVersion.classic,
  };
}

function stateOf(status: number): TransactionState {
  const state = TRANSACTION_STATES[status];
  if (state === undefined) throw new ProtocolError(`transaction status ${status}`);
  return state;
}

function keyOf(transactionalId: string): Uint8Array {
  return encodeCoordinatorKey(transactionLogKey, createTransactionLogKey({ transactionalId }));
}

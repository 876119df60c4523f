import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeTransactionsRequest,
  describeTransactionsRequest,
} from '../../protocol/generated/describe-transactions-request.ts';
import {
  createDescribeTransactionsResponse,
  createDescribeTransactionsResponseTransactionState,
  type DescribeTransactionsResponse,
  type DescribeTransactionsResponseTransactionState,
  describeTransactionsResponse,
} from '../../protocol/generated/describe-transactions-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { distinct } from './duplicates.ts';

/** DescribeTransactions, version 0: the state of transactional ids and the partitions of their open transactions. */
export function describeTransactionsHandler(deps: {
  transactions: TransactionCoordinator;
}): ApiHandler<DescribeTransactionsRequest, DescribeTransactionsResponse> {
  return {
    apiKey: ApiKey.DescribeTransactions,
    minVersion: 0,
    maxVersion: 0,
    request: describeTransactionsRequest,
    response: describeTransactionsResponse,
    handle({ transactionalIds }) {
      const transactionStates = distinct(transactionalIds).map((id) => describe(deps.transactions, id));
      return createDescribeTransactionsResponse({ transactionStates });
    },
  };
}

function describe(
  transactions: TransactionCoordinator,
  transactionalId: string,
): DescribeTransactionsResponseTransactionState {
  const shard = transactions.shardOf(transactionalId);
  const current = typeof shard === 'number' ? undefined : shard.entries.get(transactionalId)?.current;
  if (current === undefined) {
    const errorCode = typeof shard === 'number' ? shard : ErrorCode.TRANSACTIONAL_ID_NOT_FOUND;
    return createDescribeTransactionsResponseTransactionState({ transactionalId, errorCode });
  }
  return createDescribeTransactionsResponseTransactionState({
    transactionalId,
    transactionState: current.state,
    transactionTimeoutMs: current.timeoutMs,
    transactionStartTimeMs: BigInt(current.startMs),
    producerId: current.producerId,
    producerEpoch: current.producerEpoch,
    topics: Array.from(current.partitions, ([topic, partitions]) => ({ topic, partitions: [...partitions] })),
  });
}

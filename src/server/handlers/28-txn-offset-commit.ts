import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { commitPendingOffsets } from '../../broker/groups/offset-commit.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { OFFSETS_TOPIC } from '../../broker/metadata/topic-name.ts';
import type { ProduceGate } from '../../broker/transactions/produce-gate.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type TxnOffsetCommitRequest,
  txnOffsetCommitRequest,
} from '../../protocol/generated/txn-offset-commit-request.ts';
import {
  type TxnOffsetCommitResponse,
  txnOffsetCommitResponse,
} from '../../protocol/generated/txn-offset-commit-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { transactionRefusal } from './transaction-refusals.ts';

/** From this version clients know that a group may be being loaded (KAFKA-7296). */
const KNOWS_LOADING = 2;
/** From this version clients know TRANSACTION_ABORTABLE. */
const KNOWS_ABORTABLE = 4;
/** From this version the broker adds the group's partition to the transaction (KIP-890). */
const ADDS_PARTITION = 5;

/** TxnOffsetCommit, versions 0 to 5: answered when the offsets are written; they take effect with the transaction. */
export function txnOffsetCommitHandler(deps: {
  groups: GroupCoordinator;
  gate: ProduceGate;
  topics: TopicNames;
}): ApiHandler<TxnOffsetCommitRequest, TxnOffsetCommitResponse> {
  const { groups, gate, topics } = deps;
  return {
    apiKey: ApiKey.TxnOffsetCommit,
    minVersion: 0,
    maxVersion: 5,
    request: txnOffsetCommitRequest,
    response: txnOffsetCommitResponse,
    async handle(request, { apiVersion }) {
      const addsPartitions = apiVersion >= ADDS_PARTITION;
      const told = (error: ErrorCode) =>
        transactionRefusal(error, {
          addsPartitions,
          knowsAbortable: apiVersion >= KNOWS_ABORTABLE,
          notReady: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        });
      const response = await commitPendingOffsets(groups, topics, request, () => {
        const partition = groups.partitionOf(request.groupId);
        if (partition === null) return ErrorCode.NOT_COORDINATOR;
        const { transactionalId, producerId, producerEpoch } = request;
        const admitted = gate.admit({
          transactionalId,
          producerId,
          producerEpoch,
          partitions: [{ topic: OFFSETS_TOPIC, partition }],
          addsPartitions,
        });
        return admitted instanceof Promise ? admitted.then(told) : told(admitted);
      });
      if (apiVersion < KNOWS_LOADING) hideLoading(response);
      return response;
    },
  };
}

/** Clients that would fail look for the coordinator again. */
function hideLoading({ topics }: TxnOffsetCommitResponse): void {
  for (const { partitions } of topics)
    for (const partition of partitions)
      if (partition.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        partition.errorCode = ErrorCode.COORDINATOR_NOT_AVAILABLE;
}

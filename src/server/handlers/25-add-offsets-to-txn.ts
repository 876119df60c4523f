import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { OFFSETS_TOPIC } from '../../broker/metadata/topic-name.ts';
import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { TransactionVersion } from '../../broker/transactions/transaction.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type AddOffsetsToTxnRequest,
  addOffsetsToTxnRequest,
} from '../../protocol/generated/add-offsets-to-txn-request.ts';
import {
  type AddOffsetsToTxnResponse,
  addOffsetsToTxnResponse,
  createAddOffsetsToTxnResponse,
} from '../../protocol/generated/add-offsets-to-txn-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { fencedFor } from './transaction-errors.ts';

/** From this version clients know PRODUCER_FENCED. */
const KNOWS_FENCED = 2;

/** AddOffsetsToTxn, versions 0 to 4: adds the partition that holds a group's offsets to a transaction. */
export function addOffsetsToTxnHandler(deps: {
  transactions: TransactionCoordinator;
  groups: GroupCoordinator;
}): ApiHandler<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse> {
  return {
    apiKey: ApiKey.AddOffsetsToTxn,
    minVersion: 0,
    maxVersion: 4,
    request: addOffsetsToTxnRequest,
    response: addOffsetsToTxnResponse,
    async handle(request, { apiVersion }) {
      const prepared = await deps.groups.prepare();
      const partition = deps.groups.partitionOf(request.groupId);
      if (prepared !== ErrorCode.NONE || partition === null)
        return createAddOffsetsToTxnResponse({ errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE });
      const error = await deps.transactions.addPartitionsInTurn(
        request.transactionalId,
        request,
        [{ topic: OFFSETS_TOPIC, partition }],
        TransactionVersion.classic,
      );
      return createAddOffsetsToTxnResponse({ errorCode: fencedFor(error, apiVersion >= KNOWS_FENCED) });
    },
  };
}

import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { TransactionVersion } from '../../broker/transactions/transaction.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { type EndTxnRequest, endTxnRequest } from '../../protocol/generated/end-txn-request.ts';
import {
  createEndTxnResponse,
  type EndTxnResponse,
  endTxnResponse,
} from '../../protocol/generated/end-txn-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { errorCodeOf } from './error-code.ts';
import { fencedFor } from './transaction-errors.ts';

/** From this version clients know PRODUCER_FENCED. */
const KNOWS_FENCED = 2;
/** From this version the epoch rises with every transaction, and the answer says how the producer goes on (KIP-890). */
const RAISES_EPOCH = 5;

/** EndTxn, versions 0 to 5: answered when it is certain how the transaction ends. */
export function endTxnHandler(deps: {
  transactions: TransactionCoordinator;
}): ApiHandler<EndTxnRequest, EndTxnResponse> {
  return {
    apiKey: ApiKey.EndTxn,
    minVersion: 0,
    maxVersion: 5,
    request: endTxnRequest,
    response: endTxnResponse,
    async handle({ transactionalId, producerId, producerEpoch, committed: commit }, { apiVersion }) {
      const raises = apiVersion >= RAISES_EPOCH;
      const version = raises ? TransactionVersion.epochPerTransaction : TransactionVersion.classic;
      try {
        const request = { producerId, producerEpoch, commit, version };
        const result = await deps.transactions.end(transactionalId, request);
        if (result.errorCode !== ErrorCode.NONE)
          return createEndTxnResponse({ errorCode: fencedFor(result.errorCode, apiVersion >= KNOWS_FENCED) });
        return createEndTxnResponse(raises ? result : {});
      } catch (error) {
        return createEndTxnResponse({ errorCode: errorCodeOf(error) });
      }
    },
  };
}

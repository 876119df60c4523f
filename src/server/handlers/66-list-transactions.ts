import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { TRANSACTION_STATES } from '../../broker/transactions/transaction.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type ListTransactionsRequest,
  listTransactionsRequest,
} from '../../protocol/generated/list-transactions-request.ts';
import {
  createListTransactionsResponse,
  type ListTransactionsResponse,
  listTransactionsResponse,
} from '../../protocol/generated/list-transactions-response.ts';
import type { Clock } from '../../util/clock.ts';
import { matching, Slices, tryCompile } from '../../util/re2.ts';
import type { ApiHandler } from '../net/handler.ts';

const KNOWN_STATES: ReadonlySet<string> = new Set(TRANSACTION_STATES);

/** ListTransactions, versions 0 to 2: transactional ids by state, producer id, duration (from 1) and pattern (from 2). */
export function listTransactionsHandler(deps: {
  transactions: TransactionCoordinator;
  clock: Clock;
}): ApiHandler<ListTransactionsRequest, ListTransactionsResponse> {
  return {
    apiKey: ApiKey.ListTransactions,
    minVersion: 0,
    maxVersion: 2,
    request: listTransactionsRequest,
    response: listTransactionsResponse,
    async handle(request) {
      const { stateFilters, producerIdFilters, transactionalIdPattern, durationFilter } = request;
      const { shards } = deps.transactions;
      const isLoading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
      // One whose log has failed has no transactions any more, which keeps nobody from those of others.
      if (shards.some(({ unavailable }) => unavailable === isLoading))
        return createListTransactionsResponse({ errorCode: isLoading });
      const regex = transactionalIdPattern ? tryCompile(transactionalIdPattern) : 'all';
      if (regex === null)
        return createListTransactionsResponse({ errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION });
      const states = new Set(stateFilters);
      const producerIds = new Set(producerIdFilters);
      const now = BigInt(deps.clock.now());
      const listed = shards
        .flatMap(({ entries }) => [...entries.values()])
        .filter(({ current: { state, producerId, startMs } }) => {
          if (states.size > 0 && !states.has(state)) return false;
          if (producerIds.size > 0 && !producerIds.has(producerId)) return false;
          return durationFilter < 0n || now - BigInt(startMs) > durationFilter;
        })
        .map(({ transactionalId, current: { producerId, state } }) => ({
          transactionalId,
          producerId,
          transactionState: state,
        }));
      const idOf = ({ transactionalId }: { transactionalId: string }) => transactionalId;
      return createListTransactionsResponse({
        unknownStateFilters: [...states].filter((state) => !KNOWN_STATES.has(state)),
        transactionStates:
          regex === 'all' ? listed : await matching(regex, listed, idOf, new Slices(deps.clock)),
      });
    },
  };
}

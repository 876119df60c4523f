import type { ProducerIds } from '../../broker/producers/producer-ids.ts';
import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type InitProducerIdRequest,
  initProducerIdRequest,
} from '../../protocol/generated/init-producer-id-request.ts';
import {
  createInitProducerIdResponse,
  type InitProducerIdResponse,
  initProducerIdResponse,
} from '../../protocol/generated/init-producer-id-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { errorCodeOf } from './error-code.ts';
import { fencedFor } from './transaction-errors.ts';

const NO_PRODUCER_ID = -1n;
const NO_PRODUCER_EPOCH = -1;
/** From this version clients know PRODUCER_FENCED. */
const KNOWS_FENCED = 4;

/**
 * InitProducerId, versions 0 to 5. Without a transactional id a new producer id with epoch 0 each time, as Kafka answers, also when
 * the producer asks to go on with an id it has. With one: its producer id with the next epoch, which fences whoever had it.
 */
export function initProducerIdHandler(deps: {
  producerIds: ProducerIds;
  transactions: TransactionCoordinator;
}): ApiHandler<InitProducerIdRequest, InitProducerIdResponse> {
  return {
    apiKey: ApiKey.InitProducerId,
    minVersion: 0,
    maxVersion: 5,
    request: initProducerIdRequest,
    response: initProducerIdResponse,
    async handle(request, { apiVersion }) {
      const { transactionalId, producerId, producerEpoch, transactionTimeoutMs: timeoutMs } = request;
      const halfGiven = (producerId === NO_PRODUCER_ID) !== (producerEpoch === NO_PRODUCER_EPOCH);
      if (halfGiven || transactionalId === '') return failure(ErrorCode.INVALID_REQUEST);
      try {
        if (transactionalId === null)
          return createInitProducerIdResponse({
            producerId: await deps.producerIds.next(),
            producerEpoch: 0,
          });
        const expected = producerId === NO_PRODUCER_ID ? null : { producerId, producerEpoch };
        const result = await deps.transactions.initProducer({ transactionalId, timeoutMs, expected });
        if (result.errorCode === ErrorCode.NONE) return createInitProducerIdResponse(result);
        return failure(fencedFor(result.errorCode, apiVersion >= KNOWS_FENCED));
      } catch (error) {
        return failure(errorCodeOf(error));
      }
    },
  };
}

function failure(errorCode: number): InitProducerIdResponse {
  return createInitProducerIdResponse({
    errorCode,
    producerId: NO_PRODUCER_ID,
    producerEpoch: NO_PRODUCER_EPOCH,
  });
}

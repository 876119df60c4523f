import type { ProducerIds } from '../../broker/producers/producer-ids.ts';
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

const NO_PRODUCER_ID = -1n;
const NO_PRODUCER_EPOCH = -1;

/**
 * InitProducerId, versions 0 to 5, for idempotent producers: a new id with epoch 0 each time, as Kafka answers those without a
 * transactional id, also when they ask to go on with an id they have. Transactions are refused with UNSUPPORTED_VERSION, on which
 * clients give up instead of trying again.
 */
export function initProducerIdHandler({
  producerIds,
}: {
  producerIds: ProducerIds;
}): ApiHandler<InitProducerIdRequest, InitProducerIdResponse> {
  return {
    apiKey: 22,
    minVersion: 0,
    maxVersion: 5,
    request: initProducerIdRequest,
    response: initProducerIdResponse,
    async handle({ transactionalId, producerId, producerEpoch }) {
      const halfGiven = (producerId === NO_PRODUCER_ID) !== (producerEpoch === NO_PRODUCER_EPOCH);
      if (halfGiven || transactionalId === '') return failure(ErrorCode.INVALID_REQUEST);
      if (transactionalId !== null) return failure(ErrorCode.UNSUPPORTED_VERSION);
      try {
        return createInitProducerIdResponse({ producerId: await producerIds.next(), producerEpoch: 0 });
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

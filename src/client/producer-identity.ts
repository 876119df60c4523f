import { initProducerIdRequest } from '../protocol/generated/init-producer-id-request.ts';
import { initProducerIdResponse } from '../protocol/generated/init-producer-id-response.ts';
import { monotonicMs } from '../util/clock.ts';
import type { Cluster } from './cluster.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { brokerError } from './errors.ts';
import { withRetries } from './retries.ts';

const INIT_PRODUCER_ID_VERSION = 4;
/** Of transactions that there are none of, as Kafka's clients say it. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;

/** Who produces: the gateway tells by it what it has already, and who was fenced. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** An id of its own for an idempotent producer. */
export async function newIdentity(cluster: Cluster, doing: string): Promise<ProducerIdentity> {
  const connection = await cluster.connection(-1, 'control');
  const { errorCode, producerId, producerEpoch } = await connection.call(
    initProducerIdRequest,
    initProducerIdResponse,
    { transactionalId: null, transactionTimeoutMs: NO_TIMEOUT_MS, producerId: -1n, producerEpoch: -1 },
    { version: INIT_PRODUCER_ID_VERSION, doing },
  );
  if (errorCode !== 0) throw brokerError(errorCode, null, doing);
  return { producerId, producerEpoch };
}

/**
 * The id of a transactional producer, in a new epoch: producers before it are fenced, and their open transaction is ended.
 * @param before as whom it goes on: rejects with FENCED when another producer has begun since. Null: whoever was before
 */
export function transactionalIdentity(
  cluster: Cluster,
  transactionalId: string,
  transactionTimeoutMs: number,
  timeoutMs: number,
  before: ProducerIdentity | null,
): Promise<ProducerIdentity> {
  const { producerId: expectedId = -1n, producerEpoch: expectedEpoch = -1 } = before ?? {};
  const doing = `begin as transactional producer ${transactionalId}`;
  const coordinator = new CoordinatorLink(cluster, 'transaction', transactionalId, 'control');
  return withRetries(monotonicMs() + timeoutMs, async () => {
    const { errorCode, producerId, producerEpoch } = await coordinator.call(
      initProducerIdRequest,
      initProducerIdResponse,
      { transactionalId, transactionTimeoutMs, producerId: expectedId, producerEpoch: expectedEpoch },
      { version: INIT_PRODUCER_ID_VERSION, doing, errorsOf: (answer) => [answer.errorCode] },
    );
    if (errorCode !== 0) throw brokerError(errorCode, null, doing);
    return { producerId, producerEpoch };
  });
}

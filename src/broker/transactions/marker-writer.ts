import { ErrorCode } from '../../protocol/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { TransactionMarker } from '../transaction-marker.ts';
import type { TransactionPartitions } from './ports.ts';
import { partitionsOf, type TopicPartition, type Transaction } from './transaction.ts';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5_000;

/** Writes the markers of transactions whose end is certain, each until it is written or needs no writing any more. */
export class MarkerWriter {
  readonly #partitions: TransactionPartitions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(partitions: TransactionPartitions, clock: Clock, logger: Logger) {
    this.#partitions = partitions;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Resolves when the markers are in all partitions of the transaction; never after `close`, unless they are. */
  async write(transactionalId: string, transaction: Transaction, coordinatorEpoch: number): Promise<void> {
    const { producerId, producerEpoch, state } = transaction;
    const marker = { producerId, producerEpoch, coordinatorEpoch, commit: state === 'PrepareCommit' };
    const places = [...partitionsOf(transaction)];
    await Promise.all(places.map((place) => this.#writeOne(transactionalId, place, marker)));
  }

  /** Ends all attempts. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  async #writeOne(
    transactionalId: string,
    { topic, partition }: TopicPartition,
    marker: TransactionMarker,
  ): Promise<void> {
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
      try {
        return await this.#partitions.writeMarker(topic, partition, marker);
      } catch (error) {
        // The next start goes on.
        if (this.#closed) await new Promise(() => undefined);
        const errorCode = (error as { code?: unknown }).code;
        const fields = { transactionalId, topic, partition, errorCode, err: error };
        if (isSettled(errorCode)) {
          this.#logger.warn(fields, 'a newer producer or coordinator has ended a transaction');
          return;
        }
        if (errorCode !== ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
          this.#logger.warn(fields, 'the end of a transaction could not be written and is tried again');
        await this.#pause(waitMs);
      }
    }
  }

  #pause(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(waitMs, () => {
        this.#timers.delete(timer);
        resolve();
      });
      this.#timers.add(timer);
    });
  }
}

/** Whether the partition says that somebody with more authority was there. */
function isSettled(errorCode: unknown): boolean {
  return (
    errorCode === ErrorCode.INVALID_PRODUCER_EPOCH || errorCode === ErrorCode.TRANSACTION_COORDINATOR_FENCED
  );
}

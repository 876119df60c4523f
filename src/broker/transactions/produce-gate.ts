import { ErrorCode } from '../../protocol/errors.ts';
import type { TransactionCoordinator } from './coordinator.ts';
import { type ProducerIdentity, type TopicPartition, TransactionVersion } from './transaction.ts';

/** How long writes wait for the end of the transaction before, as Kafka's broker asks again for so long. */
const CONCURRENT_WAIT_MS = 100;
/** Refusals after which clients send the same again. */
const COMES_AGAIN: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.CONCURRENT_TRANSACTIONS,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
]);

/** Writes of a producer within its transaction. */
export interface TransactionalWrite extends ProducerIdentity {
  readonly transactionalId: string;
  readonly partitions: readonly TopicPartition[];
  /** Since KIP-890 clients leave it to the broker to add partitions to the transaction. */
  readonly addsPartitions: boolean;
}

/** Lets writes pass that belong to an open transaction of their producer, in the order in which they came. */
export class ProduceGate {
  readonly #coordinator: TransactionCoordinator;
  /** The last writes of each producer that had to wait. */
  readonly #last = new Map<bigint, Promise<ErrorCode>>();

  constructor(coordinator: TransactionCoordinator) {
    this.#coordinator = coordinator;
  }

  /**
   * NONE, or why the write must not take place; at once if possible. Whoever gets a promise has to go on in its first `then`, attached
   * before anything else is let in, so that the order is kept.
   */
  admit(write: TransactionalWrite): ErrorCode | Promise<ErrorCode> {
    const { producerId } = write;
    const before = this.#last.get(producerId);
    if (before === undefined) {
      const error = this.#check(write);
      if (error === ErrorCode.NONE || !write.addsPartitions) return error;
    }
    const admitted = (before ?? Promise.resolve(ErrorCode.NONE)).then((error) =>
      // Before what comes again nothing may be written that follows it.
      COMES_AGAIN.has(error) ? error : this.#admitLater(write),
    );
    this.#last.set(producerId, admitted);
    // One turn after whoever waits for it has gone on.
    const done = () => undefined;
    void admitted.then(done, done).then(() => {
      if (this.#last.get(producerId) === admitted) this.#last.delete(producerId);
    });
    return admitted;
  }

  async #admitLater(write: TransactionalWrite): Promise<ErrorCode> {
    if (!write.addsPartitions) return this.#check(write);
    const { transactionalId, partitions } = write;
    const version = TransactionVersion.epochPerTransaction;
    const error = await this.#coordinator.addPartitions(transactionalId, write, partitions, version);
    if (error !== ErrorCode.CONCURRENT_TRANSACTIONS) return error;
    await this.#coordinator.changed(transactionalId, CONCURRENT_WAIT_MS);
    return this.#coordinator.addPartitions(transactionalId, write, partitions, version);
  }

  #check(write: TransactionalWrite): ErrorCode {
    if (!write.addsPartitions && !this.#coordinator.config.verifiesPartitions) return ErrorCode.NONE;
    for (const partition of write.partitions) {
      const error = this.#coordinator.verify(write.transactionalId, write, partition);
      if (error !== ErrorCode.NONE) return error;
    }
    return ErrorCode.NONE;
  }
}

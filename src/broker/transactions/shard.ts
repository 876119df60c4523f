import { ErrorCode } from '../../protocol/errors.ts';
import { NO_PRODUCER_EPOCH, NO_PRODUCER_ID } from '../../protocol/records/batch-header.ts';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { CoordinatorShard } from '../coordinator-shards.ts';
import { transactionAppendError } from './append-errors.ts';
import { TransactionEntry } from './entry.ts';
import { MarkerWriter } from './marker-writer.ts';
import type { TransactionLog, TransactionPartitions } from './ports.ts';
import { parseTransaction, transactionRecord, transactionTombstone } from './records.ts';
import {
  addPartitions,
  completed,
  type EndRequest,
  initialize,
  isFenced,
  isPreparing,
  mayExpire,
  mayGoOn,
  NO_EPOCH_LEFT,
  needsNewProducerId,
  newTransaction,
  type ProducerIdentity,
  prepareEnd,
  type Step,
  type TopicPartition,
  type Transaction,
  TransactionVersion,
} from './transaction.ts';

export interface TransactionShardOptions {
  /** Of __transaction_state. */
  readonly partition: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: TransactionLog;
  readonly partitions: TransactionPartitions;
  readonly metrics: TransactionMetrics;
  /** A producer id that was never given out. Rejects with an error that has a Kafka error code. */
  newProducerId(): Promise<bigint>;
}

/** Counters, for the metrics. */
export interface TransactionMetrics {
  committed: number;
  aborted: number;
  /** Of those aborted, because they took too long. */
  timedOut: number;
}

/** How long after a failure the log is read, or the end of a transaction written, again. */
const RETRY_MS = 1_000;
/** More expired ids are removed in several appends. */
const TOMBSTONES_PER_APPEND = 1_000;

/** The identity with which a producer goes on, or an error. */
export type Identified = (ProducerIdentity & { readonly errorCode: typeof ErrorCode.NONE }) | Failed;
interface Failed {
  readonly errorCode: ErrorCode;
}

export interface InitRequest {
  readonly transactionalId: string;
  readonly timeoutMs: number;
  /** Of a producer that goes on after an error. */
  readonly expected: ProducerIdentity | null;
}

/**
 * The transactions of one partition of __transaction_state. Every step is decided by a pure function (`transaction.ts`), written to
 * the log, and taken when it is written; until then the id answers CONCURRENT_TRANSACTIONS. While `unavailable` is not NONE only `load`,
 * `close` and `unavailable` may be called.
 */
export class TransactionShard implements CoordinatorShard {
  readonly entries = new Map<string, TransactionEntry>();
  readonly #options: TransactionShardOptions;
  readonly #markers: MarkerWriter;
  #unavailable: ErrorCode = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
  #coordinatorEpoch = 0;
  readonly #timers = new Set<Timer>();

  constructor(options: TransactionShardOptions) {
    this.#options = options;
    this.#markers = new MarkerWriter(options.partitions, options.clock, options.logger);
  }

  /** NONE while the shard serves, else what its callers are told. */
  get unavailable(): ErrorCode {
    return this.#unavailable;
  }

  /**
   * Reads the shard back from its log, begins to serve, and goes on with what was prepared. A log that cannot be read is tried
   * again later. Resolves after the first attempt.
   */
  async load(): Promise<void> {
    const { log, partition, logger } = this.#options;
    try {
      this.#coordinatorEpoch = await log.replay(partition, (key, value) => this.#replay(key, value));
    } catch (error) {
      this.entries.clear();
      if (this.#isClosed) return;
      logger.error({ partition, err: error }, 'the transactions of a partition could not be loaded');
      this.#later(() => void this.load());
      return;
    }
    if (this.#isClosed) {
      this.entries.clear();
      return;
    }
    this.#unavailable = ErrorCode.NONE;
    for (const entry of this.entries.values()) if (isPreparing(entry.current)) void this.#finish(entry);
    logger.info({ partition, transactionalIds: this.entries.size }, 'transactions loaded');
  }

  /** Ends serving. Writes under way finish without effect; the next start goes on with what was prepared. */
  close(): void {
    this.#unavailable = ErrorCode.NOT_COORDINATOR;
    this.#markers.close();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    for (const entry of this.entries.values()) entry.notify();
    this.entries.clear();
  }

  /** InitProducerId: fences whoever had the transactional id, and aborts what it had open. */
  async initProducer({ transactionalId, timeoutMs, expected }: InitRequest): Promise<Identified> {
    const { clock, newProducerId } = this.#options;
    let newId: bigint | null = null;
    const known = this.entries.get(transactionalId);
    if (known === undefined || needsNewProducerId(known.current, expected)) {
      newId = await newProducerId();
      if (this.#isClosed) return failed(ErrorCode.NOT_COORDINATOR);
    }
    let entry = this.entries.get(transactionalId);
    if (entry === undefined) {
      if (newId === null) return failed(ErrorCode.CONCURRENT_TRANSACTIONS);
      entry = new TransactionEntry(transactionalId, newTransaction(newId, timeoutMs, clock.now()));
      this.entries.set(transactionalId, entry);
      newId = null;
    }
    const { current } = entry;
    if (entry.isChanging || isPreparing(current)) return failed(ErrorCode.CONCURRENT_TRANSACTIONS);
    if (!mayGoOn(current, expected)) return failed(ErrorCode.PRODUCER_FENCED);
    if (current.state === 'Ongoing') {
      const { errorCode } = await this.#fence(entry);
      return failed(errorCode === ErrorCode.NONE ? ErrorCode.CONCURRENT_TRANSACTIONS : errorCode);
    }
    if (!needsNewProducerId(current, expected)) newId = null;
    else if (newId === null) return failed(ErrorCode.CONCURRENT_TRANSACTIONS);
    const step = initialize(current, expected, newId, timeoutMs, clock.now());
    const error = await this.#take(entry, step);
    if (error !== ErrorCode.NONE) {
      // One of which nothing was ever written is not kept.
      if (entry.current.producerEpoch === NO_PRODUCER_EPOCH) this.entries.delete(transactionalId);
      return failed(error);
    }
    return identified(step as Transaction);
  }

  /** Adds partitions to a transaction, or begins it with them. */
  async addPartitions(
    transactionalId: string,
    producer: ProducerIdentity,
    partitions: readonly TopicPartition[],
    version: TransactionVersion,
  ): Promise<ErrorCode> {
    const entry = this.entries.get(transactionalId);
    if (entry === undefined) return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
    if (isFenced(entry.current, producer)) return ErrorCode.PRODUCER_FENCED;
    if (entry.isChanging) return ErrorCode.CONCURRENT_TRANSACTIONS;
    return this.#take(
      entry,
      addPartitions(entry.current, producer, partitions, version, this.#options.clock.now()),
    );
  }

  /** EndTxn. Resolves when it is certain how the transaction ends; its markers follow. */
  async end(transactionalId: string, request: Omit<EndRequest, 'nextProducerId'>): Promise<Identified> {
    const { clock, newProducerId } = this.#options;
    const known = this.entries.get(transactionalId);
    if (known === undefined) return failed(ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    let step = prepareEnd(known.current, { ...request, nextProducerId: NO_PRODUCER_ID }, clock.now());
    if (typeof step !== 'number' && mustRotate(step)) {
      const nextProducerId = await newProducerId();
      if (this.entries.get(transactionalId) !== known) return failed(ErrorCode.NOT_COORDINATOR);
      step = prepareEnd(known.current, { ...request, nextProducerId }, clock.now());
    }
    if (known.isChanging) {
      const isStranger = step === ErrorCode.INVALID_PRODUCER_ID_MAPPING || step === ErrorCode.PRODUCER_FENCED;
      // With an epoch for each transaction a stranger may be who knows of the step that is being written.
      if (isStranger && request.version === TransactionVersion.classic) return failed(step as ErrorCode);
      return failed(ErrorCode.CONCURRENT_TRANSACTIONS);
    }
    const error = await this.#take(known, step);
    if (error !== ErrorCode.NONE) return failed(error);
    if (typeof step === 'number') return identified(known.current);
    void this.#finish(known);
    return identified(completed(step, clock.now()));
  }

  /** Aborts transactions that are open for longer than their time-out. */
  abortTimedOut(): void {
    const { clock, logger, metrics } = this.#options;
    const now = clock.now();
    for (const entry of this.entries.values()) {
      const { state, startMs, timeoutMs } = entry.current;
      if (state !== 'Ongoing' || entry.isChanging || startMs + timeoutMs >= now) continue;
      const fields = { transactionalId: entry.transactionalId, timeoutMs };
      const warn = (cause: object) =>
        logger.warn({ ...fields, ...cause }, 'a transaction that timed out could not be aborted');
      this.#fence(entry).then(
        ({ errorCode }) => {
          if (errorCode !== ErrorCode.NONE) return warn({ errorCode });
          metrics.timedOut++;
          logger.info(fields, 'a transaction that timed out is aborted');
        },
        (error: unknown) => warn({ err: error }),
      );
    }
  }

  /** Forgets transactional ids that nobody has used since `before`. */
  async removeExpired(before: number): Promise<void> {
    const { log, partition, logger } = this.#options;
    const isExpired = ({ isChanging, current }: TransactionEntry) =>
      !isChanging && mayExpire(current) && current.updateMs <= before;
    const expired = [...this.entries.values()].filter(isExpired);
    for (let start = 0; start < expired.length; start += TOMBSTONES_PER_APPEND) {
      // Some may have been used while those before them were removed.
      const some = expired.slice(start, start + TOMBSTONES_PER_APPEND).filter(isExpired);
      for (const entry of some) entry.isChanging = true;
      try {
        const tombstones = some.map(({ transactionalId }) => transactionTombstone(transactionalId));
        if (some.length > 0) await log.append(partition, tombstones);
        for (const { transactionalId } of some) this.entries.delete(transactionalId);
      } catch (error) {
        logger.warn({ partition, err: error }, 'expired transactional ids could not be removed');
      }
      for (const entry of some) this.#settled(entry);
    }
  }

  get #isClosed(): boolean {
    return this.#unavailable === ErrorCode.NOT_COORDINATOR;
  }

  #replay(key: Uint8Array, value: Uint8Array | null): void {
    const { partition, logger } = this.#options;
    try {
      const record = parseTransaction(key, value);
      if (record === null) return;
      const { transactionalId, transaction } = record;
      if (transaction === null) this.entries.delete(transactionalId);
      else this.entries.set(transactionalId, new TransactionEntry(transactionalId, transaction));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      logger.error({ partition, err: error }, 'a record of __transaction_state is malformed and was skipped');
    }
  }

  /** Writes a step and takes it. The result is NONE or what the client is told. */
  async #take(entry: TransactionEntry, step: Step): Promise<ErrorCode> {
    if (typeof step === 'number') return step;
    const { log, partition, logger } = this.#options;
    const { transactionalId } = entry;
    entry.isChanging = true;
    try {
      await log.append(partition, [transactionRecord(transactionalId, step)]);
      if (this.#isClosed) return ErrorCode.NOT_COORDINATOR;
      entry.current = step;
      return ErrorCode.NONE;
    } catch (error) {
      const errorCode = transactionAppendError(error);
      logger.warn(
        { transactionalId, state: step.state, errorCode, err: error },
        'a transaction could not be written',
      );
      return errorCode;
    } finally {
      this.#settled(entry);
    }
  }

  #settled(entry: TransactionEntry): void {
    entry.isChanging = false;
    entry.notify();
  }

  /**
   * Aborts an open transaction with the next epoch, for which its producer is too old. As in Kafka that is the epoch with which a producer that
   * has a new one for each transaction goes on when it aborts the transaction itself.
   */
  #fence({ transactionalId, current: { producerId, producerEpoch } }: TransactionEntry): Promise<Identified> {
    const version = TransactionVersion.epochPerTransaction;
    return this.end(transactionalId, { producerId, producerEpoch, commit: false, version });
  }

  /** Writes the markers of a transaction whose end is certain, then that it is complete; tries until both are done. */
  async #finish(entry: TransactionEntry): Promise<void> {
    const { transactionalId, current } = entry;
    // Until the end, nothing but this changes the entry.
    await this.#markers.write(transactionalId, current, this.#coordinatorEpoch);
    for (;;) {
      if (this.#isClosed) return;
      const error = await this.#take(entry, completed(current, this.#options.clock.now()));
      if (error === ErrorCode.NONE) return this.#count(current);
      if (this.#isClosed) return;
      await new Promise<void>((resolve) => this.#later(resolve));
    }
  }

  #count({ state }: Transaction): void {
    const { metrics } = this.#options;
    if (state === 'PrepareCommit') metrics.committed++;
    else metrics.aborted++;
  }

  #later(action: () => void): void {
    const timer = this.#options.clock.setTimer(RETRY_MS, () => {
      this.#timers.delete(timer);
      action();
    });
    this.#timers.add(timer);
  }
}

/** Whether a prepared end leaves no epoch to go on with, so that the producer needs another id. */
function mustRotate({ producerEpoch, version, nextProducerId }: Transaction): boolean {
  return (
    version !== TransactionVersion.classic &&
    producerEpoch === NO_EPOCH_LEFT &&
    nextProducerId === NO_PRODUCER_ID
  );
}

function identified({ producerId, producerEpoch }: ProducerIdentity): Identified {
  return { errorCode: ErrorCode.NONE, producerId, producerEpoch };
}

function failed(errorCode: ErrorCode): Failed {
  return { errorCode };
}

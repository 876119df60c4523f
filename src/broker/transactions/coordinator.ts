import { ErrorCode } from '../../protocol/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { CoordinatorShards, type CoordinatorTopic } from '../coordinator-shards.ts';
import type { TransactionConfig } from './config.ts';
import type { TransactionLog, TransactionPartitions } from './ports.ts';
import { type Identified, type InitRequest, type TransactionMetrics, TransactionShard } from './shard.ts';
import {
  type EndRequest,
  hasPartition,
  isPreparing,
  type ProducerIdentity,
  type TopicPartition,
  type TransactionState,
  type TransactionVersion,
} from './transaction.ts';

/** How long a request waits for the step that one before it has taken, which is a matter of one write. */
const STEP_WAIT_MS = 100;

export interface TransactionCoordinatorOptions {
  readonly clock: Clock;
  readonly config: TransactionConfig;
  readonly logger: Logger;
  readonly log: TransactionLog;
  readonly topic: CoordinatorTopic;
  readonly partitions: TransactionPartitions;
  /** A producer id that was never given out. Rejects with an error that has a Kafka error code. */
  newProducerId(): Promise<bigint>;
}

/** The transaction coordinator of this broker: it leads every partition of __transaction_state, one shard each. */
export class TransactionCoordinator {
  readonly config: TransactionConfig;
  readonly metrics: TransactionMetrics = { committed: 0, aborted: 0, timedOut: 0 };
  readonly #clock: Clock;
  readonly #shards: CoordinatorShards<TransactionShard>;
  #timers: Timer[] = [];

  constructor(options: TransactionCoordinatorOptions) {
    const { clock, config, logger, log, topic, partitions } = options;
    this.config = config;
    this.#clock = clock;
    const newProducerId = () => options.newProducerId();
    const shared = { clock, logger, log, partitions, metrics: this.metrics, newProducerId };
    this.#shards = new CoordinatorShards(
      topic,
      logger,
      (partition) => new TransactionShard({ partition, ...shared }),
    );
  }

  /** Begins to load all transactions if the topic exists, and to watch over them; resolves when every shard has been tried once. */
  start(): Promise<void> {
    this.#every(this.config.abortTimedOutIntervalMs, () => {
      for (const shard of this.#serving()) shard.abortTimedOut();
    });
    this.#every(this.config.removeExpiredIntervalMs, () => {
      const before = this.#clock.now() - this.config.idExpirationMs;
      for (const shard of this.#serving()) void shard.removeExpired(before);
    });
    return this.#shards.start();
  }

  /** Makes sure that there are shards. Returns NONE or what a client is told that looks for the coordinator of a transactional id. */
  find(transactionalId: string): Promise<ErrorCode> {
    return this.#shards.find(transactionalId);
  }

  /** See `CoordinatorShards.topicCreated`. */
  topicCreated(): Promise<void> {
    return this.#shards.topicCreated();
  }

  /** See `CoordinatorShards.resign`. */
  resign(partition: number): void {
    this.#shards.resign(partition);
  }

  /** Nothing is served afterwards; transactions stay as they are until the next start. */
  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
    this.#shards.close();
  }

  get shards(): readonly TransactionShard[] {
    return this.#shards.all;
  }

  /** The shard of a transactional id, or the error that its clients get for now. */
  shardOf(transactionalId: string): TransactionShard | ErrorCode {
    return transactionalId === '' ? ErrorCode.INVALID_REQUEST : this.#shards.of(transactionalId);
  }

  /** InitProducerId with a transactional id. Rejects with an error that has a Kafka error code. */
  async initProducer(request: InitRequest): Promise<Identified> {
    const shard = this.shardOf(request.transactionalId);
    if (request.transactionalId !== '' && !this.#allows(request.timeoutMs))
      return { errorCode: ErrorCode.INVALID_TRANSACTION_TIMEOUT };
    return typeof shard === 'number' ? { errorCode: shard } : shard.initProducer(request);
  }

  /** Adds partitions to a transaction, or begins it with them. */
  async addPartitions(
    transactionalId: string,
    producer: ProducerIdentity,
    partitions: readonly TopicPartition[],
    version: TransactionVersion,
  ): Promise<ErrorCode> {
    const shard = this.shardOf(transactionalId);
    if (typeof shard === 'number') return shard;
    return shard.addPartitions(transactionalId, producer, partitions, version);
  }

  /**
   * As `addPartitions`, but waits for a step that is being written. Clients ask for partitions and for offsets before either is answered;
   * Kafka takes up the requests of a connection one after the other.
   */
  async addPartitionsInTurn(...addition: Parameters<TransactionShard['addPartitions']>): Promise<ErrorCode> {
    const [transactionalId] = addition;
    const untilMs = this.#clock.now() + STEP_WAIT_MS;
    for (let leftMs = STEP_WAIT_MS; leftMs > 0 && this.#isChanging(transactionalId); ) {
      await this.changed(transactionalId, leftMs);
      leftMs = untilMs - this.#clock.now();
    }
    return this.addPartitions(...addition);
  }

  #isChanging(transactionalId: string): boolean {
    const shard = this.shardOf(transactionalId);
    return typeof shard !== 'number' && (shard.entries.get(transactionalId)?.isChanging ?? false);
  }

  /** EndTxn. Rejects with an error that has a Kafka error code. */
  async end(transactionalId: string, request: Omit<EndRequest, 'nextProducerId'>): Promise<Identified> {
    const shard = this.shardOf(transactionalId);
    return typeof shard === 'number' ? { errorCode: shard } : shard.end(transactionalId, request);
  }

  /** NONE if the producer has an open transaction with this partition, else what Kafka says to those who verify that. */
  verify(
    transactionalId: string,
    { producerId, producerEpoch }: ProducerIdentity,
    partition: TopicPartition,
  ): ErrorCode {
    const shard = this.shardOf(transactionalId);
    if (typeof shard === 'number') return shard;
    const current = shard.entries.get(transactionalId)?.current;
    if (current === undefined || current.producerId !== producerId)
      return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
    if (current.producerEpoch !== producerEpoch) return ErrorCode.PRODUCER_FENCED;
    if (isPreparing(current)) return ErrorCode.CONCURRENT_TRANSACTIONS;
    return hasPartition(current, partition) ? ErrorCode.NONE : ErrorCode.TRANSACTION_ABORTABLE;
  }

  /** How many transactional ids are in each state. */
  states(): Map<TransactionState, number> {
    const counts = new Map<TransactionState, number>();
    for (const { entries } of this.#serving())
      for (const { current } of entries.values())
        counts.set(current.state, (counts.get(current.state) ?? 0) + 1);
    return counts;
  }

  /** Resolves when the next step of a transaction is taken, or `limitMs` are over. */
  changed(transactionalId: string, limitMs: number): Promise<void> {
    const shard = this.shardOf(transactionalId);
    const entry = typeof shard === 'number' ? undefined : shard.entries.get(transactionalId);
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        forget?.();
        resolve();
      };
      const timer = this.#clock.setTimer(limitMs, done);
      const forget = entry?.onChange(done);
    });
  }

  #allows(timeoutMs: number): boolean {
    return timeoutMs > 0 && timeoutMs <= this.config.maxTimeoutMs;
  }

  #serving(): TransactionShard[] {
    return this.#shards.all.filter(({ unavailable }) => unavailable === ErrorCode.NONE);
  }

  #every(intervalMs: number, action: () => void): void {
    const index = this.#timers.length;
    const repeat = () => {
      this.#timers[index] = this.#clock.setTimer(intervalMs, () => {
        repeat();
        action();
      });
    };
    repeat();
  }
}

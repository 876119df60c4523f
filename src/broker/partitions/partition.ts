import { LogError, storageError } from '../../backend/log/errors.ts';
import type { PartitionLog } from '../../backend/log/partition-log.ts';
import type { ClientOrigin } from '../../backend/log/producer-entry.ts';
import type { PayloadError } from '../../backend/payload/checked-reads.ts';
import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { NativeMemory } from '../../native/arena.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { PartitionConfig } from './config.ts';
import { RecentlyDiverted } from './diverted-batch.ts';
import type { FetchWait, Isolation, Watched } from './fetch-wait.ts';
import { PayloadRelease } from './payload-release.ts';
import type { Appended } from './produce-job.ts';
import { type DivertedEvent, ProducePipeline } from './produce-pipeline.ts';
import { ProduceError } from './produce-rules.ts';
import { payloadOptionsOf } from './topic-settings.ts';

/** Consumers ask again and again for what is out of reach, or behind damage: it is told once in so long. */
const TOLD_EVERY_MS = 60_000;

/** Counters of all partitions, for the metrics. */
export interface PartitionMetrics {
  divertedRecords: number;
  divertedBytes: number;
  /** Reads that found payload missing or damaged. */
  payloadErrors: number;
  /** Reads of payload at stores, or in a bucket, that did not answer. */
  unreachablePayloads: number;
  /** How often segments gave back the space of what no record refers to, and how much that was. */
  cleanedSegments: number;
  cleanedBytes: number;
}

export interface PartitionDependencies {
  topicId: Uuid;
  log: PartitionLog;
  payloads: PartitionPayloads;
  config: PartitionConfig;
  clock: Clock;
  logger: Logger;
  metrics: PartitionMetrics;
}

/** One partition: its log, its payload, and whoever waits for either. */
export class Partition implements Watched {
  /** Another one than that of a later topic of this name. */
  readonly topicId: Uuid;
  readonly log: PartitionLog;
  readonly payloads: PartitionPayloads;
  readonly waiters = new Set<FetchWait>();
  readonly recentlyDiverted = new RecentlyDiverted();
  /** Of what the last fetch was to give, with its payload, the part that is in the log. */
  logShare = 1;
  readonly logger: Logger;
  readonly metrics: PartitionMetrics;
  config: PartitionConfig;
  readonly #produce: ProducePipeline;
  readonly #release: PayloadRelease;
  /** Of what was written behind the last stable offset, about; it comes to read_committed consumers when that rises. */
  #unstableBytes = 0;
  #closed = false;
  readonly #clock: Clock;
  readonly #toldMs = {
    unreachable: Number.NEGATIVE_INFINITY,
    damage: Number.NEGATIVE_INFINITY,
    failure: Number.NEGATIVE_INFINITY,
  };

  /** The log is open and the payload recovered; see `openPartition`. */
  constructor({ topicId, log, payloads, config, clock, logger, metrics }: PartitionDependencies) {
    this.topicId = topicId;
    this.log = log;
    this.payloads = payloads;
    this.config = config;
    this.logger = logger;
    this.metrics = metrics;
    this.#clock = clock;
    this.#produce = new ProducePipeline(log, payloads, clock, {
      written: (endOffset, bytes) => this.#advance(endOffset, bytes),
      diverted: (batch) => this.#diverted(batch),
    });
    log.payload = payloads;
    log.onLogStartOffset = (offset) => void payloads.reclaimBefore(offset);
    this.#release = new PayloadRelease(payloads, clock);
    log.compaction.onSwapped = (released) => {
      this.recentlyDiverted.clear();
      if (released.length > 0) this.#release.add(released, log.config.fileDeleteDelayMs);
    };
  }

  get topic(): string {
    return this.log.topic;
  }

  get index(): number {
    return this.log.partition;
  }

  get leaderEpoch(): number {
    return this.log.leaderEpoch;
  }

  get logStartOffset(): bigint {
    return this.log.logStartOffset;
  }

  /** Records below are visible: on one node, all that are written. */
  get highWatermark(): bigint {
    return this.log.highWatermark;
  }

  /** Records below are visible to read_committed consumers. */
  get lastStableOffset(): bigint {
    const { firstUnstableOffset, highWatermark } = this.log;
    return firstUnstableOffset !== null && firstUnstableOffset < highWatermark
      ? firstUnstableOffset
      : highWatermark;
  }

  /** The first offset that a consumer may not read yet. */
  visibleEnd(isolation: Isolation): bigint {
    return isolation === 'read_committed' ? this.lastStableOffset : this.highWatermark;
  }

  /**
   * Appends one produced batch. On one node every acknowledged write is on all replicas, so min.insync.replicas, which Kafka
   * too takes as at most the number of replicas, is always met.
   * @param frame the request's memory; null if `records` is valid only during the call
   * @param allReplicas acks=all: answer when the batch is durable, unless log.durability=os
   * @param inTransaction whether a transactional batch was found to belong to an open transaction
   * @param origin see `ClientOrigin`
   * @returns what is appended already, and woke no fetch; else a promise, which rejects with a ProduceError
   */
  produce(
    records: Uint8Array,
    frame: NativeMemory | null,
    allReplicas: boolean,
    inTransaction = false,
    origin: ClientOrigin = 'client',
  ): Appended | Promise<Appended> {
    if (this.#closed) return Promise.reject(closedError());
    const mayWake = this.waiters.size > 0;
    const appended = this.#produce.append(records, frame, this.config, allReplicas, inTransaction, origin);
    // The fetch is answered before the producer that woke it: sending the other answer first would take time from it.
    return mayWake && !(appended instanceof Promise) ? Promise.resolve(appended) : appended;
  }

  /**
   * Appends a batch of a coordinator, behind what clients produce: a part of its state, or the end of a transaction.
   * @returns rejects with a ProduceError; resolves when the batch is as durable as acks=all
   */
  appendAsCoordinator(batch: Uint8Array): Promise<Appended> {
    if (this.#closed) return Promise.reject(closedError());
    return this.#produce.appendAsCoordinator(batch, this.config);
  }

  #diverted({ reference, baseOffset, records, extentBytes }: DivertedEvent): void {
    this.metrics.divertedRecords += records;
    this.metrics.divertedBytes += extentBytes;
    this.recentlyDiverted.add(baseOffset, reference);
  }

  #advance(endOffset: bigint, bytes: number): void {
    if (endOffset <= this.log.highWatermark) return;
    const stableBefore = this.lastStableOffset;
    this.log.highWatermark = endOffset;
    this.#unstableBytes += bytes;
    const stableBytes = this.lastStableOffset > stableBefore ? this.#unstableBytes : 0;
    if (stableBytes > 0) this.#unstableBytes = 0;
    for (const waiter of this.waiters) {
      if (waiter.isolation === 'read_uncommitted') waiter.offer(bytes);
      else if (stableBytes > 0) waiter.offer(stableBytes);
    }
  }

  /** Whether a client that knows `epoch` (-1: none) may use this partition; an ErrorCode. */
  checkEpoch(epoch: number): number {
    // Its directory has failed: whoever knows it as the leader is to ask anew.
    if (this.log.isClosed) return ErrorCode.KAFKA_STORAGE_ERROR;
    if (epoch === -1 || epoch === this.leaderEpoch) return ErrorCode.NONE;
    return epoch < this.leaderEpoch ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH;
  }

  /** Counts payload that could not be given back, and says which; of what is out of reach, the first. */
  reportPayloadError(offset: bigint, error: PayloadError): void {
    // Deleted since it was found in the log.
    if (this.#closed || offset < this.logStartOffset) return;
    const isUnreachable = error.reason === 'unreachable';
    this.metrics[isUnreachable ? 'unreachablePayloads' : 'payloadErrors']++;
    const { topic, index } = this;
    const fields = {
      topic,
      partition: index,
      offset: String(offset),
      segment: error.segmentId,
      reason: error.reason,
    };
    if (!isUnreachable) this.logger.error(fields, error.message);
    else if (this.#tells('unreachable')) this.logger.warn(fields, error.message);
  }

  /** Says where the log is damaged, so that what follows cannot be found. */
  reportDamage(error: LogError): void {
    const { topic, index } = this;
    if (this.#tells('damage'))
      this.logger.error({ topic, partition: index, err: error }, 'A log cannot be read on behind damage');
  }

  /** What a client is told of an error: of one of the disk, or for want of memory, that of storage, and why is logged. */
  errorFor(error: unknown, action: string): Error {
    if (error instanceof LogError || error instanceof ApiError) return error;
    const { topic, index } = this;
    if (this.#tells('failure'))
      this.logger.error({ topic, partition: index, err: error }, `A partition failed: ${action}`);
    return storageError(`${action} of ${topic}-${index}`, error);
  }

  #tells(what: 'unreachable' | 'damage' | 'failure'): boolean {
    const now = this.#clock.now();
    const tells = now - this.#toldMs[what] >= TOLD_EVERY_MS;
    if (tells) this.#toldMs[what] = now;
    return tells;
  }

  configure(config: PartitionConfig): void {
    this.config = config;
    this.payloads.configure(payloadOptionsOf(config));
  }

  /** Removes all records below `offset` (-1: below the high watermark); returns the new log start offset. */
  async deleteRecordsBefore(offset: bigint): Promise<bigint> {
    try {
      return await this.log.deleteRecordsBefore(offset === -1n ? this.highWatermark : offset);
    } catch (error) {
      throw this.errorFor(error, 'deleting records');
    }
  }

  /** See `ProducePipeline.hold`. */
  holdAppends(): Promise<() => void> {
    return this.#produce.hold();
  }

  /** No longer served: the broker stops, or the topic was deleted. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ends the waits and completes the payload; the log is closed by its manager. */
  async close(): Promise<void> {
    this.#end();
    await this.#release.close();
    await this.payloads.close();
  }

  /** Ends the waits; log and payload are about to be deleted. */
  abandon(): void {
    this.#end();
    this.#release.cancel();
    this.payloads.abandon();
  }

  #end(): void {
    this.#closed = true;
    for (const waiter of [...this.waiters]) waiter.finish();
  }
}

function closedError(): ProduceError {
  return new ProduceError(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'The partition is closed');
}

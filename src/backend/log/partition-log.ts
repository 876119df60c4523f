import type { MemoryPiece } from '../../native/pieces.ts';
import { answerAgain, appendTimeOf, checkAppend, readAppend } from './append.ts';
import { LogCompaction } from './compaction/log-compaction.ts';
import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { LogError, LogErrorCode } from './errors.ts';
import { LeaderEpochFile } from './leader-epoch-file.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import { LogDurability } from './log-durability.ts';
import { reloadProducers } from './log-loader.ts';
import { LogForCompaction, type LogParts } from './log-parts.ts';
import { type LogRead, type ReadOptions, rangeOf, readRecent, readSegments } from './log-reader.ts';
import { LogRelocation } from './log-relocation.ts';
import { LogSegments } from './log-segments.ts';
import { MovableHost } from './movable-host.ts';
import { clamp, largest, smallest } from './offsets.ts';
import type { AppendResult, LogHost, LogPayload, PartitionLogOptions } from './partition-log-types.ts';
import type { AppendOrigin, ProducerEntry } from './producer-entry.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import type { ProducerStates } from './producer-states.ts';
import { handled, SerialQueue } from './serial.ts';
import { StorageFailures } from './storage-failures.ts';
import { type FoundRecord, findKept, findMaxTimestamp, findTimestamp } from './timestamp-search.ts';
import type { AbortedTransaction } from './transaction-index.ts';
import { WriteOrder } from './write-order.ts';

const ROLLBACK_RETRY_MS = 1000;

/**
 * The log of one partition: Kafka's segment files with their indexes, producer state and leader epochs. Offsets are assigned in the order
 * of the calls; everything else happens in the background.
 */
export class PartitionLog {
  readonly topic: string;
  readonly partition: number;
  /** In Kafka's text form; null in a log from before topic ids, until its topic is known. */
  topicId: string | null;
  /** After a start that followed a crash, the offset from which batches may have been lost; null after a clean one. */
  readonly recoveredFrom: bigint | null;
  /** Called when the log start offset has risen, durably. */
  onLogStartOffset: ((offset: bigint) => void) | null = null;
  readonly compaction: LogCompaction;
  readonly relocation: LogRelocation;
  readonly #environment: LogEnvironment;
  readonly #host: MovableHost;
  readonly #failures: StorageFailures;
  readonly #segments: LogSegments;
  readonly #epochs: LeaderEpochs;
  readonly #epochFile: LeaderEpochFile;
  readonly #producers: ProducerStates;
  readonly #snapshots: ProducerSnapshots;
  readonly #writes: WriteOrder;
  readonly #maintenance = new SerialQueue();
  #config: LogConfig;
  #logStartOffset: bigint;
  #logEndOffset: bigint;
  readonly #durability: LogDurability;
  #highWatermark: bigint;
  #leaderEpoch: number;
  /** Why nothing can be appended, if so. */
  #blocked: LogError | null = null;
  #closed = false;

  constructor(environment: LogEnvironment, host: LogHost, options: PartitionLogOptions) {
    const { loaded } = options;
    this.#environment = environment;
    this.#host = new MovableHost(host);
    this.topic = options.topic;
    this.partition = options.partition;
    this.topicId = options.topicId;
    this.recoveredFrom = options.recoveredFrom;
    this.#config = options.config;
    this.#failures = new StorageFailures(environment, this, (error) => this.#host.storageFailed(this, error));
    this.#segments = new LogSegments(environment, options.directory, loaded.segments);
    this.#producers = loaded.producers;
    this.#snapshots = loaded.snapshots;
    this.#logStartOffset = loaded.logStartOffset;
    this.#logEndOffset = loaded.logEndOffset;
    this.#highWatermark = clamp(options.highWatermark, loaded.logStartOffset, loaded.logEndOffset);
    this.#epochFile = new LeaderEpochFile(
      environment.fileSystem,
      { directory: () => this.directory, entries: () => this.#epochs.entries() },
      (error) => this.#failures.report(`writing the leader epochs of ${this.directory}`, error),
    );
    this.#epochs = new LeaderEpochs(loaded.epochs, () => this.#epochFile.save());
    this.#leaderEpoch = this.#epochs.latest;
    this.#writes = new WriteOrder(loaded.logEndOffset, (error) => this.#rollBack(error));
    this.#durability = new LogDurability(environment, {
      segments: this.#segments,
      writes: this.#writes,
      failures: this.#failures,
      flushedOffset: loaded.recoveryPoint,
    });
    const parts = this.#parts();
    this.compaction = new LogCompaction(environment, new LogForCompaction(parts), options.cleanedOffset);
    this.relocation = new LogRelocation(parts, this.compaction);
  }

  /** Absolute; changes when the log is moved or deleted. */
  get directory(): string {
    return this.#segments.directory;
  }

  get config(): LogConfig {
    return this.#config;
  }

  /** Takes effect from the next append or check on. */
  updateConfig(config: LogConfig): void {
    const { compactionStrategy, compactionWindowMs } = this.#config;
    this.#config = config;
    const isWider = config.compactionWindowMs > compactionWindowMs;
    // A window had a record of each key: without it, or with wider ones, fewer are to stay. At a start the checkpoint is of the configuration.
    if (compactionStrategy === 'time-window' && (config.compactionStrategy !== 'time-window' || isWider))
      this.compaction.startOver();
  }

  /** The first offset that may be read. */
  get logStartOffset(): bigint {
    return this.#logStartOffset;
  }

  /** The offset of the next record. */
  get logEndOffset(): bigint {
    return this.#logEndOffset;
  }

  /** Everything below it survives the death of the process. */
  get writtenEndOffset(): bigint {
    return this.#writes.endOffset;
  }

  /** Everything below it is durable. */
  get flushedOffset(): bigint {
    return this.#durability.flushedOffset;
  }

  /** What records refer to, which is durable before they are taken for durable. */
  set payload(payload: LogPayload) {
    this.#durability.payload = payload;
  }

  /** Recovery after a crash need not look below it. */
  get recoveryPoint(): bigint {
    return this.#segments.recoveryPoint(this.flushedOffset, this.#logEndOffset);
  }

  /** Kept for the partition, which sets it; the manager writes it down. */
  get highWatermark(): bigint {
    return this.#highWatermark;
  }

  set highWatermark(offset: bigint) {
    this.#highWatermark = clamp(offset, this.#logStartOffset, this.#logEndOffset);
    this.#producers.markersVisible(this.#highWatermark);
  }

  /** Where the oldest transaction begins that is open, or whose end is above the high watermark; null without one. */
  get firstUnstableOffset(): bigint | null {
    const first = this.#producers.firstUnstableOffset;
    return first === null ? null : largest(first, this.#logStartOffset);
  }

  /** The epoch that appended batches get; -1 before the first. */
  get leaderEpoch(): number {
    return this.#leaderEpoch;
  }

  /** Bytes of the log's batches. */
  get sizeBytes(): number {
    return this.#segments.list.sizeBytes;
  }

  get segmentCount(): number {
    return this.#segments.list.all.length;
  }

  /** Where the oldest segment begins: at or below the log start offset. */
  get firstSegmentOffset(): bigint {
    return this.#segments.firstOffset;
  }

  /** Begins a leader epoch at the log's end. Throws RangeError if it is lower than the one before. */
  becomeLeader(epoch: number): void {
    if (epoch < this.#leaderEpoch) throw new RangeError(`leader epoch ${epoch} after ${this.#leaderEpoch}`);
    this.#leaderEpoch = epoch;
    this.#epochs.assign(epoch, this.#logEndOffset);
  }

  /**
   * Appends whole version 2 batches that were validated, and gives them offsets at once: base offset and leader epoch are written into
   * their headers, all else is taken from there. A replica's batches are kept as they are. The bytes are copied, or their memory is retained,
   * before it returns. `fromMemory`: be content when they survive the death of the process, before they are in the file. Throws LogError: OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, RECORD_LIST_TOO_LARGE,
   * CORRUPT_MESSAGE, or KAFKA_STORAGE_ERROR while the log cannot be written.
   */
  append(
    records: Uint8Array | MemoryPiece,
    origin: AppendOrigin = 'client',
    fromMemory = false,
  ): AppendResult {
    this.#assertWritable();
    const bytes = records instanceof Uint8Array ? records : records.bytes();
    const assign = { baseOffset: this.#logEndOffset, leaderEpoch: this.#leaderEpoch };
    const batches = readAppend(bytes, origin === 'replication' ? null : assign);
    const first = batches[0]!;
    const last = batches.at(-1)!;
    checkAppend(first, bytes.byteLength, this.#logEndOffset, this.#config);
    const check = this.#producers.check(batches, origin);
    if (check.duplicate) return answerAgain(check.duplicate, last, handled(this.#writes.written()));
    if (this.#segments.mustRoll(batches, bytes.byteLength, this.#config)) this.#roll(first.baseOffset);
    const done = this.#segments.list.active.append(records, batches, this.#config, { fromMemory });
    this.#logEndOffset = last.lastOffset + 1n;
    const aborted = this.#producers.apply(check.changes, this.#logEndOffset);
    for (const transaction of aborted) this.#segments.list.active.transactions.append(transaction);
    for (const batch of batches) {
      if (batch.leaderEpoch > this.#epochs.latest) this.#epochs.assign(batch.leaderEpoch, batch.baseOffset);
    }
    this.#durability.appended();
    // Its failure is dealt with where it happens.
    if (this.#logEndOffset - this.flushedOffset >= this.#config.flushMessages) this.flush().catch(() => {});
    return {
      baseOffset: first.baseOffset,
      lastOffset: last.lastOffset,
      duplicate: false,
      logAppendTimeMs: appendTimeOf(last, last.maxTimestamp),
      written: handled(this.#writes.add(this.#logEndOffset, done)),
    };
  }

  /** Resolves when everything appended before the call is durable, with its payload; rejects with KAFKA_STORAGE_ERROR, or the payload's error. */
  flush(): Promise<void> {
    return this.#durability.flush(this.#logEndOffset);
  }

  /** As `read`, when it takes no waiting: the batches are recent and their file is open. Null when it would. */
  readCached(from: bigint, maxBytes: number, options: ReadOptions = {}): LogRead | null {
    const range = rangeOf(this, from, maxBytes, options);
    if (range.from >= range.upTo) return { batches: [] };
    return readRecent(this.#segments.list.floor(from), range);
  }

  /**
   * Finds the batches that hold offsets from `from` on: as many as fit `maxBytes`, of one segment. Throws LogError OFFSET_OUT_OF_RANGE
   * outside of the log, CORRUPT_MESSAGE at damage and KAFKA_STORAGE_ERROR.
   */
  async read(from: bigint, maxBytes: number, options: ReadOptions = {}): Promise<LogRead> {
    const range = rangeOf(this, from, maxBytes, options);
    if (range.from >= range.upTo) return { batches: [] };
    return readSegments(this.#segments.list, this.#config, range);
  }

  /** The first record whose timestamp is `timestamp` or later; null when there is none. */
  offsetForTimestamp(timestamp: bigint): Promise<FoundRecord | null> {
    const search = { timestamp, startOffset: this.#logStartOffset };
    return findTimestamp(this.#environment, this.#segments.list, this.#config, search);
  }

  /** The first offset that retention keeps which goes by this time; null when it keeps nothing. */
  firstKeptSince(timestamp: bigint): Promise<bigint | null> {
    const search = { timestamp, startOffset: this.#logStartOffset };
    return findKept(this.#environment, this.#segments.list, this.#config, search);
  }

  /** The first record with the log's largest timestamp (KIP-734); null in an empty log. */
  offsetOfMaxTimestamp(): Promise<FoundRecord | null> {
    return findMaxTimestamp(this.#environment, this.#segments.list, this.#config);
  }

  /** Where a leader epoch ended (KIP-279); -1 and -1 when it is not known. */
  endOffsetForEpoch(epoch: number): { leaderEpoch: number; endOffset: bigint } {
    return this.#epochs.endOffsetFor(epoch, this.#logEndOffset);
  }

  /** The epoch in which the record at `offset` was written; -1 when not known. */
  epochForOffset(offset: bigint): number {
    return this.#epochs.epochFor(offset);
  }

  /** The aborted transactions that have records in [from, end), ascending by their first offsets. */
  abortedTransactions(from: bigint, end: bigint): AbortedTransaction[] {
    return this.#segments.list.abortedTransactions(from, end);
  }

  /** What is known of a producer that wrote to the log. */
  producer(producerId: bigint): ProducerEntry | undefined {
    return this.#producers.get(producerId);
  }

  /** What is known of each producer that wrote to the log. */
  activeProducers(): ProducerEntry[] {
    return this.#producers.entries();
  }

  /** Forgets producers that have not written for `producer.id.expiration.ms`. */
  expireProducers(): void {
    const { clock, producerIdExpirationMs } = this.#environment;
    this.#producers.expire(BigInt(clock.now() - producerIdExpirationMs));
  }

  /** Drops every batch that holds `offset` or follows it. Appends are refused while it runs. */
  async truncateTo(offset: bigint): Promise<void> {
    this.#assertWritable();
    if (offset >= this.#logEndOffset) return;
    const blocked = new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${this.directory} is being truncated`);
    this.#blocked = blocked;
    await this.compaction.stop();
    await this.#maintenance.run(async () => {
      await this.#writes.idle();
      try {
        if (this.#blocked === blocked) await this.#truncate(smallest(offset, this.#writes.endOffset));
      } catch (error) {
        throw this.#failures.report(`truncating ${this.directory}`, error);
      }
      if (this.#blocked === blocked) this.#blocked = null;
    });
  }

  /**
   * Raises the log start offset (DeleteRecords, KIP-107); resolves with it when it is durable. Throws LogError OFFSET_OUT_OF_RANGE above
   * the high watermark, and KAFKA_STORAGE_ERROR.
   */
  async deleteRecordsBefore(offset: bigint): Promise<bigint> {
    if (this.#closed) this.#assertWritable();
    if (offset > this.#highWatermark || offset < 0n) {
      const message = `offset ${offset} is above the high watermark ${this.#highWatermark}`;
      throw new LogError(LogErrorCode.OFFSET_OUT_OF_RANGE, message);
    }
    if (offset > this.#logStartOffset) this.#raiseLogStartOffset(offset);
    const start = this.#logStartOffset; // one to which it is raised meanwhile may not be durable yet
    await this.#host.checkpointLogStartOffsets(this);
    this.onLogStartOffset?.(start);
    return start;
  }

  /** Deletes the segments that retention lets go; returns how many. */
  async deleteOldSegments(): Promise<number> {
    // A compaction reads them; whoever runs it sees to this afterwards. It may wait for room, which other logs are to give meanwhile.
    if (this.compaction.isRunning) return 0;
    return this.#maintenance.run(async () => {
      if (this.#blocked || this.#closed || this.compaction.isRunning) return 0;
      await this.#segments.finishRemoval(this.#config);
      const expired = await this.#segments.expired(this.#config, this, () => this.#roll(this.#logEndOffset));
      if (expired.length === 0) return 0;
      await this.#segments.delete(expired, this.#config, (start) => {
        if (start > this.#logStartOffset) this.#raiseLogStartOffset(start);
      });
      await this.#snapshots.removeWhere((snapshot) => snapshot < this.firstSegmentOffset);
      this.onLogStartOffset?.(this.firstSegmentOffset); // a higher one may not be durable yet
      return expired.length;
    });
  }

  /** Flushes when `flush.ms` is over; again later, where payload cannot be made durable. */
  async flushIfDue(): Promise<void> {
    if (!this.#closed) await this.#durability.flushIfDue(this.#logEndOffset, this.#config.flushMs);
  }

  /** Completes what rolled segments lack on disk, so that the recovery point may pass them. */
  prepareCheckpoint(): Promise<void> {
    return this.#maintenance.run(async () => {
      if (this.#blocked || this.#closed) return;
      await this.#durability.persistRolled();
      await this.#epochFile.idle();
    });
  }

  /** Closes files that nobody has used since `before`, in clock milliseconds. */
  closeIdleFiles(before: number): Promise<void> {
    return this.#segments.closeIdle(before);
  }

  /** Makes everything durable, so that the next start need not recover, and closes the files. */
  async close(): Promise<void> {
    await this.compaction.stop();
    await this.#writes.idle();
    await this.#maintenance.run(async () => {
      if (this.#closed) return;
      const blocked = this.#blocked;
      if (!blocked) {
        await this.flush();
        await this.#durability.persistRolled();
        await this.#segments.list.active.persist();
        await this.#snapshots.write(this.#logEndOffset, this.#producers.entries());
        await this.#epochFile.idle();
      }
      this.#closed = true;
      await this.#segments.close();
      // Where a truncation has failed: what is there is not what the log is to be, and the next start has to look.
      if (blocked) throw blocked;
    });
  }

  /** Refuses all appends from now on; resolves when nothing is being written any more. */
  async retire(reason: LogError): Promise<void> {
    this.#blocked = reason;
    this.#closed = true;
    await this.compaction.stop();
    await this.#maintenance.run(async () => {});
  }

  /** Whether it takes no appends any more, for good. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Closes the files of a log that was retired, without making anything durable. */
  closeFiles(): Promise<void> {
    return this.#segments.close();
  }

  /** The directory was renamed. */
  moved(directory: string): void {
    this.#snapshots.moved(directory);
    this.#segments.moved(directory);
  }

  #parts(): LogParts {
    return {
      log: this,
      host: this.#host,
      segments: this.#segments,
      snapshots: this.#snapshots,
      durability: this.#durability,
      epochFile: this.#epochFile,
      writes: this.#writes,
      roll: () => this.#roll(this.#logEndOffset),
      assertWritable: () => this.#assertWritable(),
      isBlocked: () => this.#blocked !== null || this.#closed,
      exclusively: (task) => this.#maintenance.run(task),
      failed: (action, cause) => this.#failures.report(action, cause),
    };
  }

  #assertWritable(): void {
    if (this.#blocked) throw this.#blocked;
    if (this.#closed) throw new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${this.directory} is closed`);
    if (!this.#writes.failed) return;
    throw new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${this.directory} could not be written`);
  }

  /** Begins a new segment; what the last one and the producers have to leave on disk is written in the background. */
  #roll(baseOffset: bigint): void {
    this.#segments.roll(baseOffset, this.#config);
    const snapshot = this.#snapshots.write(this.#producers.endOffset, this.#producers.entries());
    snapshot.catch(() => {}); // heard of below, when its turn comes
    const persisted = this.#maintenance.run(async () => {
      await snapshot;
      if (!this.#blocked && !this.#closed) await this.#durability.persistRolled();
    });
    persisted.catch((error: unknown) => this.#failures.report(`rolling ${this.directory}`, error));
  }

  #raiseLogStartOffset(offset: bigint): void {
    this.#logStartOffset = offset;
    if (this.#highWatermark < offset) this.#highWatermark = offset;
    this.#epochs.truncateFromStart(offset);
  }

  /** Goes back to the last batch that is in its file, so that appending can begin again. */
  #rollBack(cause: unknown): void {
    const error = this.#failures.report(`writing ${this.directory}`, cause);
    if (this.#blocked) return;
    this.#blocked = error;
    const attempt = async () => {
      if (this.#closed || this.#blocked !== error) return;
      await this.#truncate(this.#writes.endOffset);
      if (this.#blocked === error) this.#blocked = null;
    };
    this.#maintenance.run(attempt).catch((failure: unknown) => {
      this.#blocked = this.#blocked === error ? null : this.#blocked;
      this.#failures.report(`going back to the last batch of ${this.directory}`, failure);
      this.#environment.clock.setTimer(ROLLBACK_RETRY_MS, () => this.#rollBack(cause));
    });
  }

  async #truncate(offset: bigint): Promise<void> {
    this.#durability.truncating();
    const end = await this.#segments.truncate(offset, this.#config);
    this.#logEndOffset = end;
    this.compaction.truncated(end);
    if (end < this.#logStartOffset) {
      this.#logStartOffset = end;
      await this.#host.checkpointLogStartOffsets(this);
    }
    // Or recovery would take what is appended next for durable.
    if (this.#durability.truncated(end)) await this.#host.checkpointRecoveryPoints(this);
    this.#highWatermark = clamp(this.#highWatermark, this.#logStartOffset, end);
    this.#epochs.truncateFromEnd(end);
    await reloadProducers(this.#environment, this.#config, {
      segments: this.#segments.list,
      snapshots: this.#snapshots,
      producers: this.#producers,
      logStartOffset: this.#logStartOffset,
      logEndOffset: end,
      afterCrash: true,
      rebuilt: new Set(),
    });
    this.#writes.restart(end);
  }
}

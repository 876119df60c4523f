import type { MemoryPiece } from '../../native/pieces.ts';
import { aheadBytesFor } from '../../native/store.ts';
import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { isTransient, storageError } from './errors.ts';
import { offsetFilePath, Suffix } from './log-file-names.ts';
import type { AppendOptions, BatchInfo, BatchScan, LogFile } from './ports.ts';
import { RecentBatches } from './recent-batches.ts';
import { type SegmentCreation, SegmentFile } from './segment-file.ts';
import { SegmentIndexes } from './segment-indexes.ts';
import type { TimestampOffset } from './time-index.ts';
import { TransactionIndex } from './transaction-index.ts';

const MAX_RELATIVE_OFFSET = 0x7fffffffn;
const INDEX_FILE_LIMIT_BYTES = 0x7fffffff;
const SCAN_BYTES = 1 << 20;

export interface SegmentOptions {
  readonly directory: string;
  readonly baseOffset: bigint;
  /** Bytes of batches in the file. */
  readonly size: number;
  /** When the file was last written, or the segment created. */
  readonly modifiedMs: number;
}

/** A part of a log: a file of batches from `baseOffset` on, and its indexes. */
export class Segment {
  readonly baseOffset: bigint;
  readonly file: SegmentFile;
  /** By how much earlier than `segment.ms` the segment is rolled, so that not all are at once. */
  readonly rollJitterMs: number;
  /** Places of the last batches; null in a segment that is not being written, nor was lately. */
  recent: RecentBatches | null = null;
  /** Whether batches and indexes are durable and complete, so that recovery need not look at the segment. */
  persisted: boolean;
  /** Whether its directory entry is durable. */
  linked: boolean;
  /** Of the aborted transactions that end in the segment. */
  transactions: TransactionIndex;
  /** The first batch's largest timestamp; null when there is none or it is not known. */
  firstTimestamp: bigint | null = null;
  readonly #createdMs: number;
  #directory: string;
  #modifiedMs: number;
  readonly #environment: LogEnvironment;
  #indexes: SegmentIndexes | null = null;
  #loading: Promise<SegmentIndexes> | null = null;
  #maxTimestamp: TimestampOffset | null = null;
  #pinned = false;
  #held: Promise<void> | null = null;
  /** Whether the indexes say more than their files, or less. */
  #changed = false;
  /** Whether there may be a file of aborted transactions. */
  #hasTransactionFile = false;

  private constructor(
    environment: LogEnvironment,
    options: SegmentOptions,
    config: LogConfig,
    create: SegmentCreation | null,
  ) {
    const path = offsetFilePath(options.directory, options.baseOffset, Suffix.log);
    this.#environment = environment;
    this.#directory = options.directory;
    this.#modifiedMs = options.modifiedMs;
    this.#createdMs = environment.clock.now();
    this.baseOffset = options.baseOffset;
    this.transactions = new TransactionIndex(options.baseOffset);
    this.persisted = create === null;
    this.linked = create === null;
    this.rollJitterMs = Math.floor(environment.random() * Math.min(config.segmentJitterMs, config.segmentMs));
    this.file = new SegmentFile(
      { fileSystem: environment.fileSystem, clock: environment.clock, path, size: options.size },
      create,
    );
  }

  /** A new segment, behind one of `previousBytes`; its file is created by the first use. */
  static create(
    environment: LogEnvironment,
    directory: string,
    baseOffset: bigint,
    config: LogConfig,
    previousBytes = 0,
  ): Segment {
    const { segmentBytes, preallocate } = config;
    const create = {
      preallocateBytes: preallocate ? segmentBytes : 0,
      segmentBytes,
      aheadBytes: aheadBytesFor(previousBytes, segmentBytes),
    };
    const options = { directory, baseOffset, size: 0, modifiedMs: environment.clock.now() };
    const segment = new Segment(environment, options, config, create);
    segment.activate(new SegmentIndexes(baseOffset, config));
    return segment;
  }

  /** A segment that has a file. */
  static existing(environment: LogEnvironment, options: SegmentOptions, config: LogConfig): Segment {
    return new Segment(environment, options, config, null);
  }

  get size(): number {
    return this.file.size;
  }

  /** The memory that `unload` gives back. */
  get loadedBytes(): number {
    return this.#indexes?.byteLength ?? 0;
  }

  /** The indexes, if they are in memory. */
  get loadedIndexes(): SegmentIndexes | null {
    return this.#indexes;
  }

  /** Makes the segment one that is appended to: its indexes stay in memory. `changed`: they are not what is on disk. */
  activate(indexes: SegmentIndexes, changed = true): void {
    this.#environment.indexCache.forget(this);
    this.#indexes = indexes;
    this.#changed ||= changed;
    this.persisted = false;
    this.recent = new RecentBatches(this.baseOffset);
  }

  /** Reads the file of aborted transactions; false when it is damaged. */
  async loadTransactions(): Promise<boolean> {
    this.#hasTransactionFile = true;
    const path = this.path(Suffix.transactionIndex);
    const bytes = await this.#environment.fileSystem.readFile(path, INDEX_FILE_LIMIT_BYTES);
    this.transactions = new TransactionIndex(this.baseOffset, bytes ?? undefined);
    return this.transactions.isValid();
  }

  /** The aborted transactions of a segment whose file of them is as they are. */
  adoptTransactions(transactions: TransactionIndex): void {
    this.transactions = transactions;
    this.#hasTransactionFile = transactions.count > 0;
  }

  /** Whether the relative offset of `lastOffset` fits the index. */
  holds(lastOffset: bigint): boolean {
    return lastOffset - this.baseOffset <= MAX_RELATIVE_OFFSET;
  }

  /** Appends batches to the active segment; their positions count from the start of `bytes`. */
  append(
    bytes: Uint8Array | MemoryPiece,
    batches: readonly BatchInfo[],
    config: LogConfig,
    options: AppendOptions = {},
  ): Promise<void> | null {
    const { position, done } = this.file.append(bytes, options);
    this.#modifiedMs = this.file.lastUsedMs;
    this.firstTimestamp ??= batches[0]?.maxTimestamp ?? null;
    this.#changed = true;
    for (const batch of batches) {
      const placed = { ...batch, position: position + batch.position };
      this.#indexes?.add(placed, config.indexIntervalBytes);
      this.recent?.append(placed);
    }
    return done;
  }

  /** How long the segment has taken records: by their timestamps, if they have any, up to `timestamp`. */
  ageMs(timestamp: bigint): number {
    const first = this.firstTimestamp;
    if (first !== null && first >= 0n) return Number(timestamp - first);
    return this.#environment.clock.now() - this.#createdMs;
  }

  /** The indexes; read, or rebuilt from the batches, when they are not in memory. */
  async indexes(config: LogConfig): Promise<SegmentIndexes> {
    if (this.#indexes) {
      if (this.persisted && !this.#pinned) this.#environment.indexCache.touch(this);
      return this.#indexes;
    }
    this.#loading ??= this.#load(config).finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  /**
   * Another segment is about to take its place, and its files' names: whoever still reads it goes on with the indexes in memory. Only of a
   * persisted segment.
   */
  async pin(config: LogConfig): Promise<void> {
    this.#pinned = true;
    await this.indexes(config);
    this.#environment.indexCache.forget(this);
  }

  /** Gives the indexes' memory back. Only of a persisted segment. */
  unload(): void {
    if (this.#pinned) return;
    this.#maxTimestamp = this.#indexes?.maxTimestamp ?? this.#maxTimestamp;
    this.#indexes = null;
  }

  async maxTimestamp(config: LogConfig): Promise<TimestampOffset> {
    if (this.#indexes) return this.#indexes.maxTimestamp;
    this.#maxTimestamp ??= (await this.indexes(config)).maxTimestamp;
    return this.#maxTimestamp;
  }

  /** The largest timestamp of the first batch; -1 when there is none. */
  async firstBatchTimestamp(): Promise<bigint> {
    this.firstTimestamp ??= (await this.scan(0, 1)).batches[0]?.maxTimestamp ?? null;
    return this.firstTimestamp ?? -1n;
  }

  /** When the log file was last written. */
  get modifiedMs(): number {
    return this.#modifiedMs;
  }

  /** What retention by time goes by: the largest timestamp, or, without timestamps, when the file was last written. */
  async largestTimestampMs(config: LogConfig): Promise<number> {
    const { timestamp } = await this.maxTimestamp(config);
    return timestamp >= 0n ? Number(timestamp) : this.#modifiedMs;
  }

  /** Reads on from `position` what is written; see `FileSystem.scanBatches`. */
  async scan(position: number, maxBytes = SCAN_BYTES, verifyCrc = false): Promise<BatchScan> {
    const limit = this.file.writtenBytes;
    if (position >= limit) return { batches: [], end: position, stop: 'end', reason: '' };
    const file = await this.file.open();
    const options = { maxBytes, verifyCrc };
    try {
      return await this.#environment.fileSystem.scanBatches(file, position, limit, options);
    } catch (error) {
      throw storageError(`reading ${this.file.path}`, error);
    }
  }

  /** Makes batches and, if the segment is no longer appended to, indexes durable. */
  async sync(): Promise<void> {
    await this.file.sync();
    if (this.linked) return;
    await this.#environment.fileSystem.syncDirectory(this.#directory);
    this.linked = true;
  }

  /** Ends appending: makes all of the segment durable; its indexes may leave memory from then on. */
  async persist(): Promise<void> {
    const indexes = this.#indexes;
    if (this.persisted || !indexes) return;
    await this.file.trim();
    await this.sync();
    if (this.#changed) {
      indexes.close();
      await this.#writeIndexes(indexes);
      await this.writeTransactions();
      this.#changed = false;
    }
    this.persisted = true;
    this.#environment.indexCache.touch(this);
  }

  /** The directory was renamed. */
  moved(directory: string): void {
    this.#directory = directory;
    this.file.moved(this.path(Suffix.log));
  }

  /** Nothing of it is to be read by its name before the promise, which is never rejected, has settled; resolves when nothing is. */
  async hold(until: Promise<void>): Promise<void> {
    this.#held = until;
    await this.#loading?.catch(() => {});
    await this.file.hold(until);
  }

  /** A copy in `directory` has taken its place. Returns the file that was open; see `SegmentFile.replaced`. */
  replaced(directory: string): LogFile | null {
    this.#directory = directory;
    return this.file.replaced(this.path(Suffix.log));
  }

  path(suffix: string): string {
    return offsetFilePath(this.#directory, this.baseOffset, suffix);
  }

  async #load(config: LogConfig): Promise<SegmentIndexes> {
    const { fileSystem, indexCache, logger } = this.#environment;
    await this.#held;
    const offset = await fileSystem.readFile(this.path(Suffix.offsetIndex), INDEX_FILE_LIMIT_BYTES);
    const time = await fileSystem.readFile(this.path(Suffix.timeIndex), INDEX_FILE_LIMIT_BYTES);
    const content = offset && time ? { offset, time } : null;
    let indexes = content && new SegmentIndexes(this.baseOffset, config, content);
    if (!indexes?.isValid(this.size)) {
      logger.warn({ segment: this.path(Suffix.log) }, 'rebuilding a missing or damaged index');
      indexes = await this.#rebuild(config);
    }
    this.#indexes = indexes;
    if (this.persisted && !this.#pinned) indexCache.touch(this);
    return indexes;
  }

  async #rebuild(config: LogConfig): Promise<SegmentIndexes> {
    const indexes = new SegmentIndexes(this.baseOffset, config);
    for (let position = 0; ; ) {
      const { batches, end } = await this.scan(position);
      for (const batch of batches) indexes.add(batch, config.indexIntervalBytes);
      if (batches.length === 0) break;
      position = end;
    }
    indexes.close();
    try {
      await this.#writeIndexes(indexes);
    } catch (error) {
      // Without room for them: reads go on, and retention, which gives some. They are made again when they are needed next.
      if (!isTransient(error)) throw error;
      this.#changed = true;
      const segment = this.path(Suffix.log);
      this.#environment.logger.warn({ segment, error }, 'a rebuilt index could not be written');
    }
    return indexes;
  }

  /** Brings the file of aborted transactions up to date; most segments have none. */
  async writeTransactions(): Promise<void> {
    const { fileSystem } = this.#environment;
    const path = this.path(Suffix.transactionIndex);
    if (this.transactions.count > 0) await fileSystem.replaceFile(path, this.transactions.content());
    else if (this.#hasTransactionFile) await fileSystem.remove(path);
    this.#hasTransactionFile = this.transactions.count > 0;
  }

  async #writeIndexes(indexes: SegmentIndexes): Promise<void> {
    const { fileSystem } = this.#environment;
    await fileSystem.replaceFile(this.path(Suffix.offsetIndex), indexes.offset.content());
    await fileSystem.replaceFile(this.path(Suffix.timeIndex), indexes.time.content());
  }
}

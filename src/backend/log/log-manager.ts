import { join } from 'node:path';
import type { Timer } from '../../util/clock.ts';
import {
  encodePartitionMetadata,
  META_PROPERTIES,
  PARTITION_METADATA,
  partitionKey,
  randomUuid,
} from './checkpoint-files.ts';
import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { isTransient, LogError, LogErrorCode, storageError } from './errors.ts';
import { IndexCache } from './index-cache.ts';
import { KNOWN_DIRECTORIES, readKnownDirectories, writeKnownDirectories } from './known-directories.ts';
import { LogDirectory, type LogOpening } from './log-directory.ts';
import { defaultLogIntervals, type LogIntervals, type LogManagerOptions } from './log-manager-options.ts';
import { type FutureDirectory, finishMoves } from './moves/future-directories.ts';
import type { PartitionLog } from './partition-log.ts';
import { forEachParallel, SerialQueues } from './serial.ts';

const DEFAULT_INDEX_CACHE_BYTES = 64 << 20;
const DEFAULT_PRODUCER_ID_EXPIRATION_MS = 86_400_000;
const PREFERENCES_MAX = 10_000;

/** Holds the logs of all data directories; opens and closes them, and looks after them in the background. */
export class LogManager {
  /** Called when a directory fails, with the logs that it took along: they are closed until the next start. */
  onOffline: ((directory: string, logs: readonly PartitionLog[]) => void) | null = null;
  /** Whether new partitions go to other directories than this one, if there are any. */
  isCordoned: (directory: string) => boolean = () => false;
  readonly #options: LogManagerOptions;
  readonly #environment: LogEnvironment;
  readonly #intervals: LogIntervals;
  readonly #directories: LogDirectory[];
  /** Creating and deleting logs: for one partition one at a time. */
  readonly #changes = new SerialQueues();
  readonly #timers = new Set<Timer>();
  #clusterId: string | null = null;
  #isCompared: boolean;
  #closing = false;
  #futures: readonly FutureDirectory[] = [];
  /** Where partitions are to be made, by `partitionKey`. */
  readonly #preferred = new Map<string, LogDirectory>();

  constructor(options: LogManagerOptions) {
    const { fileSystem, clock, logger } = options;
    this.#options = options;
    this.#intervals = { ...defaultLogIntervals, ...options.intervals };
    this.#isCompared = !(options.hasPayload ?? false);
    this.#environment = {
      fileSystem,
      clock,
      logger,
      indexCache: new IndexCache(options.indexCacheBytes ?? DEFAULT_INDEX_CACHE_BYTES),
      random: options.random ?? Math.random,
      producerIdExpirationMs: options.producerIdExpirationMs ?? DEFAULT_PRODUCER_ID_EXPIRATION_MS,
    };
    this.#directories = options.directories.map((path) => this.#directory(path));
  }

  /** Known after `open`. */
  get clusterId(): string {
    if (this.#clusterId === null) throw new Error('the logs are not open');
    return this.#clusterId;
  }

  /** How long producers are remembered from now on that write nothing. */
  set producerIdExpirationMs(durationMs: number) {
    this.#environment.producerIdExpirationMs = durationMs;
  }

  /** Copies that were to take the place of partitions, when an earlier process ended. Known after `open`. */
  get futures(): readonly FutureDirectory[] {
    return this.#futures;
  }

  /** The data directories, also those that failed. */
  get directories(): readonly LogDirectory[] {
    return this.#directories;
  }

  /**
   * Opens every data directory and every log in it. A directory that cannot be used, or whose disk is not mounted, is left out, with an error in
   * the log; rejects if none can, or if they belong to different clusters.
   */
  async open(): Promise<void> {
    await Promise.all(
      this.#directories.map((directory) => this.#use(directory, () => directory.open(this.#options.nodeId))),
    );
    const known = await this.#leaveUnmounted();
    this.#assertOnline();
    this.#clusterId = this.#agreeOnCluster();
    const { clusterId } = this;
    this.#tellOfNewCluster(clusterId);
    await this.#options.beforeLoading?.();
    this.#futures = await finishMoves(this.#environment, this.#directories);
    await Promise.all(
      this.#online().map((directory) =>
        this.#use(directory, () => directory.claim(clusterId, this.#options.nodeId)),
      ),
    );
    const used = this.#directories.filter(({ path, error }) => error === null || known.has(path));
    const paths = used.map(({ path }) => path).sort();
    await Promise.all(
      this.#online().map((directory) =>
        this.#use(directory, async () => {
          await this.#writeKnown(directory, paths);
          await this.#loadAll(directory);
          await directory.forgetGone();
        }),
      ),
    );
    this.#assertOnline();
    this.#assertUnique();
    for (const directory of this.#online()) this.#startTasks(directory);
  }

  /** Also a log whose directory has failed, which refuses everything; undefined when there is none. */
  get(topic: string, partition: number): PartitionLog | undefined {
    const all = this.#logsOf(topic, partition);
    return all.find(({ isClosed }) => !isClosed) ?? all[0];
  }

  /** Beside that of its topic there may be one of a topic that is gone, where it could not be removed. */
  #logsOf(topic: string, partition: number): PartitionLog[] {
    const key = partitionKey(topic, partition);
    return this.#directories.flatMap(({ logs }) => logs.get(key) ?? []);
  }

  *logs(): IterableIterator<PartitionLog> {
    for (const directory of this.#directories) yield* directory.logs.values();
  }

  /** The directory of a log; undefined when there is none. */
  directoryOf(log: PartitionLog): LogDirectory | undefined {
    const key = partitionKey(log.topic, log.partition);
    return this.#directories.find(({ logs }) => logs.get(key) === log);
  }

  /** A partition that is not there yet is to be made in this directory; of many only the last are remembered. */
  prefer(topic: string, partition: number, directory: LogDirectory): void {
    const key = partitionKey(topic, partition);
    this.#preferred.delete(key);
    this.#preferred.set(key, directory);
    if (this.#preferred.size <= PREFERENCES_MAX) return;
    for (const oldest of this.#preferred.keys()) {
      this.#preferred.delete(oldest);
      return;
    }
  }

  /**
   * Moves a log to the directory in which a copy of it is; see `LogDirectory.handOver`. Rejects with KAFKA_STORAGE_ERROR when the log is gone or one of
   * the directories is out of use.
   */
  handOver(log: PartitionLog, to: LogDirectory, copy: string, complete: () => Promise<void>): Promise<void> {
    return this.#changes.run(partitionKey(log.topic, log.partition), async () => {
      const from = this.directoryOf(log);
      const error = from === undefined ? new Error('it was deleted') : (from.error ?? to.error);
      if (from === undefined || error) throw storageError(`moving ${log.directory}`, error);
      await from.handOver(log, to, copy, complete);
    });
  }

  /**
   * The log of a partition; it is made, in the directory that is preferred or in the one with the fewest partitions that can, unless it is there. Rejects with INCONSISTENT_TOPIC_ID
   * if one is there of another topic id, where it could have been removed, and with KAFKA_STORAGE_ERROR.
   */
  create(
    topic: string,
    partition: number,
    options: { topicId?: string | null; config?: LogConfig } = {},
  ): Promise<PartitionLog> {
    return this.#changes.run(partitionKey(topic, partition), async () => {
      const { topicId = null, config = this.#options.defaultConfig } = options;
      for (const log of this.#logsOf(topic, partition)) await this.#deleteAgain(log);
      const existing = this.#logsOf(topic, partition).find((log) => !this.#isLeft(log, topicId));
      if (existing) return this.#ofTopic(existing, topicId);
      this.#assertOnline();
      return this.#make({ topic, partition, config }, topicId);
    });
  }

  /** As in Kafka, in another directory where one cannot: it may be full. */
  async #make(opening: LogOpening, topicId: string | null): Promise<PartitionLog> {
    const { topic, partition } = opening;
    let failure: LogError | null = null;
    for (const directory of this.#placesFor(partitionKey(topic, partition))) {
      try {
        return await directory.create(opening, topicId);
      } catch (error) {
        failure ??= storageError(`creating ${topic}-${partition} in ${directory.path}`, error);
        // No start takes a partition that is in two.
        if (!(await directory.isWithout(opening))) break;
      }
    }
    throw failure;
  }

  /**
   * Deletes the log of a partition, if there is one, and if it is of `topicId` where that is given: it is gone, durably, when this resolves; its space
   * is freed later.
   */
  delete(topic: string, partition: number, topicId: string | null = null): Promise<void> {
    return this.#changes.run(partitionKey(topic, partition), async () => {
      const all = this.#logsOf(topic, partition);
      const log = all.find((each) => topicId === null || each.topicId === topicId);
      const directory = log && this.directoryOf(log);
      if (directory) await this.#delete(log, directory);
    });
  }

  async #delete(log: PartitionLog, from: LogDirectory): Promise<void> {
    try {
      await from.delete(log);
    } catch (error) {
      throw storageError(`deleting ${log.directory}`, error);
    }
  }

  /** Deletes a log where that has failed before. */
  async #deleteAgain(log: PartitionLog): Promise<void> {
    const directory = this.directoryOf(log);
    if (directory?.isUndeleted(log)) await this.#delete(log, directory);
  }

  /** What the logs refer to was compared with them, as has to be after a crash. */
  compared(): void {
    this.#isCompared = true;
  }

  /** Flushes and closes all logs, so that the next start need not recover. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    await this.#changes.idle();
    await Promise.all(
      this.#directories.map((directory) =>
        this.#use(directory, () => directory.close((logs) => this.#closeAll(logs), this.#isCompared)),
      ),
    );
  }

  /** One that cannot be flushed keeps no other from it. Rejects with the first failure. */
  async #closeAll(logs: readonly PartitionLog[]): Promise<void> {
    const failures: unknown[] = [];
    await forEachParallel(logs, this.#threads(), (log) =>
      log.close().catch((error: unknown) => failures.push(error)),
    );
    if (failures.length > 0) throw failures[0];
  }

  /** Where to make a partition, the best first. At least one directory can be used. */
  #placesFor(key: string): LogDirectory[] {
    const preferred = this.#preferred.get(key);
    this.#preferred.delete(key);
    if (preferred && !preferred.error) return [preferred];
    const usable = this.#online().filter(({ path }) => !this.isCordoned(path));
    // The cluster's own are made whatever is cordoned.
    const candidates = usable.length > 0 ? usable : this.#online();
    return candidates.sort((one, other) => one.partitions - other.partitions);
  }

  #directory(path: string): LogDirectory {
    const directory = new LogDirectory(this.#environment, path);
    directory.onFailure = (error) => {
      this.#options.logger.error({ directory: path, error }, 'a log directory is out of use');
      this.onOffline?.(path, [...directory.logs.values()]);
    };
    return directory;
  }

  /** Does something with a directory that puts only that directory out of use when it fails. */
  async #use(directory: LogDirectory, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      directory.fail(error);
    }
  }

  /** Puts those out of use that are empty where others say that they were not. Returns which are known to have been in use. */
  async #leaveUnmounted(): Promise<ReadonlySet<string>> {
    const known = new Set<string>();
    const isNew = ({ clusterId }: LogDirectory) => clusterId === null;
    for (const directory of this.#online().filter((each) => !isNew(each))) {
      await this.#use(directory, async () => {
        const paths = await readKnownDirectories(this.#environment.fileSystem, directory.path);
        for (const path of paths) known.add(path);
      });
    }
    for (const directory of this.#online().filter((each) => isNew(each) && known.has(each.path))) {
      const reason = `it was in use and has no ${META_PROPERTIES} now; is its disk not mounted? If what it held is lost, remove ${KNOWN_DIRECTORIES} from the other log directories`;
      directory.fail(new Error(reason));
    }
    return known;
  }

  /** Where there is no room for it, the next start does it: what is there is to be used nevertheless, and may give some. */
  async #writeKnown({ path }: LogDirectory, paths: readonly string[]): Promise<void> {
    const { fileSystem, logger } = this.#environment;
    try {
      await writeKnownDirectories(fileSystem, path, paths);
    } catch (error) {
      if (!isTransient(error)) throw error;
      logger.warn({ directory: path, error }, 'a log directory does not say which others are in use with it');
    }
  }

  #online(): LogDirectory[] {
    return this.#directories.filter((directory) => !directory.error);
  }

  #assertOnline(): void {
    if (this.#online().length > 0) return;
    const reasons = this.#directories.map((directory) => directory.error?.message).join('; ');
    throw new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `no log directory can be used: ${reasons}`);
  }

  #agreeOnCluster(): string {
    const wanted = this.#options.clusterId ?? null;
    const found = new Set(this.#online().flatMap(({ clusterId }) => (clusterId ? [clusterId] : [])));
    if (wanted) found.add(wanted);
    if (found.size > 1) throw new Error(`the log directories belong to clusters ${[...found].join(' and ')}`);
    return [...found][0] ?? randomUuid();
  }

  /** Also an empty mount point looks like that. */
  #tellOfNewCluster(clusterId: string): void {
    if (this.#online().some((directory) => directory.clusterId !== null)) return;
    const directories = this.#online().map(({ path }) => path);
    this.#options.logger.warn(
      { clusterId, directories },
      `a new, empty cluster begins: no log directory has ${META_PROPERTIES}. If there was one before, stop, and mount its disk`,
    );
  }

  async #loadAll(directory: LogDirectory): Promise<void> {
    const { logger, clock } = this.#environment;
    const startMs = clock.now();
    await directory.unmark();
    const { partitions, deleted } = await directory.find();
    const { verifyBatch, configOf, defaultConfig } = this.#options;
    await forEachParallel(partitions, this.#threads(), async ({ topic, partition }) => {
      const place = { topic, partition, directory: directory.path };
      await directory.load({
        topic,
        partition,
        config: configOf?.(topic) ?? defaultConfig,
        verifyBatch: verifyBatch && ((batch, file) => verifyBatch(place, batch, file)),
      });
    });
    directory.isLoaded = true;
    void directory.removeDeleted(deleted);
    const fields = { directory: directory.path, partitions: partitions.length, ms: clock.now() - startMs };
    logger.info(fields, 'log directory opened');
  }

  /** But for those of topics that are gone, which whoever knows the topics removes. */
  #assertUnique(): void {
    const seen = new Map<string, PartitionLog[]>();
    for (const log of this.logs()) {
      const key = partitionKey(log.topic, log.partition);
      const others = seen.get(key) ?? [];
      for (const { topicId, directory } of others)
        if (topicId === null || log.topicId === null || topicId === log.topicId)
          throw new Error(`${log.directory} and ${directory} are the same partition`);
      seen.set(key, [...others, log]);
    }
  }

  /** It is of another topic than this, which is gone, and cannot be removed where it is: the next start does that. */
  #isLeft(log: PartitionLog, topicId: string | null): boolean {
    const isOther = topicId !== null && log.topicId !== null && log.topicId !== topicId;
    return isOther && this.directoryOf(log)?.error != null;
  }

  /** The log if it is of that topic; one from before topic ids is from then on. */
  async #ofTopic(log: PartitionLog, topicId: string | null): Promise<PartitionLog> {
    if (!topicId || log.topicId === topicId) return log;
    if (log.topicId) {
      const message = `${log.directory} is of topic id ${log.topicId}, not ${topicId}`;
      throw new LogError(LogErrorCode.INCONSISTENT_TOPIC_ID, message);
    }
    const path = join(log.directory, PARTITION_METADATA);
    await this.#environment.fileSystem.replaceFile(path, encodePartitionMetadata(topicId));
    log.topicId = topicId;
    return log;
  }

  #threads(): number {
    return Math.max(1, this.#options.recoveryThreads ?? 2);
  }

  /** Each directory has its own: the disk of one may take long, or not answer any more. */
  #startTasks(directory: LogDirectory): void {
    const every = this.#intervals;
    const unlessFailed = (task: () => Promise<void>) => async () => {
      if (directory.error) return;
      try {
        await task();
      } catch (error) {
        this.#taskFailed(directory, error);
      }
    };
    // One that finds no room must not keep others from making some.
    const eachLog = (task: (log: PartitionLog) => unknown) =>
      unlessFailed(async () => {
        for (const log of [...directory.logs.values()]) {
          if (directory.error) return;
          try {
            await task(log);
          } catch (error) {
            // Of one that was deleted meanwhile nothing is there any more.
            if (!log.isClosed) this.#taskFailed(directory, error);
          }
        }
      });
    const { clock } = this.#environment;
    this.#repeat(
      every.retentionCheckMs,
      eachLog(async (log) => {
        const again = () => this.#deleteAgain(log);
        if (this.directoryOf(log)?.isUndeleted(log))
          await this.#changes.run(partitionKey(log.topic, log.partition), again);
        await log.deleteOldSegments();
      }),
      every.initialDelayMs,
    );
    this.#repeat(
      every.flushCheckMs,
      eachLog((log) => log.flushIfDue()),
    );
    this.#repeat(
      every.recoveryPointCheckpointMs,
      unlessFailed(async () => {
        if (this.#isCompared) await directory.advanceRecoveryPoints();
      }),
    );
    this.#repeat(
      every.logStartOffsetCheckpointMs,
      unlessFailed(() => directory.checkpoints.writeLogStartOffsets()),
    );
    this.#repeat(
      every.highWatermarkCheckpointMs,
      unlessFailed(() => directory.checkpoints.writeHighWatermarks()),
    );
    this.#repeat(
      every.producerExpirationCheckMs,
      eachLog((log) => log.expireProducers()),
    );
    this.#repeat(
      every.idleFileMs,
      eachLog((log) => log.closeIdleFiles(clock.now() - every.idleFileMs)),
    );
  }

  /** Runs a task again and again, each time so long after it has ended. */
  #repeat(intervalMs: number, task: () => Promise<void>, delayMs = intervalMs): void {
    if (this.#closing) return;
    const timer = this.#environment.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      task()
        .then(() => this.#repeat(intervalMs, task))
        .catch(() => {});
    });
    this.#timers.add(timer);
  }

  #taskFailed(directory: LogDirectory, error: unknown): void {
    this.#options.logger.error({ directory: directory.path, error }, 'a background task of the logs failed');
    if (!isTransient(error)) directory.fail(error);
  }
}

import { join } from 'node:path';
import { flatPath } from '../../util/flat-path.ts';
import {
  CLEAN_SHUTDOWN,
  decodeMetaProperties,
  decodePartitionMetadata,
  encodeCleanShutdown,
  encodeMetaProperties,
  encodePartitionMetadata,
  META_PROPERTIES,
  PARTITION_METADATA,
  partitionKey,
  randomUuid,
} from './checkpoint-files.ts';
import type { LogConfig } from './config.ts';
import { DirectoryCheckpoints } from './directory-checkpoints.ts';
import type { LogEnvironment } from './environment.ts';
import { isMissing, isTransient, LogError, LogErrorCode, storageError } from './errors.ts';
import {
  deletedDirectoryName,
  isDeletedDirectory,
  parseFutureDirectory,
  parsePartitionDirectory,
  partitionDirectoryName,
} from './log-file-names.ts';
import { loadLog, type VerifyBatch } from './log-loader.ts';
import { SEAL } from './moves/moved-files.ts';
import { clamp, smallest } from './offsets.ts';
import { PartitionLog } from './partition-log.ts';
import type { LogHost, PartitionLogOptions } from './partition-log-types.ts';
import type { DirectoryLock } from './ports.ts';
import { CoalescedWrite } from './serial.ts';

const SMALL_FILE_LIMIT_BYTES = 1 << 16;

/** Who has found batches in a file will have read them by then. */
const READERS_MS = 60_000;

/** What to open a log with that its directory does not say. */
export interface LogOpening {
  readonly topic: string;
  readonly partition: number;
  readonly config: LogConfig;
  readonly verifyBatch?: VerifyBatch | undefined;
}

export interface FoundDirectories {
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[];
  /** What is to take the place of partitions. */
  readonly futures: readonly { readonly topic: string; readonly partition: number; readonly name: string }[];
  /** Absolute paths of what is left of deleted partitions. */
  readonly deleted: readonly string[];
}

/** One of `log.dirs`: the logs in it, its checkpoints, and the files that say whose it is and whether it was closed. */
export class LogDirectory implements LogHost {
  readonly path: string;
  /** By `partitionKey`. */
  readonly logs = new Map<string, PartitionLog>();
  /** Logs that are about to be here; the checkpoints speak of them already. */
  readonly #arriving = new Set<PartitionLog>();
  readonly checkpoints: DirectoryCheckpoints;
  /** Kafka's directory id (KIP-858); null before `claim` in a new directory. */
  id: string | null = null;
  /** Null before `claim` in a new directory. */
  clusterId: string | null = null;
  /** Why the directory is not used; null while it is. */
  error: LogError | null = null;
  /** All logs that are here are open; before that nothing is known of them that could be written down. */
  isLoaded = false;
  /** Called once, when the directory fails. */
  onFailure: (error: LogError) => void = () => {};
  readonly #environment: LogEnvironment;
  #lock: DirectoryLock | null = null;
  /** It was closed cleanly. */
  #clean = false;
  /** The file that says so is still there. */
  #isMarked = false;
  #isClosed = false;
  #creating = 0;
  /** The checkpoints speak of logs that are gone. */
  #isOutdated = false;
  /** Logs that are to be deleted: for some reason that may pass, such as a full disk, that has failed. */
  readonly #undeleted = new Set<PartitionLog>();
  /** Of the directory itself. Partitions that are made or removed at the same time share one. */
  readonly #sync: CoalescedWrite;

  constructor(environment: LogEnvironment, path: string) {
    this.#environment = environment;
    this.path = path;
    this.#sync = new CoalescedWrite(() => environment.fileSystem.syncDirectory(path));
    this.checkpoints = new DirectoryCheckpoints(environment, path, () => [
      ...this.logs.values(),
      ...this.#arriving,
    ]);
  }

  /** Takes the directory, creating it if need be. Rejects if it cannot be used or belongs to another node. */
  async open(nodeId: number): Promise<void> {
    const { fileSystem } = this.#environment;
    await fileSystem.makeDirectory(this.path);
    this.#lock = fileSystem.lockDirectory(this.path);
    const meta = await this.#readSmall(META_PROPERTIES);
    if (meta) {
      const { clusterId, directoryId, nodeId: owner } = decodeMetaProperties(meta);
      if (owner !== nodeId) throw new Error(`${this.path} belongs to node ${owner}, not ${nodeId}`);
      this.clusterId = clusterId;
      this.id = directoryId;
    }
    await this.checkpoints.read();
    this.#clean = (await this.#readSmall(CLEAN_SHUTDOWN)) !== null;
    this.#isMarked = this.#clean;
  }

  /** Logs are about to be opened: from now on only `close` says that they are in order. Not before, as a full disk may refuse to have it said again. */
  async unmark(): Promise<void> {
    const { fileSystem } = this.#environment;
    this.#isMarked = false;
    await fileSystem.remove(join(this.path, CLEAN_SHUTDOWN));
    await fileSystem.syncDirectory(this.path);
  }

  /** Writes down whose the directory is, if it does not say so yet. */
  async claim(clusterId: string, nodeId: number): Promise<void> {
    if (this.clusterId === clusterId && this.id) return;
    const directoryId = this.id ?? randomUuid();
    const meta = encodeMetaProperties({ clusterId, nodeId, directoryId });
    await this.#environment.fileSystem.replaceFile(join(this.path, META_PROPERTIES), meta);
    this.clusterId = clusterId;
    this.id = directoryId;
  }

  /** What partitions are here. */
  async find(): Promise<FoundDirectories> {
    const entries = (await this.#environment.fileSystem.list(this.path)) ?? [];
    const names = entries.filter((entry) => entry.isDirectory).map((entry) => entry.name);
    return {
      partitions: names.map(parsePartitionDirectory).filter((found) => found !== null),
      futures: names.flatMap((name) => {
        const found = parseFutureDirectory(name);
        return found === null ? [] : [{ ...found, name }];
      }),
      deleted: names.filter(isDeletedDirectory).map((name) => join(this.path, name)),
    };
  }

  /** Opens a log that is here. */
  async load(opening: LogOpening): Promise<PartitionLog> {
    const { topic, partition, config, verifyBatch } = opening;
    const directory = this.#directoryOf(opening);
    const offsets = this.checkpoints.of(topic, partition);
    const clean = this.#clean;
    const loaded = await loadLog(this.#environment, { ...offsets, directory, config, clean, verifyBatch });
    const metadata = await this.#environment.fileSystem.readFile(
      join(directory, PARTITION_METADATA),
      SMALL_FILE_LIMIT_BYTES,
    );
    return this.#add(opening, {
      loaded,
      directory,
      topicId: metadata && decodePartitionMetadata(metadata),
      highWatermark: offsets.highWatermark,
      // What was cut off comes again as records that were never compacted.
      cleanedOffset: smallest(offsets.cleanedOffset, loaded.logEndOffset),
      recoveredFrom: clean ? null : clamp(offsets.recoveryPoint, loaded.logStartOffset, loaded.logEndOffset),
    });
  }

  /** Those being made included. */
  get partitions(): number {
    return this.logs.size + this.#creating;
  }

  /** Makes a new log here. */
  async create(opening: LogOpening, topicId: string | null): Promise<PartitionLog> {
    this.#creating++;
    try {
      return await this.#create(opening, topicId);
    } catch (error) {
      await this.#removeUnmade(this.#directoryOf(opening)).catch(() => {});
      throw error;
    } finally {
      this.#creating--;
    }
  }

  /** The partition may be made in another directory next, and no start takes one that is in two. */
  async #removeUnmade(directory: string): Promise<void> {
    const { fileSystem } = this.#environment;
    const found = (await fileSystem.list(directory)) ?? [];
    if (found.every(({ name }) => name.startsWith(PARTITION_METADATA))) await fileSystem.remove(directory);
  }

  /** Whether nothing is here of a partition that could not be made, durably. */
  async isWithout(opening: LogOpening): Promise<boolean> {
    try {
      if ((await this.#environment.fileSystem.list(this.#directoryOf(opening))) !== null) return false;
      await this.#sync.request();
      return true;
    } catch {
      return false;
    }
  }

  async #create(opening: LogOpening, topicId: string | null): Promise<PartitionLog> {
    const { fileSystem } = this.#environment;
    const directory = this.#directoryOf(opening);
    if (this.#isOutdated) await this.checkpoints.writeAll();
    this.#isOutdated = false;
    await fileSystem.makeDirectory(directory);
    if (topicId)
      await fileSystem.replaceFile(join(directory, PARTITION_METADATA), encodePartitionMetadata(topicId));
    await this.#sync.request();
    const offsets = { recoveryPoint: 0n, logStartOffset: 0n, cleanedOffset: 0n };
    const { config } = opening;
    const loaded = await loadLog(this.#environment, { ...offsets, directory, config, clean: false });
    return this.#add(opening, {
      loaded,
      directory,
      topicId,
      highWatermark: 0n,
      cleanedOffset: 0n,
      recoveredFrom: null,
    });
  }

  /**
   * Takes a log away: its directory is renamed, durably, and removed with all it holds after `file.delete.delay.ms`. A failure that does not pass by
   * itself puts this directory out of use, as in Kafka; after another one it is to be called again.
   */
  async delete(log: PartitionLog): Promise<void> {
    this.#undeleted.add(log);
    try {
      await this.#delete(log);
      this.#undeleted.delete(log);
    } catch (error) {
      if (!isTransient(error)) this.fail(error);
      throw error;
    }
  }

  /** Whether its deletion has failed, and is to be tried again. */
  isUndeleted(log: PartitionLog): boolean {
    return this.error === null && this.#undeleted.has(log);
  }

  async #delete(log: PartitionLog): Promise<void> {
    const { fileSystem } = this.#environment;
    await log.retire(new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${log.directory} is deleted`));
    const name = deletedDirectoryName(log.topic, log.partition, crypto.randomUUID());
    const renamed = join(this.path, name);
    try {
      await fileSystem.rename(log.directory, renamed);
    } catch (error) {
      // Somebody has removed it by hand.
      if (!isMissing(error)) throw error;
    }
    log.moved(renamed);
    await this.#sync.request();
    this.logs.delete(partitionKey(log.topic, log.partition));
    this.#removeLater(renamed, () => log.closeFiles(), log.config.fileDeleteDelayMs);
    await this.forgetGone();
  }

  /**
   * Has the checkpoints speak of the logs that are here, and of no other: a later partition of the same name must not find the offsets of one that is
   * gone. When the disk is too full to say so now, that is done before the next one is made here.
   */
  async forgetGone(): Promise<void> {
    try {
      await this.checkpoints.writeAll();
    } catch (error) {
      if (!isTransient(error)) throw error;
      this.#isOutdated = true;
    }
  }

  /** Removes what is left of deleted partitions, one after the other: of terabytes that takes minutes, for which nobody is to wait. Never rejects. */
  async removeDeleted(paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.#removeDeleted(path);
  }

  async #removeDeleted(path: string): Promise<void> {
    // The next start does it.
    if (this.#isClosed) return;
    const { fileSystem, logger } = this.#environment;
    try {
      await fileSystem.remove(path);
    } catch (error) {
      logger.warn({ directory: path, error }, 'a deleted partition could not be removed');
    }
  }

  #removeLater(renamed: string, closeFiles: () => Promise<void>, delayMs: number): void {
    const { clock, logger } = this.#environment;
    clock.setTimer(delayMs, () => {
      void closeFiles()
        .catch((error: unknown) => logger.debug({ directory: renamed, error }, 'closing a deleted partition'))
        .then(() => this.#removeDeleted(renamed));
    });
  }

  /**
   * Hands a log over to another directory, where a copy of it is; nothing may be appended meanwhile. `complete` brings the copy up to date. From the
   * first renaming on the copy is the partition, and a start finishes what a crash has interrupted. When it is rejected the log goes on here, unless
   * this directory is out of use then.
   */
  async handOver(
    log: PartitionLog,
    to: LogDirectory,
    copy: string,
    complete: () => Promise<void>,
  ): Promise<void> {
    const { topic, partition } = log;
    const { fileSystem } = this.#environment;
    const key = partitionKey(topic, partition);
    const from = log.directory;
    const directory = flatPath(to.path, partitionDirectoryName(topic, partition));
    const aside = join(this.path, deletedDirectoryName(topic, partition, crypto.randomUUID()));
    to.#arriving.add(log);
    try {
      const files = await log.relocation.relocate({ host: to, directory }, async () => {
        await complete();
        await to.checkpoints.writeAll();
        if (to.error !== null) throw to.error;
        if (log.topicId) await fileSystem.replaceFile(join(copy, SEAL), encodePartitionMetadata(log.topicId));
        await this.#exchange(from, aside, () => to.#exchange(copy, directory, async () => {}));
        this.logs.delete(key);
        to.logs.set(key, log);
      });
      const close = async () => {
        for (const file of files) await file.close();
      };
      this.#removeLater(aside, close, Math.max(log.config.fileDeleteDelayMs, READERS_MS));
    } catch (error) {
      to.#isOutdated = true;
      throw error;
    } finally {
      to.#arriving.delete(log);
    }
    // It was not among the logs that a failure since then has taken along.
    if (to.error !== null) await log.retire(to.error);
    // Whatever becomes of that, the log is there by now.
    await this.forgetGone().catch((error: unknown) => this.fail(error));
  }

  /** Removes a copy that is not to become a partition; also a start does, from the first step on. */
  async discard(copy: string, topic: string, partition: number): Promise<void> {
    const { fileSystem } = this.#environment;
    const aside = join(this.path, deletedDirectoryName(topic, partition, crypto.randomUUID()));
    try {
      await fileSystem.rename(copy, aside);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    await this.#sync.request();
    await fileSystem.remove(aside);
  }

  /** Renames a directory, durably, and does what is to follow; if that fails, takes it back. */
  async #exchange(from: string, to: string, follow: () => Promise<void>): Promise<void> {
    const { fileSystem } = this.#environment;
    await fileSystem.rename(from, to);
    try {
      await this.#sync.request();
      await follow();
    } catch (error) {
      try {
        await fileSystem.rename(to, from);
        await this.#sync.request();
      } catch (failure) {
        this.fail(failure);
      }
      throw error;
    }
  }

  /** Writes the recovery points after what rolled segments lack. Rejects when a log could not complete them; the others go on. */
  async advanceRecoveryPoints(): Promise<void> {
    const failures: unknown[] = [];
    for (const log of this.logs.values()) {
      await log.prepareCheckpoint().catch((error: unknown) => {
        if (!isTransient(error)) throw error;
        failures.push(error);
      });
    }
    await this.checkpoints.writeRecoveryPoints();
    if (failures.length > 0) throw failures[0];
  }

  checkpointRecoveryPoints(): Promise<void> {
    return this.checkpoints.writeRecoveryPoints();
  }

  checkpointCleanedOffsets(): Promise<void> {
    return this.checkpoints.writeCleanedOffsets();
  }

  checkpointLogStartOffsets(): Promise<void> {
    return this.checkpoints.writeLogStartOffsets();
  }

  storageFailed(_log: PartitionLog, error: LogError): void {
    this.fail(error);
  }

  /** Stops using the directory: its logs refuse appends from then on. */
  fail(cause: unknown): void {
    if (this.error) return;
    const error = storageError(`log directory ${this.path}`, cause);
    this.error = error;
    for (const log of this.logs.values()) {
      log.retire(error).catch((failure: unknown) => {
        this.#environment.logger.debug({ directory: log.directory, error: failure }, 'stopping a failed log');
      });
    }
    this.onFailure(error);
  }

  /**
   * Closes the logs, and says that the directory is in order. What was not loaded is left as it was; so is, after a crash, what was not compared with
   * its payload: the next start is to do that.
   */
  async close(
    closeLogs: (logs: readonly PartitionLog[]) => Promise<void>,
    isCompared: boolean,
  ): Promise<void> {
    this.#isClosed = true;
    try {
      if (this.error || this.#isMarked) return;
      if (!this.#clean && !(this.isLoaded && isCompared)) return;
      if (this.isLoaded) {
        await closeLogs([...this.logs.values()]);
        await this.checkpoints.writeAll();
      }
      await this.#environment.fileSystem.replaceFile(join(this.path, CLEAN_SHUTDOWN), encodeCleanShutdown());
    } finally {
      this.#lock?.release();
      this.#lock = null;
    }
  }

  #directoryOf(opening: LogOpening): string {
    return flatPath(this.path, partitionDirectoryName(opening.topic, opening.partition));
  }

  #add(opening: LogOpening, rest: Omit<PartitionLogOptions, keyof LogOpening>): PartitionLog {
    // Nobody would take it along: its directory has failed while it was opened.
    if (this.error !== null) throw this.error;
    const { topic, partition, config } = opening;
    const log = new PartitionLog(this.#environment, this, { topic, partition, config, ...rest });
    this.logs.set(partitionKey(topic, partition), log);
    return log;
  }

  #readSmall(name: string): Promise<Uint8Array | null> {
    return this.#environment.fileSystem.readFile(join(this.path, name), SMALL_FILE_LIMIT_BYTES);
  }
}

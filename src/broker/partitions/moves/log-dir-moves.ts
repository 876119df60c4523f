import { partitionKey } from '../../../backend/log/checkpoint-files.ts';
import type { LogDirectory } from '../../../backend/log/log-directory.ts';
import { futureDirectoryName, MAX_NAME_LENGTH } from '../../../backend/log/log-file-names.ts';
import { ErrorCode } from '../../../protocol/errors.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import type { Logger } from '../../../util/logger.ts';
import type { Partition } from '../partition.ts';
import { type MoveDependencies, MoveEnded, PartitionMove } from './partition-move.ts';

export interface LogDirMovesOptions extends Omit<MoveDependencies, 'copied'> {
  /** The partition; null if there is none. */
  find(topic: string, index: number): Partition | null;
  /** The ErrorCode with which to answer for a partition that was not found. */
  errorOfMissing(topic: string, index: number): number;
  /** Moves at the same time. */
  readonly threads: number;
  isCordoned(directory: string): boolean;
  /** Called with what was copied. */
  spent(bytes: number): void;
  /** A partition is in another directory now. */
  moved(topic: string, index: number, directoryId: Uuid): Promise<void>;
  readonly logger: Logger;
}

/** Counted since the start. */
export interface LogDirMoveMetrics {
  completed: number;
  failures: number;
  bytes: number;
}

/** Where a partition is to be, and its way there. */
interface Wish {
  readonly partition: Partition;
  /** Null: where it is. */
  to: LogDirectory | null;
  move: PartitionMove | null;
  done: Promise<void>;
}

/** Moves partitions between log directories while they are used (KIP-113). */
export class LogDirMoves {
  readonly metrics: LogDirMoveMetrics = { completed: 0, failures: 0, bytes: 0 };
  readonly #options: LogDirMovesOptions;
  readonly #dependencies: MoveDependencies;
  readonly #wishes = new Map<string, Wish>();
  /** Moves that wait until others have ended; told whether they may run. */
  readonly #waiting = new Map<PartitionMove, (mayRun: boolean) => void>();
  #running = 0;
  #stopped = false;

  constructor(options: LogDirMovesOptions) {
    this.#options = options;
    const { logs, fileSystem, clock } = options;
    this.#dependencies = {
      ...{ logs, fileSystem, clock },
      mayCopy: () => options.mayCopy(),
      copied: (bytes) => {
        this.metrics.bytes += bytes;
        options.spent(bytes);
      },
    };
  }

  /** Moves under way, those that wait for others included. */
  *moves(): Iterable<PartitionMove> {
    for (const { partition, move, to } of this.#wishes.values()) {
      const isThere = this.#options.logs.directoryOf(partition.log) === to;
      if (move !== null && move.to === to && !isThere) yield move;
    }
  }

  /**
   * Begins to move a partition to a log directory, or gives a move up when it is there; one that does not exist yet will be made there.
   * @param path of the directory, as `log.dirs` has it
   * @returns an ErrorCode
   */
  alter(topic: string, index: number, path: string): number {
    const { logs, isCordoned, find, errorOfMissing } = this.#options;
    if (futureDirectoryName(topic, index, crypto.randomUUID()).length > MAX_NAME_LENGTH)
      return ErrorCode.INVALID_TOPIC_EXCEPTION;
    const to = logs.directories.find((directory) => directory.path === path);
    if (to === undefined) return ErrorCode.LOG_DIR_NOT_FOUND;
    if (to.error !== null) return ErrorCode.KAFKA_STORAGE_ERROR;
    if (isCordoned(path)) return ErrorCode.INVALID_REPLICA_ASSIGNMENT;
    const partition = find(topic, index);
    if (partition !== null) {
      if (partition.log.isClosed) return ErrorCode.KAFKA_STORAGE_ERROR;
      this.#wish(partition, to);
      return ErrorCode.NONE;
    }
    const error = errorOfMissing(topic, index);
    if (error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) logs.prefer(topic, index, to);
    return error;
  }

  /** Goes on with what an earlier process has begun; removes what is of no use. */
  async resume(): Promise<void> {
    const { logs, find, errorOfMissing, logger } = this.#options;
    for (const { topic, partition: index, in: to, path } of logs.futures) {
      const partition = find(topic, index);
      // It is there, and may be opened by a later start.
      if (partition === null && errorOfMissing(topic, index) === ErrorCode.KAFKA_STORAGE_ERROR) continue;
      const isWanted = partition !== null && logs.directoryOf(partition.log) !== to;
      if (isWanted && !this.#wishes.has(partitionKey(topic, index))) {
        logger.info({ topic, partition: index, to: path }, 'Going on with the move of a partition');
        this.#wish(partition, to, path);
      } else await this.#remove(to, path, topic, index);
    }
  }

  /** A topic is about to be deleted: gives up the moves of its partitions; resolves when none is under way. */
  async forget(topic: string): Promise<void> {
    const ended: Promise<void>[] = [];
    for (const wish of this.#wishes.values()) {
      if (wish.partition.topic !== topic) continue;
      this.#settleFor(wish, null);
      ended.push(wish.done);
    }
    await Promise.all(ended);
  }

  /** Ends what is under way; the next start goes on with it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { move } of this.#wishes.values()) if (move !== null) this.#end(move);
    await this.idle();
  }

  /** Resolves when nothing is under way that was when it was called. */
  async idle(): Promise<void> {
    await Promise.all(Array.from(this.#wishes.values(), ({ done }) => done));
  }

  #wish(partition: Partition, to: LogDirectory, path?: string): void {
    if (this.#stopped) return;
    const { topic, index, log } = partition;
    const key = partitionKey(topic, index);
    const before = this.#wishes.get(key);
    if (before !== undefined) {
      this.#settleFor(before, to);
      return;
    }
    if (this.#options.logs.directoryOf(log) === to) return;
    const wish: Wish = { partition, to, move: null, done: Promise.resolve() };
    this.#wishes.set(key, wish);
    wish.done = this.#fulfil(wish, path);
  }

  #settleFor(wish: Wish, to: LogDirectory | null): void {
    wish.to = to;
    if (wish.move !== null && wish.move.to !== to) this.#end(wish.move);
  }

  #end(move: PartitionMove): void {
    move.end();
    this.#waiting.get(move)?.(false);
    this.#waiting.delete(move);
  }

  /** Moves a partition until it is where it is wished to be: that may change meanwhile. */
  async #fulfil(wish: Wish, path?: string): Promise<void> {
    const { logs } = this.#options;
    let begun = path;
    while (!this.#stopped && wish.to !== null && logs.directoryOf(wish.partition.log) !== wish.to) {
      const move = new PartitionMove(this.#dependencies, wish.partition, wish.to, begun);
      begun = undefined;
      wish.move = move;
      if (await this.#mayRun(move)) {
        await this.#run(wish, move);
        this.#leave();
      } else if (!this.#stopped) await this.#discard(move);
      wish.move = null;
    }
    this.#wishes.delete(partitionKey(wish.partition.topic, wish.partition.index));
  }

  async #run(wish: Wish, move: PartitionMove): Promise<void> {
    const { logger, moved, clock } = this.#options;
    const { topic, index, log } = move.partition;
    const beganMs = clock.now();
    const fields = { topic, partition: index, from: log.directory, to: move.to.path };
    try {
      await move.run();
      this.metrics.completed++;
      logger.info({ ...fields, ms: clock.now() - beganMs }, 'A partition was moved to another log directory');
    } catch (error) {
      if (!(error instanceof MoveEnded)) {
        this.metrics.failures++;
        logger.error({ ...fields, err: error }, 'A partition could not be moved, and stays where it is');
        wish.to = null;
      }
      if (!this.#stopped) await this.#discard(move);
      return;
    }
    // Nobody waits for it: a deletion that waits for the move may be in its way.
    moved(topic, index, move.to.id ?? '').catch((error: unknown) =>
      logger.warn({ ...fields, err: error }, 'The metadata does not say where a partition was moved to'),
    );
  }

  /** Resolves when one more may run, or to false when it was given up before. */
  async #mayRun(move: PartitionMove): Promise<boolean> {
    if (this.#running < this.#options.threads) {
      this.#running++;
      return true;
    }
    return new Promise((resolve) => this.#waiting.set(move, resolve));
  }

  #leave(): void {
    for (const [next, begin] of this.#waiting) {
      this.#waiting.delete(next);
      begin(true);
      return;
    }
    this.#running--;
  }

  #discard({ to, path, partition: { topic, index } }: PartitionMove): Promise<void> {
    return this.#remove(to, path, topic, index);
  }

  async #remove(directory: LogDirectory, path: string, topic: string, index: number): Promise<void> {
    try {
      await directory.discard(path, topic, index);
    } catch (error) {
      this.#options.logger.warn({ path, err: error }, 'The rest of a copy could not be removed');
    }
  }
}

import type { MemoryPiece } from '../../native/pieces.ts';
import { recycledBytesFor } from '../../native/store.ts';
import type { Clock } from '../../util/clock.ts';
import { isMissing, LogError, LogErrorCode, storageError } from './errors.ts';
import type { Appended, AppendOptions, FileSystem, LogFile, OpenOptions } from './ports.ts';

interface QueuedAppend {
  readonly bytes: Uint8Array | MemoryPiece;
  readonly options: AppendOptions;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How the file of a new segment is made. */
export interface SegmentCreation {
  readonly preallocateBytes: number;
  /** About how large it will become, if it becomes large. */
  readonly segmentBytes: number;
  /** Space that it has before its first append. */
  readonly aheadBytes: number;
}

/**
 * A segment's .log file. It is opened when it is first used and closed when it has been idle, so that idle partitions hold no
 * descriptor. Appends are taken at once, also while it is being opened.
 */
export class SegmentFile {
  readonly #fileSystem: FileSystem;
  readonly #clock: Clock;
  readonly #preallocateBytes: number;
  #create: SegmentCreation | null;
  /** A copy of the file is to be opened, for which no space is reserved. */
  #isCopied = false;
  #path: string;
  #size: number;
  /** Bytes that were handed to the file: what is not in the queue. */
  #handedBytes: number;
  #writtenBytes: number;
  #file: LogFile | null = null;
  #opening: Promise<LogFile> | null = null;
  #renaming: Promise<void> | null = null;
  /** It is not opened again meanwhile: what was allocated behind its end is cut off, with whatever is there by then. */
  #closing: Promise<void> | null = null;
  #queue: QueuedAppend[] = [];
  #unfinished = 0;
  #syncedBytes: number;
  /** Why an append never reached the file: those after it must not either, until `truncate`. */
  #broken: LogError | null = null;
  #lastUsedMs = 0;

  /** `create`: the file is new; otherwise it is there and has `size` bytes that are taken to be durable. */
  constructor(
    options: { fileSystem: FileSystem; clock: Clock; path: string; size: number },
    create: SegmentCreation | null = null,
  ) {
    this.#fileSystem = options.fileSystem;
    this.#clock = options.clock;
    this.#path = options.path;
    this.#size = options.size;
    this.#handedBytes = options.size;
    this.#writtenBytes = options.size;
    this.#syncedBytes = create ? -1 : options.size;
    this.#create = create;
    this.#preallocateBytes = create?.preallocateBytes ?? 0;
  }

  /** Bytes, including appends that are not finished. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that can be read from the file and survive the death of the process. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  get path(): string {
    return this.#path;
  }

  /** The open file, if it is open; it stays so for the idle time at least. */
  get current(): LogFile | null {
    if (this.#file) this.#lastUsedMs = this.#clock.now();
    return this.#file;
  }

  /** When somebody last appended or read, in clock milliseconds. */
  get lastUsedMs(): number {
    return this.#lastUsedMs;
  }

  /** Says that everything up to the file's end has to be synced, whatever was assumed. */
  markUnsynced(): void {
    this.#syncedBytes = -1;
  }

  get isSynced(): boolean {
    return this.#syncedBytes === this.#size;
  }

  /** Opens the file if need be. Rejects with KAFKA_STORAGE_ERROR. */
  async open(): Promise<LogFile> {
    this.#lastUsedMs = this.#clock.now();
    if (this.#file) return this.#file;
    this.#opening ??= this.#openAndDrain().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  /**
   * Takes bytes for the end of the file; they are copied, or their memory retained, before it returns. Throws KAFKA_STORAGE_ERROR, and takes
   * nothing, when too much is queued.
   */
  append(bytes: Uint8Array | MemoryPiece, options: AppendOptions = {}): Appended {
    if (this.#broken) throw this.#broken;
    const position = this.#size;
    const done = this.#file ? this.#write(this.#file, bytes, options) : this.#enqueue(bytes, options);
    this.#size += bytes.byteLength;
    return { position, done };
  }

  /** Resolves when everything appended before the call is durable. */
  async sync(): Promise<void> {
    const size = this.#size;
    if (this.isSynced) return;
    const file = await this.open();
    try {
      await file.sync();
    } catch (error) {
      if (this.#broken) throw storageError(`flushing ${this.#path}`, error);
      // The kernel may have dropped what it could not write, so this does not pass by itself, whatever the reason: no cause.
      throw new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `flushing ${this.#path} failed: ${String(error)}`);
    }
    if (size > this.#syncedBytes) this.#syncedBytes = Math.min(size, this.#size);
  }

  /** Also needed after a failed append, before the next one. */
  async truncate(size: number): Promise<void> {
    const file = await this.open();
    await file.truncate(size);
    this.#broken = null;
    this.#size = size;
    this.#handedBytes = size;
    this.#writtenBytes = size;
    this.#syncedBytes = -1;
  }

  /** Gives back the space that was allocated behind the last batch. */
  async trim(): Promise<void> {
    await this.#file?.trim();
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => {});
    const file = this.#file;
    if (file === null) return;
    this.#file = null;
    this.#closing = file.close();
    try {
      await this.#closing;
    } finally {
      this.#closing = null;
    }
  }

  /** Closes the file if nobody has used it since `before` and nothing is unfinished. */
  async closeIdle(before: number): Promise<void> {
    if (!this.#file || this.#lastUsedMs > before || this.#unfinished > 0 || this.#opening) return;
    await this.sync();
    if (this.#lastUsedMs <= before && this.#unfinished === 0) await this.close();
  }

  /** Renames the file; it is not opened meanwhile, and an open one stays usable. Rejects with ENOENT when it was never made. */
  async rename(path: string): Promise<void> {
    while (this.#opening) await this.#opening.catch(() => {});
    const before = this.#path;
    this.#path = path;
    this.#renaming = this.#fileSystem.rename(before, path);
    try {
      await this.#renaming;
    } catch (error) {
      if (!isMissing(error)) this.#path = before;
      throw error;
    } finally {
      this.#renaming = null;
    }
  }

  /** The file was renamed; an open one stays usable. */
  moved(path: string): void {
    this.#path = path;
  }

  /** Not to be opened before the promise, which is never rejected, has settled; resolves when it is not being opened any more. */
  async hold(until: Promise<void>): Promise<void> {
    while (this.#opening) await this.#opening.catch(() => {});
    const renaming = until.finally(() => {
      if (this.#renaming === renaming) this.#renaming = null;
    });
    this.#renaming = renaming;
  }

  /** A copy at `path` has taken the file's place. Returns the one that was open, which stays usable until it is closed; null: none was. */
  replaced(path: string): LogFile | null {
    const file = this.#file;
    this.#file = null;
    this.#path = path;
    this.#isCopied = true;
    return file;
  }

  async #openAndDrain(): Promise<LogFile> {
    try {
      await this.#closing?.catch(() => {});
      await this.#renaming?.catch(() => {});
      const file = await this.#openAtEnd();
      const queue = this.#takeQueue();
      this.#file = file;
      for (const { bytes, options, resolve, reject } of queue) {
        try {
          if (this.#broken) throw this.#broken;
          const done = this.#write(file, bytes, options);
          if (done) done.then(resolve, reject);
          else resolve();
        } catch (error) {
          this.#broken ??= storageError(`appending to ${this.#path}`, error);
          reject(this.#broken);
        } finally {
          releaseCopy(bytes);
        }
      }
      return file;
    } catch (error) {
      const failure = storageError(`opening ${this.#path}`, error);
      for (const { bytes, reject } of this.#takeQueue()) {
        releaseCopy(bytes);
        reject(failure);
      }
      throw failure;
    }
  }

  async #openAtEnd(): Promise<LogFile> {
    const file = await this.#fileSystem.open(this.#path, this.#openOptions());
    this.#create = null;
    this.#isCopied = false;
    if (file.size < this.#handedBytes) {
      await file.close();
      throw new Error(`the file has ${file.size} bytes where ${this.#handedBytes} were written`);
    }
    // What is reserved and was never written.
    if (file.size > this.#handedBytes) await file.truncate(this.#handedBytes);
    return file;
  }

  #openOptions(): OpenOptions {
    // What has begun to be filled was ended before it was copied.
    if (!this.#create)
      return this.#isCopied && this.#handedBytes === 0 ? { preallocateBytes: this.#preallocateBytes } : {};
    const { preallocateBytes, segmentBytes, aheadBytes } = this.#create;
    const largest = this.#queue.reduce((most, { bytes }) => Math.max(most, bytes.byteLength), 0);
    return {
      create: true,
      preallocateBytes,
      recycledBytes: recycledBytesFor(largest, segmentBytes),
      aheadBytes,
    };
  }

  #takeQueue(): QueuedAppend[] {
    const queue = this.#queue;
    this.#queue = [];
    return queue;
  }

  #write(file: LogFile, bytes: Uint8Array | MemoryPiece, options: AppendOptions): Promise<void> | null {
    this.#lastUsedMs = this.#clock.now();
    try {
      const { done } = file.append([bytes], options);
      this.#handedBytes += bytes.byteLength;
      const end = this.#handedBytes;
      if (!done) {
        this.#writtenBytes = end;
        return null;
      }
      this.#unfinished++;
      return done.then(
        () => {
          this.#unfinished--;
          // A later append may have been done at once, before this one was heard of.
          this.#writtenBytes = Math.max(this.#writtenBytes, end);
        },
        (error: unknown) => {
          this.#unfinished--;
          const failure = storageError(`writing ${this.#path}`, error);
          this.#broken ??= failure;
          throw failure;
        },
      );
    } catch (error) {
      throw storageError(`appending to ${this.#path}`, error);
    }
  }

  #enqueue(bytes: Uint8Array | MemoryPiece, options: AppendOptions): Promise<void> {
    // Not slice: of a Buffer, which the protocol reader gives, that is a view of memory that the next frame overwrites.
    const held = bytes instanceof Uint8Array ? new Uint8Array(bytes) : bytes;
    if (!(held instanceof Uint8Array)) held.memory.retain();
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes: held, options, resolve, reject });
      // The queue learns of a failure by itself.
      this.open().catch(() => {});
    });
  }
}

function releaseCopy(bytes: Uint8Array | MemoryPiece): void {
  if (!(bytes instanceof Uint8Array)) bytes.memory.release();
}

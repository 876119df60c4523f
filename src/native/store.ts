import { type CompactionOptions, CompactionRound } from './compaction.ts';
import { completion, startCompletions } from './completions.ts';
import { storeBinding as native, type StoreStats } from './store-binding.ts';
import { StoreFile } from './store-file.ts';

export interface StoreOptions {
  /** Threads each for writing, flushing and reading (1 to 256); default 4. */
  threads?: number;
  /** How long a read waits for room in the arena before it fails with ETIMEDOUT; default 10 s. */
  memoryTimeoutMs?: number;
  /** Limit on bytes appended and not yet written; above it `append` throws ENOBUFS. Default 1 GiB. */
  maxQueuedBytes?: number;
  /** Bypass the page cache where the file system can (default): the arena is the only cache then. */
  direct?: boolean;
  /** Threads for `copyRange` and `publishCopy` (at most 256), at low priority; default 0, and then these fail. */
  copyThreads?: number;
}

export interface OpenOptions {
  /** Create the file if it does not exist; its directory entry is made durable by the first `sync`. */
  create?: boolean;
  readOnly?: boolean;
  /** Reserve this much space; `size` stays as it is, and `close` and `truncate` give back what was not used. */
  preallocateBytes?: number;
  /**
   * What the file will have at most, about. One that is created may begin with as much space of a removed one (see `recycleIn`), all zeros; `size` is 0
   * nevertheless, and `close` and `truncate` give back what was not used. No more is allocated ahead, as long as it is not needed.
   */
  recycledBytes?: number;
  /** One that is created gets so much space at once, so that its first appends need not wait for it; `close` and `truncate` give back what was not used. */
  aheadBytes?: number;
}

/** Exclusive use of a data directory, until `release` or the end of the process. */
export interface DirectoryLock {
  release(): void;
}

const LARGE_APPEND_BYTES = 64 << 10;
/** Enough for what arrives until the first of it is written; of a large file it is a step as the store takes them later. */
const MIN_AHEAD_BYTES = 8 << 20;
const MAX_AHEAD_BYTES = 64 << 20;
const AHEAD_SHARE = 16;

/** `OpenOptions.recycledBytes` of a new file of up to `fileBytes` whose first append is known: one that begins large will be large. */
export function recycledBytesFor(appendBytes: number, fileBytes: number): number {
  return appendBytes >= LARGE_APPEND_BYTES ? fileBytes : 0;
}

/** `OpenOptions.aheadBytes` of a new file of up to `fileBytes` that follows one of `previousBytes`: what follows a file that became full will be filled, too. */
export function aheadBytesFor(previousBytes: number, fileBytes: number): number {
  if (previousBytes < fileBytes / 2) return 0;
  return Math.min(Math.max(Math.ceil(fileBytes / AHEAD_SHARE), MIN_AHEAD_BYTES), MAX_AHEAD_BYTES, fileBytes);
}

/**
 * Files that are appended to, on native threads. All failures are Errors with `code` ('ENOSPC', 'EIO', ...).
 */
export class Store {
  readonly #store: number;
  readonly #direct: boolean;
  readonly #files = new Set<StoreFile>();
  /** The last replacement under way for each path. */
  readonly #replacements = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(options: StoreOptions = {}) {
    startCompletions();
    this.#direct = options.direct ?? true;
    this.#store = native.storeCreate(
      options.threads ?? 4,
      options.memoryTimeoutMs ?? 10_000,
      options.maxQueuedBytes ?? 2 ** 30,
      this.#direct,
      options.copyThreads ?? 0,
    );
  }

  async open(path: string, options: OpenOptions = {}): Promise<StoreFile> {
    this.#assertRunning();
    const [fileId, size, direct] = await completion<[number, number, boolean]>((id) =>
      native.storeOpen(
        this.#store,
        id,
        path,
        options.create ?? false,
        options.readOnly ?? false,
        options.preallocateBytes ?? 0,
        Math.min(options.recycledBytes ?? 0, Number.MAX_SAFE_INTEGER),
        options.aheadBytes ?? 0,
      ),
    );
    const file: StoreFile = new StoreFile({ path, fileId, size, direct }, () => this.#files.delete(file));
    this.#files.add(file);
    return file;
  }

  /**
   * Locks a directory as Apache Kafka does (`.lock`), so that no two processes use it. Throws EBUSY, naming the owner's process
   * id, when it is taken.
   */
  lockDirectory(directory: string): DirectoryLock {
    let lock: number | null = native.storeLock(directory);
    return {
      release() {
        if (lock !== null) native.storeUnlock(lock);
        lock = null;
      },
    };
  }

  /**
   * Replaces a whole file durably: after a crash it has either its old or its new content. Replacements of one path
   * happen in the order of the calls.
   */
  atomicWrite(path: string, bytes: Uint8Array): Promise<void> {
    this.#assertRunning();
    const copy = Uint8Array.from(bytes);
    const replace = () =>
      completion<void>((id) => native.storeReplaceFile(this.#store, id, path, copy)).then(() => {});
    const before = this.#replacements.get(path);
    const replaced = before ? before.then(replace, replace) : replace();
    this.#replacements.set(path, replaced);
    const forget = () => {
      if (this.#replacements.get(path) === replaced) this.#replacements.delete(path);
    };
    replaced.then(forget, forget);
    return replaced;
  }

  /** Removes a file, or a directory with all it holds; it may be gone already. Large files that nobody has open are kept for new ones: `recycleIn`. */
  async remove(path: string): Promise<void> {
    this.#assertRunning();
    await completion((id) => native.storeRemove(this.#store, id, path));
  }

  /**
   * Gives back the space of parts of a complete file, durably, block by block; they read as zeros then, and all else stays as it is and where it is.
   * Rejects with EBUSY, and nothing is done, while something of the file waits to be sent from there, to a peer that reads slowly.
   * @param ranges position and length of each, ascending, within the file
   * @returns `held`: what the file takes then, at most its length; `replaced`: the file system cannot do that, and the file of that name is another one
   *     by now, so that whoever has it open keeps the space of the one before
   */
  async punch(path: string, ranges: Float64Array): Promise<{ held: number; replaced: boolean }> {
    this.#assertRunning();
    const [held, replaced] = await completion<[number, boolean]>((id) =>
      native.storePunch(this.#store, id, path, ranges),
    );
    return { held, replaced };
  }

  /**
   * Copies up to `length` bytes at `position`, a multiple of 4096, from one file to the same place of another, which is created. Neither may
   * be written meanwhile. Resolves to the bytes copied: fewer at the end of the file.
   */
  copyRange(from: string, to: string, position: number, length: number): Promise<number> {
    this.#assertRunning();
    return completion<number>((id) => native.storeCopyRange(this.#store, id, from, to, position, length));
  }

  /**
   * Makes a complete copy of `from` durable under the name `to`, which must be new, with the original's time of change: after a crash it is
   * there as a whole or not at all.
   */
  async publishCopy(from: string, copy: string, to: string): Promise<void> {
    this.#assertRunning();
    await completion((id) => native.storePublishCopy(this.#store, id, from, copy, to));
  }

  /**
   * Keeps the space of files that are removed below `directory` (absolute), up to `bytes` of it, as files of its own there; so is what an
   * earlier process kept. A full disk gets it back. `prepare`: writes files of `fileBytes` to have `bytes` of them soon, in the background.
   */
  async recycleIn(directory: string, bytes: number, prepare = { bytes: 0, fileBytes: 0 }): Promise<void> {
    await this.#recycleIn(directory, bytes, prepare, false);
  }

  /**
   * As `recycleIn`, for memory: files are kept with what they hold, so that a new file begins with that, and may be prepared where there is no direct
   * I/O. Only for files of which nobody reads what was not written again.
   */
  async poolIn(
    directory: string,
    bytes: number,
    prepare: { bytes: number; fileBytes: number },
  ): Promise<void> {
    await this.#recycleIn(directory, bytes, prepare, true);
  }

  async #recycleIn(
    directory: string,
    bytes: number,
    prepare: { bytes: number; fileBytes: number },
    asTheyAre: boolean,
  ): Promise<void> {
    this.#assertRunning();
    const limit = Math.min(bytes, Number.MAX_SAFE_INTEGER);
    const ahead = Math.min(prepare.bytes, limit);
    await completion((id) =>
      native.storeRecycleIn(this.#store, id, directory, limit, ahead, prepare.fileBytes, asTheyAre),
    );
  }

  /** Bytes of removed files, or prepared ones, that are kept in a directory given to `recycleIn` or `poolIn`. */
  keptIn(directory: string): number {
    return native.storeKeptIn(this.#store, directory);
  }

  /**
   * Writes files below `directory` (absolute) that are opened from now on as persistent memory, through mappings, durable without a flush, where that is
   * possible; `detail` says how, or why not, for people.
   */
  async usePersistentMemory(directory: string): Promise<{ mapped: boolean; detail: string }> {
    this.#assertRunning();
    const [persistence, detail] = await completion<[number, string]>((id) =>
      native.storeAddPersistent(this.#store, id, directory),
    );
    return { mapped: persistence > 0, detail };
  }

  /** Makes a directory, and those above it; it may be there. */
  async makeDirectory(path: string): Promise<void> {
    this.#assertRunning();
    await completion((id) => native.storeMakeDirectory(this.#store, id, path));
  }

  /** Renames a file or a directory. Rejects with ENOENT when it is not there. */
  async rename(from: string, to: string): Promise<void> {
    this.#assertRunning();
    await completion((id) => native.storeRename(this.#store, id, from, to));
  }

  /** Makes it durable that files were created in, renamed in or removed from a directory. */
  async syncDirectory(directory: string): Promise<void> {
    this.#assertRunning();
    await completion((id) => native.storeSyncDirectory(this.#store, id, directory));
  }

  /** Begins a round of compaction of files below its directories. Throws ENOMEM. */
  compact(options: CompactionOptions): CompactionRound {
    this.#assertRunning();
    return new CompactionRound(this.#store, this.#direct, options);
  }

  stats(): StoreStats {
    return native.storeStats(this.#store);
  }

  /** Finishes what was asked for, closes all files and ends the threads. Nothing is flushed that `sync` was not called for. */
  async shutdown(): Promise<void> {
    if (this.#stopped) return;
    await Promise.allSettled(this.#replacements.values());
    this.#stopped = true;
    await Promise.all([...this.#files].map((file) => file.close()));
    await completion((id) => native.storeStop(this.#store, id));
  }

  #assertRunning(): void {
    if (this.#stopped) throw new Error('the store is shut down');
  }
}

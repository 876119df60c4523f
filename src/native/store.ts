import { binding } from './addon.ts';
import type { NativeMemory } from './arena.ts';
import { BATCH_SLOTS, type BatchHeader, readHeader } from './batch-layout.ts';
import { type CompactionOptions, CompactionRound } from './compaction.ts';
import { completion, completionUnlessDone, startCompletions } from './completions.ts';
import { foundPieces, piecesOf } from './listed-pieces.ts';
import { FilePiece, type FileSource, MemoryPiece, type Piece } from './pieces.ts';

interface StoreBinding {
  storeCreate(
    threads: number,
    memoryTimeoutMs: number,
    maxQueuedBytes: number,
    direct: boolean,
    copyThreads: number,
  ): number;
  storeStop(store: number, id: number): void;
  storeStats(store: number): StoreStats;
  storeOpen(
    store: number,
    id: number,
    path: string,
    create: boolean,
    readOnly: boolean,
    preallocateBytes: number,
    recycledBytes: number,
  ): void;
  storeRemove(store: number, id: number, path: string): void;
  storePunch(store: number, id: number, path: string, ranges: Float64Array): void;
  storeCopyRange(store: number, id: number, from: string, to: string, position: number, length: number): void;
  storePublishCopy(store: number, id: number, from: string, copy: string, to: string): void;
  storeRecycleIn(
    store: number,
    id: number,
    directory: string,
    bytes: number,
    preparedBytes: number,
    fileBytes: number,
    asTheyAre: boolean,
  ): void;
  storeKeptIn(store: number, directory: string): number;
  storeAddPersistent(store: number, id: number, directory: string): void;
  storeReplaceFile(store: number, id: number, path: string, bytes: Uint8Array): void;
  storeSyncDirectory(store: number, id: number, path: string): void;
  storeLock(directory: string): number;
  storeUnlock(lock: number): void;
  fileAppend(
    file: number,
    id: number,
    parts: (Uint8Array | number)[],
    length: number,
    align: boolean,
    fromMemory: boolean,
  ): number;
  fileSync(file: number, id: number): void;
  fileTruncate(file: number, id: number, size: number): void;
  fileTrim(file: number, id: number): void;
  fileClose(file: number, id: number): void;
  fileRead(file: number, id: number, position: number, length: number, withCrc: boolean, seed: number): void;
  fileScan(
    file: number,
    id: number,
    position: number,
    maxBytes: number,
    maxBatches: number,
    verifyCrc: boolean,
    end: number,
  ): void;
  fileFind(
    file: number,
    position: number,
    length: number,
    appended: boolean,
    into: Float64Array,
  ): number | Float64Array | null;
  fileReadPieces(file: number, id: number, position: number, length: number): void;
}

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

/** Counted since the store was made. */
export interface StoreStats {
  /** Appended and not yet written; the only one that falls. */
  queuedBytes: number;
  appends: number;
  /** Appends that were acknowledged from memory, before they were written. */
  acknowledged: number;
  /** Groups of appends, each written by one system call. */
  writes: number;
  bytesWritten: number;
  /** Of these, copied before, because their address in memory did not suit their position in the file. */
  bytesGathered: number;
  /** fdatasync calls. */
  syncs: number;
  reads: number;
  bytesRead: number;
  /** Reads that found the arena full. */
  memoryWaits: number;
  /** Ranges of files in the arena's memory, which give way when it is asked for. */
  cachedBytes: number;
  /** Bytes that reads found in the arena, and those that they had to read from the device. */
  cacheHitBytes: number;
  cacheMissBytes: number;
  /** Space of removed files that is kept for new ones, and how many files began with such space. */
  recycledBytes: number;
  recycledFiles: number;
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
}

/** Why a scan ended, in the order of ScanEnd in native/store/scan.h. */
const SCAN_ENDS = ['limit', 'end', 'torn', 'zeros', 'corrupt'] as const;

export interface ScanResult {
  batches: BatchHeader[];
  /** Position behind the last of `batches`. */
  end: number;
  /**
   * 'limit': there may be more; 'end': the file ends there; 'torn': a batch is cut off by the end of the file; 'zeros': only
   * zeros follow (preallocated); 'corrupt': what follows is no batch, or its CRC is wrong.
   */
  reason: (typeof SCAN_ENDS)[number];
}

export interface AppendOptions {
  /** Leave a gap before the bytes, less than two disk blocks, such that they can be written from where they are. */
  align?: boolean;
  /** Be content when the bytes survive the death of the process: then `done` may be null. */
  fromMemory?: boolean;
}

export interface ScanOptions {
  /** Read everything and accept only batches whose CRC is right. */
  verifyCrc?: boolean;
  /** At most 65,536, which is the default. */
  maxBatches?: number;
  /** By default the end of the file once everything queued is written. */
  end?: number;
}

/** Exclusive use of a data directory, until `release` or the end of the process. */
export interface DirectoryLock {
  release(): void;
}

const LARGE_APPEND_BYTES = 64 << 10;

/** `OpenOptions.recycledBytes` of a new file of up to `fileBytes` whose first append is known: one that begins large will be large. */
export function recycledBytesFor(appendBytes: number, fileBytes: number): number {
  return appendBytes >= LARGE_APPEND_BYTES ? fileBytes : 0;
}

const native = binding<StoreBinding>();
const MAX_SCANNED_BATCHES = 65_536;

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

/** An appended range, and when it is safe. */
export interface Appended {
  position: number;
  /** It can be read, and survives the death of the process (see `sync` for more) when this resolves; null: it does so now. */
  done: Promise<void> | null;
}

/**
 * An open file, made by Store.open. Operations happen in the order of the calls. When an append fails (ENOSPC, EIO), so do all
 * that are queued behind it and all later ones, until `truncate` to the last good size has succeeded; a failed `sync` has the same
 * effect, for the kernel may have dropped what it could not write.
 */
export class StoreFile implements FileSource {
  readonly path: string;
  /** Names the open file for native code. */
  readonly fileId: number;
  /** It bypasses the page cache. */
  readonly direct: boolean;
  readonly #onClose: () => void;
  #size: number;
  #closed: Promise<void> | null = null;

  constructor(opened: { path: string; fileId: number; size: number; direct: boolean }, onClose: () => void) {
    this.path = opened.path;
    this.fileId = opened.fileId;
    this.direct = opened.direct;
    this.#size = opened.size;
    this.#onClose = onClose;
  }

  /** The end of the file once everything queued is written. */
  get size(): number {
    return this.#size;
  }

  /**
   * Queues the pieces behind all earlier appends. Bytes are copied and memory is retained before this returns (the caller keeps its own
   * references). Throws ENOBUFS, and appends nothing, when too much is queued already.
   */
  append(pieces: readonly (Uint8Array | MemoryPiece)[], options: AppendOptions = {}): Appended {
    const parts: (Uint8Array | number)[] = [];
    let length = 0;
    for (const piece of pieces) {
      length += piece.byteLength;
      if (piece instanceof MemoryPiece) {
        parts.push(piece.memory.handle, piece.memory.blockOffset + piece.offset, piece.byteLength);
      } else parts.push(piece);
    }
    let position = 0;
    const { align = false, fromMemory = false } = options;
    const done = completionUnlessDone<void>((id) => {
      position = native.fileAppend(this.fileId, id, parts, length, align, fromMemory);
      if (position >= 0) return true;
      position = -1 - position;
      return false;
    });
    this.#size = position + length;
    return { position, done };
  }

  /** Resolves when everything appended or truncated before the call is durable. Concurrent callers share one flush. */
  async sync(): Promise<void> {
    await completion((id) => native.fileSync(this.fileId, id));
  }

  /** Reads what has been written: fewer bytes at its end. The caller releases the memory. */
  async read(position: number, length: number): Promise<NativeMemory> {
    return (await this.#read(position, length, false, 0)).piece.memory;
  }

  /** As `read`, with the CRC-32C of what was read, continuing from `seed`. */
  readCrc(position: number, length: number, seed = 0): Promise<{ piece: MemoryPiece; crc32c: number }> {
    return this.#read(position, length, true, seed);
  }

  async #read(
    position: number,
    length: number,
    withCrc: boolean,
    seed: number,
  ): Promise<{ piece: MemoryPiece; crc32c: number }> {
    const [flat, crc32c] = await completion<[Float64Array, number]>((id) =>
      native.fileRead(this.fileId, id, position, length, withCrc, seed),
    );
    return { piece: piecesOf(flat, this, position)[0]!, crc32c };
  }

  /**
   * What to send for a range, if it is there without waiting: pieces of memory, which the caller releases, or, where the page cache is
   * used, the range of the file.
   */
  find(position: number, length: number): Piece[] | null {
    if (!this.direct) return [new FilePiece(this, position, length)];
    return this.#find(position, length, false);
  }

  /** A range as it was appended, if it is still in memory, and there in one piece. The caller releases it. */
  findAppended(position: number, length: number): MemoryPiece | null {
    const pieces = this.#find(position, length, true) ?? [];
    if (pieces.length === 1) return pieces[0]!;
    for (const { memory } of pieces) memory.release();
    return null;
  }

  #find(position: number, length: number, appended: boolean): MemoryPiece[] | null {
    const found = native.fileFind(this.fileId, position, length, appended, foundPieces);
    if (typeof found !== 'number') return found && piecesOf(found, this, position);
    return piecesOf(foundPieces, this, position, found);
  }

  /** Reads what has been appended: fewer bytes at its end. The caller releases the memory. */
  async readPieces(position: number, length: number): Promise<MemoryPiece[]> {
    return piecesOf(
      await completion<Float64Array>((id) => native.fileReadPieces(this.fileId, id, position, length)),
      this,
      position,
    );
  }

  /** Cuts the file to `size` bytes (or extends it with zeros), after what was queued before; later appends go there. */
  async truncate(size: number): Promise<void> {
    const truncated = completion((id) => native.fileTruncate(this.fileId, id, size));
    this.#size = size;
    await truncated;
  }

  /** Gives back space that was allocated ahead, after what was queued before: the file then ends with what was appended. */
  async trim(): Promise<void> {
    await completion((id) => native.fileTrim(this.fileId, id));
  }

  /** Closes after what was queued before; what is being sent from the file is still sent. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = completion<void>((id) => native.fileClose(this.fileId, id)).then(() => {});
      this.#onClose();
    }
    return this.#closed;
  }
}

/**
 * Finds the batches of a file that start at `position` or behind and before `position + maxBytes`, by their headers; `position` must
 * be the start of a batch. The file is taken to end at `options.end`.
 */
export async function scanBatches(
  file: StoreFile,
  position: number,
  maxBytes: number,
  options: ScanOptions = {},
): Promise<ScanResult> {
  const limit = Math.min(maxBytes, Number.MAX_SAFE_INTEGER);
  const maxBatches = Math.min(options.maxBatches ?? MAX_SCANNED_BATCHES, MAX_SCANNED_BATCHES);
  const [doubles, end, reason] = await completion<[Float64Array, number, number]>((id) =>
    native.fileScan(
      file.fileId,
      id,
      position,
      limit,
      maxBatches,
      options.verifyCrc ?? false,
      options.end ?? file.size,
    ),
  );
  const integers = new BigInt64Array(doubles.buffer);
  const batches: BatchHeader[] = [];
  for (let i = 0; i < doubles.length / BATCH_SLOTS; i++) batches.push(readHeader(doubles, integers, i));
  return { batches, end, reason: SCAN_ENDS[reason]! };
}

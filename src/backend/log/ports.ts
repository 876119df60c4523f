import type { MemoryPiece, Piece } from '../../native/pieces.ts';

/**
 * What a log needs from the machine. `storeFileSystem` gives it the native store and the disk; tests give it a file
 * system in memory that tears writes and runs full.
 */

/** Bytes outside the JavaScript heap, counted by references and freed explicitly. */
export interface Memory {
  readonly byteLength: number;
  /** A view, valid while a reference is held. */
  bytes(): Uint8Array;
  release(): void;
}

export interface AppendOptions {
  /** Be content when the bytes survive the death of the process, before they are in the file. */
  readonly fromMemory?: boolean;
}

export interface Appended {
  readonly position: number;
  /** Resolves when the bytes survive the death of the process and can be read; null: they do. */
  readonly done: Promise<void> | null;
}

export interface OpenOptions {
  readonly create?: boolean;
  /** Space to reserve. */
  readonly preallocateBytes?: number;
  /** How much space of removed files a new one may begin with, because it will be large. */
  readonly recycledBytes?: number;
  /** Space that a new one has before its first append. */
  readonly aheadBytes?: number;
}

/** An open append-only file. */
export interface LogFile {
  readonly path: string;
  /** The native handle's id, which lets the network send ranges of the file. */
  readonly fileId: number;
  /** Where the next append goes, in bytes; queued appends included. */
  readonly size: number;
  /**
   * Queues bytes for the end of the file; they are copied, or their memory is retained, before it returns. Appends complete
   * in order. One that fails rejects with an Error that carries `code` (ENOSPC, EIO), and so do all behind it until `truncate`.
   */
  append(pieces: (Uint8Array | MemoryPiece)[], options?: AppendOptions): Appended;
  /** Resolves when everything appended before the call is durable. */
  sync(): Promise<void>;
  /** Reads up to `length` bytes; fewer at the end of the file. The caller releases the memory. */
  read(position: number, length: number): Promise<Memory>;
  /** What to send for a range, if it is there without waiting; null otherwise. Whoever gets memory pieces releases them. */
  find(position: number, length: number): Piece[] | null;
  /** What to send for a range, read into memory. */
  readPieces(position: number, length: number): Promise<Piece[]>;
  truncate(size: number): Promise<void>;
  /** Gives back space that was allocated behind the last append. */
  trim(): Promise<void>;
  close(): Promise<void>;
}

/** One batch as a scan found it. The fields are those of Kafka's record batch header. */
export interface BatchInfo {
  /** Of the batch in its file. */
  readonly position: number;
  /** Of the whole batch with its header. */
  readonly sizeBytes: number;
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  readonly leaderEpoch: number;
  readonly attributes: number;
  readonly maxTimestamp: bigint;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  /** Of a control batch that ends a transaction. */
  readonly marker: EndTransactionMarker | null;
}

export interface EndTransactionMarker {
  readonly commit: boolean;
  readonly coordinatorEpoch: number;
}

export interface BatchScan {
  readonly batches: readonly BatchInfo[];
  /** Where the scan stopped: the end of the last batch. */
  readonly end: number;
  /** Why it stopped there: at the limit or end of file, at zeros (space never written), or at damage. */
  readonly stop: 'end' | 'zeros' | 'damaged';
  /** What is damaged, for the log line. */
  readonly reason: string;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  readonly sizeBytes: number;
  /** When it was last written. */
  readonly modifiedMs: number;
}

/** Held while this process owns a directory. */
export interface DirectoryLock {
  release(): void;
}

/** Files and directories; every call rejects with an Error that carries `code`, as Node's do. */
export interface FileSystem {
  open(path: string, options?: OpenOptions): Promise<LogFile>;
  /** The whole of a small file; null when there is none. Rejects above `limitBytes`. */
  readFile(path: string, limitBytes: number): Promise<Uint8Array | null>;
  /** Replaces a file as one step: it has its old content or its new, and when the call resolves, durably the new. The bytes are copied at once. */
  replaceFile(path: string, bytes: Uint8Array): Promise<void>;
  /** The entries of a directory, in no order; null when there is none. */
  list(path: string): Promise<DirectoryEntry[] | null>;
  makeDirectory(path: string): Promise<void>;
  /** Rejects with ENOENT when there is no `from`. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or a directory with all it holds; it may be gone already. */
  remove(path: string): Promise<void>;
  /** Makes the creation, renaming and removal of a directory's entries durable. */
  syncDirectory(path: string): Promise<void>;
  /** Takes the lock file of a directory; throws if another process holds it. */
  lockDirectory(path: string): DirectoryLock;
  /** Reads the batches of [position, limit) one after another, up to `maxBytes` of them but at least one. */
  scanBatches(
    file: LogFile,
    position: number,
    limit: number,
    options: { maxBytes: number; verifyCrc: boolean },
  ): Promise<BatchScan>;
  /**
   * Copies bytes of a file that nobody writes to the same place of another, in the background; fewer at its end. `position`: a multiple of 4096;
   * returns how many.
   */
  copyRange(from: string, to: string, position: number, length: number): Promise<number>;
  /** Gives the whole copy of a file its name, which must be free, with the time of its last change; both durably. */
  publishCopy(from: string, copy: string, to: string): Promise<void>;
  /** The records section of a compressed batch, decompressed. `codec` is the batch attributes' compression type. */
  decompress(codec: number, bytes: Uint8Array): Promise<Uint8Array>;
}

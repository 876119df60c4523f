import { binding } from './addon.ts';

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

/** Slots of the batches found, the position behind the last, and why the scan ended. */
export type Scanned = [slots: Float64Array, end: number, reason: number];

/** What native code has for stores and their files; both are named by numbers. */
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
    aheadBytes: number,
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
  storeMakeDirectory(store: number, id: number, path: string): void;
  storeRename(store: number, id: number, from: string, to: string): void;
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
  /** `ranges`: position, length, seed and the CRC expected of each; the last two negative: none. */
  fileRead(file: number, id: number, ranges: Float64Array): void;
  /** Null when something of it is not in memory, or when it would take long. */
  fileScanFound(
    file: number,
    position: number,
    maxBytes: number,
    maxBatches: number,
    end: number,
  ): Scanned | null;
  /** Completes with Scanned. */
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

export const storeBinding = binding<StoreBinding>();

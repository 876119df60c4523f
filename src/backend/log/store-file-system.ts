import type { Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ScanResult, scanBatches } from '../../native/batch-scan.ts';
import { type Codec, decompressAsync } from '../../native/codec.ts';
import type { Store } from '../../native/store.ts';
import type { StoreFile } from '../../native/store-file.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';
import { isControl, readBatchInfo, viewOf } from './batch.ts';
import { isMissing } from './errors.ts';
import type { BatchInfo, BatchScan, DirectoryEntry, FileSystem } from './ports.ts';

/** The records section of a compressed batch may not become larger. */
const DECOMPRESSED_LIMIT_BYTES = 2 ** 30;
/** Enough of a control batch to hold its marker. */
const MARKER_BYTES = BATCH_HEADER_SIZE + 64;

/** The disk and the native store as a log's file system. */
export function storeFileSystem(store: Store): FileSystem {
  return {
    open: (path, options) => store.open(path, options),
    readFile: readSmallFile,
    replaceFile: (path, bytes) => store.atomicWrite(path, bytes),
    list,
    makeDirectory: (path) => store.makeDirectory(path),
    rename: (from, to) => store.rename(from, to),
    remove: (path) => store.remove(path),
    syncDirectory: (path) => store.syncDirectory(path),
    lockDirectory: (path) => store.lockDirectory(path),
    // Every file of a log was opened above.
    scanBatches: (file, position, limit, options) => scan(file as StoreFile, position, limit, options),
    copyRange: (from, to, position, length) => store.copyRange(from, to, position, length),
    publishCopy: (from, copy, to) => store.publishCopy(from, copy, to),
    decompress: (codec, bytes) => decompressAsync(codec as Codec, bytes, DECOMPRESSED_LIMIT_BYTES),
  };
}

async function readSmallFile(path: string, limitBytes: number): Promise<Uint8Array | null> {
  try {
    const { size } = await stat(path);
    if (size > limitBytes) throw new Error(`${path} has ${size} bytes where ${limitBytes} are the limit`);
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function list(path: string): Promise<DirectoryEntry[] | null> {
  const entries: DirectoryEntry[] = [];
  try {
    for (const name of await readdir(path)) {
      const found = await statOf(join(path, name));
      // What vanishes meanwhile was being removed.
      if (found === null) continue;
      entries.push({
        name,
        isDirectory: found.isDirectory(),
        sizeBytes: found.size,
        modifiedMs: found.mtimeMs,
      });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return entries;
}

/** Null when it is not there. */
async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function scan(
  file: StoreFile,
  position: number,
  limit: number,
  { maxBytes, verifyCrc }: { maxBytes: number; verifyCrc: boolean },
): Promise<BatchScan> {
  const bytes = Math.min(limit - position, Math.max(1, maxBytes));
  const { batches, end, reason } = await scanBatches(file, position, bytes, { verifyCrc, end: limit });
  const found: BatchInfo[] = [];
  for (const batch of batches)
    found.push(isControl(batch) ? await readControlBatch(file, batch) : infoOf(batch));
  const stop = reason === 'zeros' ? 'zeros' : reason === 'limit' || reason === 'end' ? 'end' : 'damaged';
  return { batches: found, end, stop, reason: stop === 'damaged' ? `${reason} batch` : '' };
}

function infoOf(batch: ScanResult['batches'][number]): BatchInfo {
  const { position, sizeBytes, baseOffset, producerId, producerEpoch, baseSequence, recordCount } = batch;
  return {
    position,
    sizeBytes,
    baseOffset,
    lastOffset: baseOffset + BigInt(batch.lastOffsetDelta),
    leaderEpoch: batch.partitionLeaderEpoch,
    attributes: batch.attributes,
    maxTimestamp: batch.headerMaxTimestamp,
    producerId,
    producerEpoch,
    baseSequence,
    recordCount,
    marker: null,
  };
}

/** Control batches are few and small; their marker is not among what a scan gives. */
async function readControlBatch(
  file: StoreFile,
  { position, sizeBytes }: { position: number; sizeBytes: number },
): Promise<BatchInfo> {
  const memory = await file.read(position, Math.min(sizeBytes, MARKER_BYTES));
  try {
    return readBatchInfo(viewOf(memory.bytes()), 0, position);
  } finally {
    memory.release();
  }
}

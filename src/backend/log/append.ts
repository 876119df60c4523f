import {
  Attribute,
  BATCH_HEADER_SIZE,
  HeaderField,
  LOG_OVERHEAD,
  NO_TIMESTAMP,
} from '../../protocol/records/batch-header.ts';
import { readBatchInfo, viewOf } from './batch.ts';
import type { LogConfig } from './config.ts';
import { LogError, LogErrorCode } from './errors.ts';
import type { AppendResult } from './partition-log-types.ts';
import type { BatchInfo } from './ports.ts';
import type { RememberedBatch } from './producer-entry.ts';

/**
 * Reads the headers of the batches in `bytes`, which must be whole; positions count from its start. With `assign`, base offsets (from
 * `baseOffset` on) and the leader epoch are written into the headers first; the checksum does not cover them.
 */
export function readAppend(
  bytes: Uint8Array,
  assign: { baseOffset: bigint; leaderEpoch: number } | null,
): BatchInfo[] {
  const view = viewOf(bytes);
  const batches: BatchInfo[] = [];
  let nextOffset = assign?.baseOffset ?? 0n;
  for (let at = 0; at < bytes.length; ) {
    if (at + BATCH_HEADER_SIZE > bytes.length) throw malformed('an incomplete batch header');
    const sizeBytes = view.getInt32(at + HeaderField.batchLength) + LOG_OVERHEAD;
    if (sizeBytes < BATCH_HEADER_SIZE || at + sizeBytes > bytes.length) {
      throw malformed(`a batch of ${sizeBytes} bytes`);
    }
    if (assign) {
      view.setBigInt64(at + HeaderField.baseOffset, nextOffset);
      view.setInt32(at + HeaderField.partitionLeaderEpoch, assign.leaderEpoch);
    }
    const batch = readBatchInfo(view, at, at);
    if (batch.lastOffset < batch.baseOffset || batch.baseOffset < nextOffset) {
      throw malformed(`offsets ${batch.baseOffset} to ${batch.lastOffset} where ${nextOffset} is due`);
    }
    nextOffset = batch.lastOffset + 1n;
    batches.push(batch);
    at += sizeBytes;
  }
  if (batches.length === 0) throw malformed('no batch');
  return batches;
}

/** Refuses what no segment can hold, and a replica's batches that do not follow the log's end. */
export function checkAppend(first: BatchInfo, bytes: number, logEndOffset: bigint, config: LogConfig): void {
  if (first.baseOffset < logEndOffset) {
    throw malformed(`offset ${first.baseOffset}, in a log that ends at ${logEndOffset},`);
  }
  if (bytes > config.segmentBytes) {
    const message = `${bytes} bytes of batches where a segment has ${config.segmentBytes}`;
    throw new LogError(LogErrorCode.RECORD_LIST_TOO_LARGE, message);
  }
}

/** The time of the append, if batches like this one carry it: `timestamp`; -1 otherwise. */
export function appendTimeOf({ attributes }: BatchInfo, timestamp: bigint): bigint {
  return (attributes & Attribute.logAppendTime) === 0 ? NO_TIMESTAMP : timestamp;
}

/** The answer when batches, of which `last` is the last, come again that are in the log. */
export function answerAgain(
  { firstOffset, lastOffset, timestamp }: RememberedBatch,
  last: BatchInfo,
  written: Promise<void> | null,
): AppendResult {
  const logAppendTimeMs = appendTimeOf(last, timestamp);
  return { baseOffset: firstOffset, lastOffset, duplicate: true, logAppendTimeMs, written };
}

function malformed(what: string): LogError {
  return new LogError(LogErrorCode.CORRUPT_MESSAGE, `${what} in an append`);
}

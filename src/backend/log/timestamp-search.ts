import { Attribute, BATCH_HEADER_SIZE, HeaderField } from '../../protocol/records/batch-header.ts';
import { RecordCursor, viewOf } from './batch.ts';
import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { largest } from './offsets.ts';
import type { BatchInfo } from './ports.ts';
import type { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';

/** A record that a search found. */
export interface FoundRecord {
  readonly timestamp: bigint;
  readonly offset: bigint;
  readonly leaderEpoch: number;
}

type Wanted = (record: { timestamp: bigint; offset: bigint }) => boolean;

/** The first record at or above `startOffset` whose timestamp is `timestamp` or later; null when there is none. */
export async function findTimestamp(
  environment: LogEnvironment,
  segments: SegmentList,
  config: LogConfig,
  search: { timestamp: bigint; startOffset: bigint },
): Promise<FoundRecord | null> {
  const { timestamp, startOffset } = search;
  const wanted: Wanted = (record) => record.timestamp >= timestamp && record.offset >= startOffset;
  for (const segment of segments.from(startOffset)) {
    if ((await segment.maxTimestamp(config)).timestamp < timestamp) continue;
    const { offset, time } = await segment.indexes(config);
    const position = offset.lookup(largest(time.lookup(timestamp), startOffset));
    const mayHold = (batch: BatchInfo) => batch.maxTimestamp >= timestamp && batch.lastOffset >= startOffset;
    const found = await findRecord(environment, segment, position, mayHold, wanted);
    if (found) return found;
  }
  return null;
}

/**
 * The first offset at or above `startOffset` that retention by time keeps: of the first record that `findTimestamp` finds, or of a segment without
 * timestamps whose file was written since; null when it keeps nothing.
 */
export async function findKept(
  environment: LogEnvironment,
  segments: SegmentList,
  config: LogConfig,
  search: { timestamp: bigint; startOffset: bigint },
): Promise<bigint | null> {
  const { timestamp, startOffset } = search;
  const end = (await findTimestamp(environment, segments, config, search))?.offset ?? null;
  for (const segment of segments.from(startOffset)) {
    if (end !== null && segment.baseOffset > end) break;
    const hasNone = segment.size > 0 && (await segment.maxTimestamp(config)).timestamp < 0n;
    if (hasNone && segment.modifiedMs >= Number(timestamp)) return largest(segment.baseOffset, startOffset);
  }
  return end;
}

/**
 * The first record that has the largest timestamp of the log (KIP-734); null when no record has a timestamp. Of a compacted log some batches
 * say a timestamp that no record has any more: those that stay without records, and those whose payload lies elsewhere.
 */
export async function findMaxTimestamp(
  environment: LogEnvironment,
  segments: SegmentList,
  config: LogConfig,
): Promise<FoundRecord | null> {
  const candidates: { segment: Segment; timestamp: bigint; offset: bigint }[] = [];
  for (const segment of segments.all) {
    const max = await segment.maxTimestamp(config);
    if (max.timestamp >= 0n) candidates.push({ segment, ...max });
  }
  candidates.sort((a, b) => (a.timestamp > b.timestamp ? -1 : a.timestamp < b.timestamp ? 1 : 0));
  let best: FoundRecord | null = null;
  for (const { segment, timestamp, offset } of candidates) {
    if (best !== null && best.timestamp >= timestamp) break;
    const position = (await segment.indexes(config)).offset.lookup(offset);
    const mayHold = (batch: BatchInfo) => batch.maxTimestamp === timestamp;
    const isIt: Wanted = (record) => record.timestamp === timestamp;
    const found = await findRecord(environment, segment, position, mayHold, isIt);
    if (found) return found;
    best = await newestRecord(environment, segment, best);
  }
  return best;
}

/** The first record with the largest timestamp of a segment, if that is larger than `best`'s, or else `best`. */
async function newestRecord(
  environment: LogEnvironment,
  segment: Segment,
  best: FoundRecord | null,
): Promise<FoundRecord | null> {
  let newest = best;
  let leaderEpoch = -1;
  const isNewer = (timestamp: bigint) => timestamp > (newest?.timestamp ?? -1n);
  const mayHold = (batch: BatchInfo) => {
    leaderEpoch = batch.leaderEpoch;
    return isNewer(batch.maxTimestamp);
  };
  const remember: Wanted = ({ timestamp, offset }) => {
    if (isNewer(timestamp)) newest = { timestamp, offset, leaderEpoch };
    return false;
  };
  await findRecord(environment, segment, 0, mayHold, remember);
  return newest;
}

/** The first wanted record from `position` on, in a batch that may hold one. */
async function findRecord(
  environment: LogEnvironment,
  segment: Segment,
  position: number,
  mayHold: (batch: BatchInfo) => boolean,
  wanted: Wanted,
): Promise<FoundRecord | null> {
  for (let at = position; ; ) {
    const { batches, end } = await segment.scan(at);
    for (const batch of batches) {
      if (!mayHold(batch)) continue;
      const record = await recordOf(environment, segment, batch, wanted);
      if (record) return { ...record, leaderEpoch: batch.leaderEpoch };
    }
    if (batches.length === 0) return null;
    at = end;
  }
}

async function recordOf(
  environment: LogEnvironment,
  segment: Segment,
  batch: BatchInfo,
  wanted: Wanted,
): Promise<{ timestamp: bigint; offset: bigint } | null> {
  const memory = await (await segment.file.open()).read(batch.position, batch.sizeBytes);
  try {
    const bytes = memory.bytes();
    const baseTimestamp = viewOf(bytes).getBigInt64(HeaderField.baseTimestamp);
    const codec = batch.attributes & Attribute.compressionMask;
    const stored = bytes.subarray(BATCH_HEADER_SIZE);
    const records = codec === 0 ? stored : await environment.fileSystem.decompress(codec, stored);
    const cursor = new RecordCursor(viewOf(records), 0, records.byteLength);
    for (let index = 0; index < batch.recordCount; index++) {
      const { offsetDelta, timestampDelta } = cursor.next();
      const appended = (batch.attributes & Attribute.logAppendTime) !== 0;
      const timestamp = appended ? batch.maxTimestamp : baseTimestamp + timestampDelta;
      const record = { timestamp, offset: batch.baseOffset + BigInt(offsetDelta) };
      if (wanted(record)) return record;
    }
    return null;
  } finally {
    memory.release();
  }
}

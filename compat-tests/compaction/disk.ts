import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Codec, decompress } from '../../src/native/codec.ts';
import { BATCH_HEADER_SIZE, BatchHeader } from '../../src/protocol/records/batch-header.ts';
import { readRecords } from '../../src/protocol/records/reader.ts';
import { filesOf } from '../crash/on-disk.ts';

/** The base timestamp is when tombstones or a marker may go: later than when they were compacted. */
const deleteHorizon = 0x40;
const recordsBytesMax = 1 << 28;
const abortedEntryBytes = 34;

export interface DiskRecord {
  offset: bigint;
  timestamp: bigint;
  key: string | null;
  value: string | null;
  headers: string[];
}

/** A batch of a log file: all of its header that says something of what is in it. */
export interface DiskBatch {
  baseOffset: bigint;
  lastOffset: bigint;
  leaderEpoch: number;
  attributes: number;
  /** Null where it is a time at which something may go. */
  baseTimestamp: bigint | null;
  maxTimestamp: bigint;
  producerId: bigint;
  producerEpoch: number;
  baseSequence: number;
  records: DiskRecord[];
  isLastOfSegment: boolean;
}

export interface DiskPartition {
  /** Base offsets. */
  segments: bigint[];
  batches: DiskBatch[];
  /** The entries of the indexes of aborted transactions, in the order of the segments. */
  aborted: { segment: bigint; producerId: bigint; firstOffset: bigint; lastOffset: bigint }[];
}

/** The base offsets of the segments in the directory of a partition. */
export function segmentsOf(directory: string): bigint[] {
  return filesOf(directory, '.log').map((file) => BigInt(basename(file, '.log')));
}

/** What lies in the directory of a partition, which nobody changes meanwhile. */
export function readPartition(directory: string): DiskPartition {
  const partition: DiskPartition = { segments: [], batches: [], aborted: [] };
  for (const file of filesOf(directory, '.log')) {
    const segment = BigInt(basename(file, '.log'));
    partition.segments.push(segment);
    partition.batches.push(...batchesOf(readFileSync(file)));
    const index = file.replace(/\.log$/, '.txnindex');
    if (!existsSync(index)) continue;
    const entries = readFileSync(index);
    for (let at = 0; at < entries.length; at += abortedEntryBytes)
      partition.aborted.push({
        segment,
        producerId: entries.readBigInt64BE(at + 2),
        firstOffset: entries.readBigInt64BE(at + 10),
        lastOffset: entries.readBigInt64BE(at + 18),
      });
  }
  return partition;
}

function batchesOf(bytes: Buffer): DiskBatch[] {
  const found: DiskBatch[] = [];
  for (let at = 0; at + BATCH_HEADER_SIZE <= bytes.length; ) {
    const header = new BatchHeader(bytes, at);
    const end = at + header.sizeInBytes;
    if (header.batchLength <= 0 || end > bytes.length) break;
    found.push(batchOf(header, bytes.subarray(at, end)));
    at = end;
  }
  const last = found.at(-1);
  if (last) last.isLastOfSegment = true;
  return found;
}

function batchOf(header: BatchHeader, bytes: Uint8Array): DiskBatch {
  const { baseOffset, lastOffset, attributes, maxTimestamp, producerId, producerEpoch, baseSequence } =
    header;
  const hasHorizon = (attributes & deleteHorizon) !== 0;
  const all = readRecords(bytes, (codec, section) => decompress(codec as Codec, section, recordsBytesMax));
  const records = all.map(({ offset, timestamp, key, value, headers }) => ({
    offset,
    timestamp,
    key: key && Buffer.from(key).toString('hex'),
    value: value && createHash('sha256').update(value).digest('hex'),
    headers: headers.map((each) => `${each.key}=${each.value && Buffer.from(each.value).toString('hex')}`),
  }));
  return {
    ...{ baseOffset, lastOffset, attributes, maxTimestamp, producerId, producerEpoch, baseSequence, records },
    leaderEpoch: header.partitionLeaderEpoch,
    baseTimestamp: hasHorizon ? null : header.baseTimestamp,
    isLastOfSegment: false,
  };
}

import { crc32c } from '../native/batch.ts';
import {
  Attribute,
  BATCH_HEADER_SIZE,
  BatchHeader,
  CRC_COVERS_FROM,
  LOG_OVERHEAD,
  MAGIC,
} from '../protocol/records/batch-header.ts';
import type { RecordHeader } from '../protocol/records/builder.ts';
import { Writer } from '../protocol/wire/writer.ts';

/** The header of a record that holds the metadata of an event, in the form of its topic's serializer. */
export const METADATA_HEADER = 'kafabric-metadata';

/** An event as it goes out. */
export interface EventRecord {
  readonly key: Uint8Array | null;
  /** Null for none: plain consumers see a null value. */
  readonly data: readonly Uint8Array[] | null;
  readonly dataBytes: number;
  readonly headers: readonly RecordHeader[];
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
}

export interface BatchProducer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** Whether the batch belongs to a transaction. */
  readonly isTransactional: boolean;
}

/** A record batch in pieces, one behind the other; the data of events is among them as it was given. */
export interface EncodedBatch {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  /** Which of the pieces are data of events. */
  readonly isData: readonly boolean[];
}

/** Encodes events as one uncompressed record batch. Data is read for the CRC, and not copied. */
export function encodeBatch(events: readonly EventRecord[], producer: BatchProducer | null): EncodedBatch {
  const pieces: Uint8Array[] = [new Uint8Array(BATCH_HEADER_SIZE)];
  const isData = [false];
  const baseTimestamp = events[0]!.timestamp;
  let maxTimestamp = baseTimestamp;
  for (const [i, event] of events.entries()) {
    maxTimestamp = Math.max(maxTimestamp, event.timestamp);
    const { before, after } = recordParts(event, i, event.timestamp - baseTimestamp);
    pieces.push(before);
    isData.push(false);
    for (const part of event.data ?? []) {
      if (part.byteLength === 0) continue;
      pieces.push(part);
      isData.push(true);
    }
    pieces.push(after);
    isData.push(false);
  }
  let bytes = 0;
  for (const { byteLength } of pieces) bytes += byteLength;
  const header = new BatchHeader(pieces[0]!);
  header.batchLength = bytes - LOG_OVERHEAD;
  header.partitionLeaderEpoch = -1;
  header.magic = MAGIC;
  header.attributes = producer?.isTransactional ? Attribute.transactional : 0;
  header.lastOffsetDelta = events.length - 1;
  header.baseTimestamp = BigInt(baseTimestamp);
  header.maxTimestamp = BigInt(maxTimestamp);
  header.producerId = producer?.producerId ?? -1n;
  header.producerEpoch = producer?.producerEpoch ?? -1;
  header.baseSequence = producer?.baseSequence ?? -1;
  header.recordCount = events.length;
  let crc = crc32c(pieces[0]!.subarray(CRC_COVERS_FROM));
  for (const piece of pieces.slice(1)) crc = crc32c(piece, crc);
  header.crc = crc;
  return { pieces, bytes, isData };
}

/** What precedes the data of a record, its length included, and what follows. */
function recordParts(
  { key, data, dataBytes, headers }: EventRecord,
  offsetDelta: number,
  timestampDelta: number,
): { before: Uint8Array; after: Uint8Array } {
  const before = new Writer(64 + (key?.byteLength ?? 0));
  before.int8(0);
  before.varlong(BigInt(timestampDelta));
  before.varint(offsetDelta);
  before.varint(key === null ? -1 : key.byteLength);
  if (key !== null) before.raw(key);
  before.varint(data === null ? -1 : dataBytes);
  const after = new Writer(128);
  after.varint(headers.length);
  for (const { key: name, value } of headers) {
    const text = Buffer.from(name);
    after.varint(text.byteLength);
    after.raw(text);
    after.varint(value === null ? -1 : value.byteLength);
    if (value !== null) after.raw(value);
  }
  const head = before.finishBytes();
  const tail = after.finishBytes();
  const whole = new Writer(8 + head.byteLength);
  whole.varint(head.byteLength + dataBytes + tail.byteLength);
  whole.raw(head);
  return { before: whole.finishBytes(), after: tail };
}

/** An upper bound for what a record takes beside its data. */
export function overheadOf({ key, headers }: Pick<EventRecord, 'key' | 'headers'>): number {
  let bytes = 40 + (key?.byteLength ?? 0);
  for (const { key: name, value } of headers) bytes += 10 + name.length * 3 + (value?.byteLength ?? 0);
  return bytes;
}

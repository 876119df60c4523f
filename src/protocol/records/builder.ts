import { Writer } from '../wire/writer.ts';
import {
  BATCH_HEADER_SIZE,
  BatchHeader,
  CRC_COVERS_FROM,
  LOG_OVERHEAD,
  MAGIC,
  NO_PARTITION_LEADER_EPOCH,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
  NO_TIMESTAMP,
} from './batch-header.ts';
import { crc32c } from './crc32c.ts';

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** A record to be put into a batch. */
export interface RecordInput {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly RecordHeader[];
  /** Milliseconds since the epoch; the batch's own if left out. */
  readonly timestamp?: bigint;
}

export interface BatchOptions {
  readonly baseOffset?: bigint;
  readonly partitionLeaderEpoch?: number;
  /** Bits of `Attribute`; the compression bits say what `compress` does. */
  readonly attributes?: number;
  /** Milliseconds since the epoch, for records that have none of their own. */
  readonly timestamp?: bigint;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  /** Compresses the records section, by the codec that the attributes name. */
  readonly compress?: (records: Uint8Array) => Uint8Array;
}

/**
 * Builds a magic 2 batch, CRC included, byte for byte as Kafka's MemoryRecordsBuilder does. Offsets are consecutive.
 * For internal topics and tests: produced batches are kept as they arrive.
 */
export function buildBatch(records: readonly RecordInput[], options: BatchOptions = {}): Uint8Array {
  const fallback = options.timestamp ?? NO_TIMESTAMP;
  const baseTimestamp = records[0]?.timestamp ?? fallback;
  const writer = new Writer();
  writer.raw(new Uint8Array(BATCH_HEADER_SIZE));
  let maxTimestamp = NO_TIMESTAMP;
  records.forEach((record, index) => {
    const timestamp = record.timestamp ?? fallback;
    if (timestamp > maxTimestamp) maxTimestamp = timestamp;
    writeRecord(writer, record, index, timestamp - baseTimestamp);
  });
  const bytes = compressed(writer.finishBytes(), options.compress);
  const header = new BatchHeader(bytes);
  header.baseOffset = options.baseOffset ?? 0n;
  header.batchLength = bytes.byteLength - LOG_OVERHEAD;
  header.partitionLeaderEpoch = options.partitionLeaderEpoch ?? NO_PARTITION_LEADER_EPOCH;
  header.magic = MAGIC;
  header.attributes = options.attributes ?? 0;
  header.lastOffsetDelta = records.length - 1;
  header.baseTimestamp = baseTimestamp;
  header.maxTimestamp = maxTimestamp;
  header.producerId = options.producerId ?? NO_PRODUCER_ID;
  header.producerEpoch = options.producerEpoch ?? NO_PRODUCER_EPOCH;
  header.baseSequence = options.baseSequence ?? NO_SEQUENCE;
  header.recordCount = records.length;
  header.crc = crc32c(bytes.subarray(CRC_COVERS_FROM));
  return bytes;
}

function compressed(bytes: Uint8Array, compress: BatchOptions['compress']): Uint8Array {
  if (!compress) return bytes;
  return Buffer.concat([bytes.subarray(0, BATCH_HEADER_SIZE), compress(bytes.subarray(BATCH_HEADER_SIZE))]);
}

function writeRecord(w: Writer, record: RecordInput, offsetDelta: number, timestampDelta: bigint): void {
  const body = new Writer(64 + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0));
  body.int8(0);
  body.varlong(timestampDelta);
  body.varint(offsetDelta);
  writeBytes(body, record.key);
  writeBytes(body, record.value);
  const headers = record.headers ?? [];
  body.varint(headers.length);
  for (const { key, value } of headers) {
    writeBytes(body, Buffer.from(key));
    writeBytes(body, value);
  }
  const bytes = body.finishBytes();
  w.varint(bytes.byteLength);
  w.raw(bytes);
}

function writeBytes(w: Writer, bytes: Uint8Array | null): void {
  if (bytes === null) {
    w.varint(-1);
    return;
  }
  w.varint(bytes.byteLength);
  w.raw(bytes);
}

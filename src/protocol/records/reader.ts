import { ApiError, ErrorCode } from '../errors.ts';
import { ProtocolError } from '../wire/errors.ts';
import { Reader } from '../wire/reader.ts';
import { BATCH_HEADER_SIZE, BatchHeader, Compression } from './batch-header.ts';
import type { RecordHeader } from './builder.ts';

/** Length, attributes, timestamp, offset, key, value and header count of one byte each. */
const MINIMUM_RECORD_SIZE = 7;

/** A record of a batch; its bytes are views. */
export interface RecordView {
  readonly offset: bigint;
  /** Milliseconds since the epoch; the batch's append time if it has one. */
  readonly timestamp: bigint;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** Undoes a codec of `Compression`. */
export type Decompress = (codec: number, bytes: Uint8Array) => Uint8Array;

/**
 * The records of a whole batch. The CRC is not checked.
 * @param decompress needed for compressed batches; it also limits how large they may become
 * @throws ApiError INVALID_RECORD if the records do not fill the batch exactly
 */
export function readRecords(batch: Uint8Array, decompress?: Decompress): RecordView[] {
  if (batch.byteLength < BATCH_HEADER_SIZE) throw invalid('a batch without a whole header');
  const header = new BatchHeader(batch);
  const section = batch.subarray(BATCH_HEADER_SIZE);
  if (header.compression === Compression.none) return readSection(header, section);
  if (!decompress) throw invalid(`a batch with compression ${header.compression}`);
  return readSection(header, decompress(header.compression, section));
}

function readSection(header: BatchHeader, section: Uint8Array): RecordView[] {
  const count = header.recordCount;
  if (count < 0 || count * MINIMUM_RECORD_SIZE > section.byteLength) {
    throw invalid(`${count} records in ${section.byteLength} bytes`);
  }
  const { baseOffset, baseTimestamp } = header;
  const appendTime = header.isLogAppendTime ? header.maxTimestamp : null;
  const reader = new Reader(section);
  const records: RecordView[] = [];
  try {
    for (let i = 0; i < count; i++) records.push(readRecord(reader, baseOffset, baseTimestamp, appendTime));
  } catch (error) {
    if (error instanceof ProtocolError) throw invalid(error.message);
    throw error;
  }
  if (reader.remaining > 0) throw invalid(`${reader.remaining} bytes after the last record`);
  return records;
}

function readRecord(
  r: Reader,
  baseOffset: bigint,
  baseTimestamp: bigint,
  appendTime: bigint | null,
): RecordView {
  const length = r.varint();
  if (length < 0 || length > r.remaining) throw invalid(`a record of ${length} bytes, ${r.remaining} left`);
  const end = r.position + length;
  r.int8(); // attributes: none is defined
  const timestampDelta = r.varlong();
  const offsetDelta = r.varint();
  const key = readBytes(r);
  const value = readBytes(r);
  const headers = readHeaders(r);
  if (r.position !== end) throw invalid('a record differs from its length');
  return {
    offset: baseOffset + BigInt(offsetDelta),
    timestamp: appendTime ?? baseTimestamp + timestampDelta,
    key,
    value,
    headers,
  };
}

function readHeaders(r: Reader): readonly RecordHeader[] {
  const count = r.varint();
  if (count < 0 || count * 2 > r.remaining) throw invalid(`${count} record headers`);
  const headers: RecordHeader[] = [];
  for (let i = 0; i < count; i++) {
    const key = readBytes(r);
    if (key === null) throw invalid('a record header without a key');
    headers.push({
      key: Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString(),
      value: readBytes(r),
    });
  }
  return headers;
}

function readBytes(r: Reader): Uint8Array | null {
  const length = r.varint();
  return length < 0 ? null : r.view(length);
}

function invalid(what: string): ApiError {
  return new ApiError(ErrorCode.INVALID_RECORD, `Invalid record: ${what}`);
}

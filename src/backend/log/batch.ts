import {
  Attribute,
  BATCH_HEADER_SIZE,
  HeaderField,
  LOG_OVERHEAD,
  NO_SEQUENCE,
} from '../../protocol/records/batch-header.ts';
import type { BatchInfo, EndTransactionMarker } from './ports.ts';

const MAX_SEQUENCE = 0x7fffffff;

export function isTransactional(batch: { attributes: number }): boolean {
  return (batch.attributes & Attribute.transactional) !== 0;
}

export function isControl(batch: { attributes: number }): boolean {
  return (batch.attributes & Attribute.control) !== 0;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The sequence number of a batch's last record; sequence numbers wrap around to 0. */
export function lastSequenceOf(batch: BatchInfo): number {
  if (batch.baseSequence === NO_SEQUENCE) return NO_SEQUENCE;
  const last = batch.baseSequence + Number(batch.lastOffset - batch.baseOffset);
  return last > MAX_SEQUENCE ? last - MAX_SEQUENCE - 1 : last;
}

/**
 * Reads the header at `at`; its 61 bytes must be there, the records only of a control batch, whose marker is null
 * when they are not. `position` is what the result says of where the batch lies in its file.
 */
export function readBatchInfo(view: DataView, at: number, position: number): BatchInfo {
  const baseOffset = view.getBigInt64(at + HeaderField.baseOffset);
  const attributes = view.getInt16(at + HeaderField.attributes);
  const sizeBytes = view.getInt32(at + HeaderField.batchLength) + LOG_OVERHEAD;
  return {
    position,
    sizeBytes,
    baseOffset,
    lastOffset: baseOffset + BigInt(view.getInt32(at + HeaderField.lastOffsetDelta)),
    leaderEpoch: view.getInt32(at + HeaderField.partitionLeaderEpoch),
    attributes,
    maxTimestamp: view.getBigInt64(at + HeaderField.maxTimestamp),
    producerId: view.getBigInt64(at + HeaderField.producerId),
    producerEpoch: view.getInt16(at + HeaderField.producerEpoch),
    baseSequence: view.getInt32(at + HeaderField.baseSequence),
    recordCount: view.getInt32(at + HeaderField.recordCount),
    marker:
      (attributes & Attribute.control) !== 0
        ? readMarker(view, at + BATCH_HEADER_SIZE, at + sizeBytes)
        : null,
  };
}

/** The end-of-transaction marker in a control batch's first record; null when it holds anything else. */
function readMarker(view: DataView, start: number, end: number): EndTransactionMarker | null {
  const cursor = new RecordCursor(view, start, Math.min(end, view.byteLength));
  try {
    const record = cursor.next();
    if (record.keyBytes < 4 || record.valueBytes < 6) return null;
    const type = view.getInt16(record.keyStart + 2);
    if (type !== 0 && type !== 1) return null;
    return { commit: type === 1, coordinatorEpoch: view.getInt32(record.valueStart + 2) };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Where a record lies and what a log must know of it. */
export interface RecordInfo {
  readonly offsetDelta: number;
  readonly timestampDelta: bigint;
  readonly keyStart: number;
  /** -1 for null. */
  readonly keyBytes: number;
  readonly valueStart: number;
  /** -1 for null. */
  readonly valueBytes: number;
}

/** Walks the records of an uncompressed batch; throws RangeError where a length does not fit. */
export class RecordCursor {
  #at: number;
  readonly #view: DataView;
  readonly #end: number;

  constructor(view: DataView, start: number, end: number) {
    this.#view = view;
    this.#at = start;
    this.#end = end;
  }

  next(): RecordInfo {
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#end) throw new RangeError(`record of ${length} bytes`);
    this.#skip(1);
    const timestampDelta = this.#varlong();
    const offsetDelta = this.#varint();
    const keyBytes = this.#varint();
    const keyStart = this.#at;
    this.#skip(Math.max(keyBytes, 0));
    const valueBytes = this.#varint();
    const valueStart = this.#at;
    this.#skip(Math.max(valueBytes, 0));
    if (this.#at > end) throw new RangeError('record fields exceed the record');
    this.#at = end;
    return { offsetDelta, timestampDelta, keyStart, keyBytes, valueStart, valueBytes };
  }

  #skip(bytes: number): void {
    if (this.#at + bytes > this.#end) throw new RangeError(`field of ${bytes} bytes`);
    this.#at += bytes;
  }

  #varint(): number {
    return Number(BigInt.asIntN(32, this.#varlong()));
  }

  #varlong(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.#at >= this.#end) throw new RangeError('truncated varint');
      const byte = this.#view.getUint8(this.#at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return (value >> 1n) ^ -(value & 1n);
    }
    throw new RangeError('varint too long');
  }
}

import { BATCH_HEADER_SIZE, HeaderField } from '../../../protocol/records/batch-header.ts';
import { crc32c } from '../../../protocol/records/crc32c.ts';
import { viewOf } from '../batch.ts';
import { largest } from '../offsets.ts';

export interface TestRecord {
  readonly timestamp?: number;
  readonly key?: string | Uint8Array | null;
  readonly value?: string | Uint8Array | null;
}

export interface TestBatchOptions {
  readonly baseOffset?: bigint;
  readonly leaderEpoch?: number;
  readonly attributes?: number;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
}

/** An uncompressed batch of the records. */
export function testBatch(records: readonly TestRecord[], options: TestBatchOptions = {}): Uint8Array {
  const times = records.map((record) => BigInt(record.timestamp ?? 1_700_000_000_000));
  const baseTimestamp = times[0] ?? -1n;
  const body: number[] = [];
  records.forEach((record, index) => {
    const fields: number[] = [0];
    varint(fields, times[index]! - baseTimestamp);
    varint(fields, BigInt(index));
    blob(fields, record.key ?? null);
    blob(fields, record.value ?? null);
    varint(fields, 0n);
    varint(body, BigInt(fields.length));
    body.push(...fields);
  });
  const bytes = new Uint8Array(BATCH_HEADER_SIZE + body.length);
  const view = viewOf(bytes);
  view.setBigInt64(HeaderField.baseOffset, options.baseOffset ?? 0n);
  view.setInt32(HeaderField.batchLength, bytes.length - 12);
  view.setInt32(HeaderField.partitionLeaderEpoch, options.leaderEpoch ?? 0);
  view.setInt8(HeaderField.magic, 2);
  view.setInt16(HeaderField.attributes, options.attributes ?? 0);
  view.setInt32(HeaderField.lastOffsetDelta, records.length - 1);
  view.setBigInt64(HeaderField.baseTimestamp, baseTimestamp);
  view.setBigInt64(HeaderField.maxTimestamp, times.reduce(largest, -1n));
  view.setBigInt64(HeaderField.producerId, options.producerId ?? -1n);
  view.setInt16(HeaderField.producerEpoch, options.producerEpoch ?? -1);
  view.setInt32(HeaderField.baseSequence, options.baseSequence ?? -1);
  view.setInt32(HeaderField.recordCount, records.length);
  bytes.set(body, BATCH_HEADER_SIZE);
  view.setUint32(HeaderField.crc, crc32c(bytes.subarray(HeaderField.attributes)));
  return bytes;
}

/** A control batch that ends a transaction. */
export function testMarker(
  commit: boolean,
  coordinatorEpoch: number,
  options: TestBatchOptions & { timestamp?: number },
): Uint8Array {
  const { timestamp, ...identity } = options;
  const key = new Uint8Array([0, 0, 0, commit ? 1 : 0]);
  const value = new Uint8Array(6);
  viewOf(value).setInt32(2, coordinatorEpoch);
  const record = timestamp === undefined ? { key, value } : { key, value, timestamp };
  return testBatch([record], { ...identity, attributes: 0x30 });
}

function varint(out: number[], value: bigint): void {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
}

function blob(out: number[], content: string | Uint8Array | null): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  varint(out, BigInt(bytes ? bytes.length : -1));
  if (bytes) for (const byte of bytes) out.push(byte);
}

import { crc32c } from '../native/batch.ts';
import { Codec, compress } from '../native/codec.ts';
import {
  Attribute,
  BATCH_HEADER_SIZE,
  BatchHeader,
  CRC_COVERS_FROM,
  LOG_OVERHEAD,
  MAGIC,
} from '../protocol/records/batch-header.ts';
import type { RecordHeader } from '../protocol/records/builder.ts';

/** The header of a record that holds the metadata of an event, in the form of its topic's serializer. */
export const METADATA_HEADER = 'kafabric-metadata';
export const METADATA_NAME = Buffer.from(METADATA_HEADER);
/** The name as a record has it, behind its length. */
const METADATA_FIELD = Buffer.concat([Buffer.of(2 * METADATA_NAME.byteLength), METADATA_NAME]);

/** Smaller data travels within its batch, wherever it is: naming the place would cost more. */
export const SEPARATE_BYTES = 4096;

/** So many are copied one by one. */
const FEW_BYTES = 32;

/** An event as it goes out. */
export interface EventRecord {
  readonly key: Uint8Array | null;
  /** Null for none: plain consumers see a null value. */
  readonly data: readonly Uint8Array[] | null;
  readonly dataBytes: number;
  /** As the serializer of its topic has written it; null for none. */
  readonly metadata: Uint8Array | null;
  /** Behind the one with the metadata. */
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

/** A record batch in pieces, one behind the other. */
export interface EncodedBatch {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  /** Which of the pieces are data of events as it was given. */
  readonly isData: readonly boolean[];
}

/**
 * Encodes events as one record batch. Data of SEPARATE_BYTES and more is read for the CRC, and not copied; smaller data is put where it belongs.
 * @param codec for batches without such data: parts of what is compressed could not be had
 */
export function encodeBatch(
  events: readonly EventRecord[],
  producer: BatchProducer | null,
  codec: Codec = Codec.NONE,
): EncodedBatch {
  const baseTimestamp = events[0]!.timestamp;
  let maxTimestamp = baseTimestamp;
  let bytes = BATCH_HEADER_SIZE;
  let separate = 0;
  const bodies = events.map((event, i) => {
    maxTimestamp = Math.max(maxTimestamp, event.timestamp);
    const body = bodyBytes(event, i, event.timestamp - baseTimestamp);
    bytes += varintBytes(body) + body;
    separate += separateBytes(event);
    return body;
  });
  const writer = new RecordWriter(bytes - separate);
  for (const [i, event] of events.entries())
    writer.add(event, bodies[i]!, i, event.timestamp - baseTimestamp);
  const { pieces, isData } = writer.finish();
  const used = separate === 0 ? codec : Codec.NONE;
  if (used !== Codec.NONE) {
    const [whole] = pieces as [Uint8Array];
    pieces.splice(0, 1, withRecords(whole, compress(used, whole.subarray(BATCH_HEADER_SIZE))));
    bytes = pieces[0]!.byteLength;
  }
  const header = new BatchHeader(pieces[0]!);
  header.batchLength = bytes - LOG_OVERHEAD;
  header.partitionLeaderEpoch = -1;
  header.magic = MAGIC;
  header.attributes = used | (producer?.isTransactional ? Attribute.transactional : 0);
  header.lastOffsetDelta = events.length - 1;
  header.baseTimestamp = BigInt(baseTimestamp);
  header.maxTimestamp = BigInt(maxTimestamp);
  header.producerId = producer?.producerId ?? -1n;
  header.producerEpoch = producer?.producerEpoch ?? -1;
  header.baseSequence = producer?.baseSequence ?? -1;
  header.recordCount = events.length;
  let crc = crc32c(pieces[0]!.subarray(CRC_COVERS_FROM));
  for (let i = 1; i < pieces.length; i++) crc = crc32c(pieces[i]!, crc);
  header.crc = crc;
  return { pieces, bytes, isData };
}

/** Bytes of an event that are not copied into its batch. */
export function separateBytes({ data }: EventRecord): number {
  let bytes = 0;
  if (data !== null) for (const { byteLength } of data) if (byteLength >= SEPARATE_BYTES) bytes += byteLength;
  return bytes;
}

/** A batch with other records behind its header. */
function withRecords(batch: Uint8Array, records: Uint8Array): Uint8Array {
  return Buffer.concat([batch.subarray(0, BATCH_HEADER_SIZE), records]);
}

/** Writes records one behind the other into one buffer, around the data that stays where it is. */
class RecordWriter {
  readonly #buffer: Buffer;
  readonly #pieces: Uint8Array[] = [];
  readonly #isData: boolean[] = [];
  /** The pieces have what is before. */
  #from = 0;
  #at = BATCH_HEADER_SIZE;

  /** @param bytes of the batch but for separate data */
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes);
    this.#buffer.fill(0, 0, BATCH_HEADER_SIZE);
  }

  add(event: EventRecord, body: number, delta: number, timestampDelta: number) {
    const { key, data, dataBytes, metadata, headers } = event;
    this.#varint(body);
    this.#buffer[this.#at++] = 0; // attributes
    this.#varint(timestampDelta);
    this.#varint(delta);
    this.#varint(key === null ? -1 : key.byteLength);
    if (key !== null) this.#bytes(key);
    this.#varint(data === null ? -1 : dataBytes);
    if (data !== null) for (const part of data) this.#data(part);
    this.#varint(headers.length + (metadata === null ? 0 : 1));
    if (metadata !== null) {
      this.#bytes(METADATA_FIELD);
      this.#varint(metadata.byteLength);
      this.#bytes(metadata);
    }
    for (const { key: name, value } of headers) {
      this.#varint(Buffer.byteLength(name));
      this.#at += this.#buffer.write(name, this.#at);
      this.#varint(value === null ? -1 : value.byteLength);
      if (value !== null) this.#bytes(value);
    }
  }

  finish(): { pieces: Uint8Array[]; isData: boolean[] } {
    if (this.#at !== this.#buffer.byteLength) throw new Error('a record is not as long as it was to be');
    this.#cut();
    return { pieces: this.#pieces, isData: this.#isData };
  }

  #data(part: Uint8Array): void {
    if (part.byteLength < SEPARATE_BYTES) {
      this.#bytes(part);
      return;
    }
    this.#cut();
    this.#pieces.push(part);
    this.#isData.push(true);
  }

  #cut(): void {
    if (this.#at === this.#from) return;
    this.#pieces.push(this.#buffer.subarray(this.#from, this.#at));
    this.#isData.push(false);
    this.#from = this.#at;
  }

  #bytes(bytes: Uint8Array): void {
    const { byteLength } = bytes;
    // A call costs more than the few bytes.
    if (byteLength <= FEW_BYTES) for (let i = 0; i < byteLength; i++) this.#buffer[this.#at + i] = bytes[i]!;
    else this.#buffer.set(bytes, this.#at);
    this.#at += byteLength;
  }

  /** Zigzag, of any safe integer. */
  #varint(value: number): void {
    let rest = zigzag(value);
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#at++] = rest;
  }
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = zigzag(value); rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

/** Of a record, behind its length. */
function bodyBytes(
  { key, data, dataBytes, metadata, headers }: EventRecord,
  offsetDelta: number,
  timestampDelta: number,
): number {
  let bytes = 1 + varintBytes(timestampDelta) + varintBytes(offsetDelta);
  bytes += sized(key === null ? null : key.byteLength);
  bytes += sized(data === null ? null : dataBytes);
  bytes += varintBytes(headers.length + (metadata === null ? 0 : 1));
  if (metadata !== null) bytes += METADATA_FIELD.byteLength + sized(metadata.byteLength);
  for (const { key: name, value } of headers) {
    bytes += sized(Buffer.byteLength(name));
    bytes += sized(value === null ? null : value.byteLength);
  }
  return bytes;
}

/** A length, null for none, and what it is of. */
function sized(length: number | null): number {
  return length === null ? 1 : varintBytes(length) + length;
}

/** An upper bound for what a record takes beside its data. */
export function overheadOf(
  key: Uint8Array | null,
  metadata: Uint8Array,
  headers: readonly RecordHeader[],
): number {
  let bytes = 40 + (key?.byteLength ?? 0) + METADATA_FIELD.byteLength + 10 + metadata.byteLength;
  for (const { key: name, value } of headers) bytes += 10 + name.length * 3 + (value?.byteLength ?? 0);
  return bytes;
}

import { crc32c } from '../native/batch.ts';
import { Codec, compress } from '../native/codec.ts';
import {
  Attribute,
  BATCH_HEADER_SIZE,
  BatchHeader,
  CRC_COVERS_FROM,
  LOG_OVERHEAD,
  MAGIC,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
} from '../protocol/records/batch-header.ts';
import type { RecordHeader } from '../protocol/records/builder.ts';
import { BatchBuffers } from './batch-buffers.ts';

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
  /** As the serializer of its topic has written it; a text is UTF-8 in the batch; null for none. */
  readonly metadata: Uint8Array | string | null;
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

/** A record batch in pieces, one behind the other. The first begins with the header. */
export interface EncodedBatch {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  /** Of each piece: which event's data it is, as that was given; -1: it is no data alone. */
  readonly eventOf: readonly number[];
  /** Of the pieces that are data. */
  readonly dataBytes: number;
  /** What the other pieces lie in; may be used again once nobody needs the batch. */
  readonly buffer: Buffer;
}

/**
 * Encodes events as one record batch, which `complete` makes fit to be sent. Data of SEPARATE_BYTES and more stays where it is; smaller data is copied
 * to where it belongs.
 * @param codec for batches without such data: parts of what is compressed could not be had
 * @param buffers where memory for it is taken
 */
export function encodeBatch(
  events: readonly EventRecord[],
  codec: Codec = Codec.NONE,
  buffers: BatchBuffers = new BatchBuffers(),
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
  const buffer = buffers.take(bytes - separate);
  const writer = new RecordWriter(buffer, bytes - separate);
  for (let i = 0; i < events.length; i++)
    writer.add(events[i]!, bodies[i]!, i, events[i]!.timestamp - baseTimestamp);
  const { pieces, eventOf } = writer.finish();
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
  header.attributes = used;
  header.lastOffsetDelta = events.length - 1;
  header.baseTimestamp = BigInt(baseTimestamp);
  header.maxTimestamp = BigInt(maxTimestamp);
  header.recordCount = events.length;
  return { pieces, bytes, eventOf, dataBytes: separate, buffer };
}

/** Says in a batch who sends it, also anew, and sums it. */
export function complete({ pieces }: EncodedBatch, producer: BatchProducer | null): void {
  const header = new BatchHeader(pieces[0]!);
  const { compression } = header;
  header.attributes = compression | (producer?.isTransactional ? Attribute.transactional : 0);
  header.producerId = producer?.producerId ?? NO_PRODUCER_ID;
  header.producerEpoch = producer?.producerEpoch ?? NO_PRODUCER_EPOCH;
  header.baseSequence = producer?.baseSequence ?? NO_SEQUENCE;
  let crc = crc32c(pieces[0]!.subarray(CRC_COVERS_FROM));
  for (let i = 1; i < pieces.length; i++) crc = crc32c(pieces[i]!, crc);
  header.crc = crc;
}

/** Bytes of an event that are not copied into its batch. */
function separateBytes({ data }: EventRecord): number {
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
  readonly #bytesToWrite: number;
  readonly #pieces: Uint8Array[] = [];
  readonly #eventOf: number[] = [];
  /** The pieces have what is before. */
  #from = 0;
  #at = BATCH_HEADER_SIZE;
  /** @param bytes of the batch but for separate data */
  constructor(buffer: Buffer, bytes: number) {
    this.#buffer = buffer;
    this.#bytesToWrite = bytes;
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
    if (data !== null) for (const part of data) this.#data(part, delta);
    this.#varint(headers.length + (metadata === null ? 0 : 1));
    if (metadata !== null) {
      this.#bytes(METADATA_FIELD);
      const metadataBytes = bytesOfMetadata(metadata);
      this.#varint(metadataBytes);
      if (typeof metadata === 'string') this.#text(metadata, metadataBytes);
      else this.#bytes(metadata);
    }
    for (const { key: name, value } of headers) {
      this.#varint(Buffer.byteLength(name));
      this.#at += this.#buffer.write(name, this.#at);
      this.#varint(value === null ? -1 : value.byteLength);
      if (value !== null) this.#bytes(value);
    }
  }

  finish(): { pieces: Uint8Array[]; eventOf: number[] } {
    if (this.#at !== this.#bytesToWrite) throw new Error('a record is not as long as it was to be');
    this.#cut();
    return { pieces: this.#pieces, eventOf: this.#eventOf };
  }

  #data(part: Uint8Array, event: number): void {
    if (part.byteLength < SEPARATE_BYTES) {
      this.#bytes(part);
      return;
    }
    this.#cut();
    this.#pieces.push(part);
    this.#eventOf.push(event);
  }

  #cut(): void {
    if (this.#at === this.#from) return;
    this.#pieces.push(this.#buffer.subarray(this.#from, this.#at));
    this.#eventOf.push(-1);
    this.#from = this.#at;
  }

  #bytes(bytes: Uint8Array): void {
    const { byteLength } = bytes;
    // A call costs more than the few bytes.
    if (byteLength <= FEW_BYTES) for (let i = 0; i < byteLength; i++) this.#buffer[this.#at + i] = bytes[i]!;
    else this.#buffer.set(bytes, this.#at);
    this.#at += byteLength;
  }

  #text(text: string, bytes: number): void {
    // As above, of what is ASCII.
    if (bytes <= FEW_BYTES && bytes === text.length)
      for (let i = 0; i < bytes; i++) this.#buffer[this.#at + i] = text.charCodeAt(i);
    else this.#buffer.write(text, this.#at);
    this.#at += bytes;
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
  if (metadata !== null) bytes += METADATA_FIELD.byteLength + sized(bytesOfMetadata(metadata));
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

/** In UTF-8. */
function bytesOfMetadata(metadata: Uint8Array | string): number {
  if (typeof metadata !== 'string') return metadata.byteLength;
  const { length } = metadata;
  if (length > FEW_BYTES) return Buffer.byteLength(metadata);
  for (let i = 0; i < length; i++) if (metadata.charCodeAt(i) > 0x7f) return Buffer.byteLength(metadata);
  return length;
}

/** An upper bound for what a record takes beside its data. */
export function overheadOf(
  key: Uint8Array | null,
  metadata: Uint8Array | string,
  headers: readonly RecordHeader[],
): number {
  let bytes = 40 + (key?.byteLength ?? 0) + METADATA_FIELD.byteLength + 10 + bytesOfMetadata(metadata);
  for (const { key: name, value } of headers) bytes += 10 + name.length * 3 + (value?.byteLength ?? 0);
  return bytes;
}

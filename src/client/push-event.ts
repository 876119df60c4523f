import type { RecordHeader } from '../protocol/records/builder.ts';
import { type EventRecord, METADATA_HEADER, overheadOf } from './batch-encoder.ts';
import { bytesOfView } from './bytes.ts';
import { DirectError } from './errors.ts';
import type { EventData, PushOptions } from './producer.ts';

/** Kafka's records and batches have less than 2 GiB. */
const MAX_EVENT_BYTES = 2 ** 31 - 2 ** 20;

const NO_HEADERS: readonly RecordHeader[] = [];

/** An event that is to be pushed: one object, until its batch is encoded. */
export class PushedEvent implements EventRecord {
  readonly key: Uint8Array | null;
  readonly data: readonly Uint8Array[] | null;
  readonly dataBytes: number;
  readonly metadata: Uint8Array | string;
  readonly headers: readonly RecordHeader[];
  readonly timestamp: number;
  /** What it takes of a batch, at most. */
  readonly bytes: number;

  constructor(
    key: Uint8Array | null,
    data: readonly Uint8Array[] | null,
    dataBytes: number,
    metadata: Uint8Array | string,
    headers: readonly RecordHeader[],
    timestamp: number,
  ) {
    this.key = key;
    this.data = data;
    this.dataBytes = dataBytes;
    this.metadata = metadata;
    this.headers = headers;
    this.timestamp = timestamp;
    this.bytes = dataBytes + overheadOf(key, metadata, headers);
  }
}

/**
 * An event as it goes out, with what is wrong found before it shares a batch with others.
 * @param metadata as the topic's serializer has written it
 * @throws DirectError INVALID_ARGUMENT
 */
export function eventRecord(
  metadata: Uint8Array | string,
  data: EventData,
  options: PushOptions,
  doing: string,
): PushedEvent {
  const { key, headers, timestamp = Date.now() } = options;
  if (!(Number.isSafeInteger(timestamp) && timestamp >= 0))
    throw invalid(`timestamp ${timestamp} is no number of milliseconds since the epoch`, doing);
  const pieces = data === null ? null : piecesOf(data);
  if (pieces === undefined)
    throw invalid('the data is no typed array, no buffer, and no list of typed arrays', doing);
  let dataBytes = 0;
  if (pieces !== null) for (const { byteLength } of pieces) dataBytes += byteLength;
  const encoded = headers === undefined ? NO_HEADERS : headersOf(headers, doing);
  const keyBytes = key === undefined || key === null ? null : bytesOf(key);
  if (keyBytes === undefined) throw invalid('the key is no text, and no bytes', doing);
  const event = new PushedEvent(keyBytes, pieces, dataBytes, metadata, encoded, timestamp);
  if (event.bytes > MAX_EVENT_BYTES)
    throw invalid(
      `an event of ${event.bytes} bytes, a record of Kafka has ${MAX_EVENT_BYTES} at most`,
      doing,
    );
  return event;
}

function headersOf(headers: NonNullable<PushOptions['headers']>, doing: string): RecordHeader[] {
  const encoded: RecordHeader[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name === METADATA_HEADER) throw invalid(`the header ${METADATA_HEADER} is for the metadata`, doing);
    const bytes = bytesOf(value);
    if (bytes === undefined) throw invalid(`header ${name} is no text, and no bytes`, doing);
    encoded.push({ key: name, value: bytes });
  }
  return encoded;
}

function invalid(message: string, doing: string): DirectError {
  return new DirectError('INVALID_ARGUMENT', message, { doing });
}

/** As they are now: whoever pushes may use the memory again. Undefined: it is neither text nor bytes. */
function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' || value instanceof Uint8Array ? Buffer.from(value as string) : undefined;
}

/** Undefined: it is no data. */
function piecesOf(data: Exclude<EventData, null>): Uint8Array[] | undefined {
  if (ArrayBuffer.isView(data)) return [bytesOfView(data)];
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return [new Uint8Array(data)];
  const isList = Array.isArray(data) && data.every((piece) => ArrayBuffer.isView(piece));
  return isList ? (data as readonly ArrayBufferView[]).map(bytesOfView) : undefined;
}

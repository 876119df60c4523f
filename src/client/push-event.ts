import type { RecordHeader } from '../protocol/records/builder.ts';
import { type EventRecord, METADATA_HEADER, overheadOf } from './batch-encoder.ts';
import { bytesOfView } from './bytes.ts';
import { DirectError } from './errors.ts';
import type { EventData, PushOptions } from './producer.ts';

/** Kafka's records and batches have less than 2 GiB. */
const MAX_EVENT_BYTES = 2 ** 31 - 2 ** 20;

/**
 * An event as it goes out, with what is wrong found before it shares a batch with others.
 * @param metadata as the topic's serializer has written it
 * @throws DirectError INVALID_ARGUMENT
 */
export function eventRecord(
  metadata: Uint8Array,
  data: EventData,
  { key, headers, timestamp = Date.now() }: PushOptions,
  doing: string,
): EventRecord {
  const invalid = (message: string) => new DirectError('INVALID_ARGUMENT', message, { doing });
  if (!(Number.isSafeInteger(timestamp) && timestamp >= 0))
    throw invalid(`timestamp ${timestamp} is no number of milliseconds since the epoch`);
  const pieces = data === null ? null : piecesOf(data);
  if (pieces === undefined)
    throw invalid('the data is no typed array, no buffer, and no list of typed arrays');
  let dataBytes = 0;
  for (const { byteLength } of pieces ?? []) dataBytes += byteLength;
  const encoded: RecordHeader[] = [{ key: METADATA_HEADER, value: metadata }];
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (name === METADATA_HEADER) throw invalid(`the header ${METADATA_HEADER} is for the metadata`);
    encoded.push({
      key: name,
      value: bytesOf(value) ?? fail(invalid(`header ${name} is no text, and no bytes`)),
    });
  }
  const keyBytes = key === undefined || key === null ? null : bytesOf(key);
  if (keyBytes === undefined) throw invalid('the key is no text, and no bytes');
  const event = { key: keyBytes, data: pieces, dataBytes, headers: encoded, timestamp };
  const bytes = dataBytes + overheadOf(event);
  if (bytes > MAX_EVENT_BYTES)
    throw invalid(`an event of ${bytes} bytes, a record of Kafka has ${MAX_EVENT_BYTES} at most`);
  return event;
}

function fail(error: Error): never {
  throw error;
}

/** Undefined: it is neither text nor bytes. */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (typeof value === 'string') return Buffer.from(value);
  return value instanceof Uint8Array ? value : undefined;
}

/** Undefined: it is no data. */
function piecesOf(data: Exclude<EventData, null>): Uint8Array[] | undefined {
  if (ArrayBuffer.isView(data)) return [bytesOfView(data)];
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return [new Uint8Array(data)];
  const isList = Array.isArray(data) && data.every((piece) => ArrayBuffer.isView(piece));
  return isList ? (data as readonly ArrayBufferView[]).map(bytesOfView) : undefined;
}

// How records of Kafka's internal topics are framed: a key or value is a message with its type or version in front.
import { metadataRecordCodecs } from './generated/index.ts';
import type { MessageCodec } from './wire/codec.ts';
import { ProtocolError, UnsupportedVersionError } from './wire/errors.ts';
import { Reader } from './wire/reader.ts';
import { Writer } from './wire/writer.ts';

/** The only version of the frame around records of __cluster_metadata. */
const METADATA_FRAME_VERSION = 1;

/** A message with its version (int16) in front: values of coordinator topics, consumer protocol data, control records. */
export function encodeVersioned<T>(codec: MessageCodec<T>, value: T, version: number): Uint8Array {
  const writer = new Writer(128);
  writer.int16(version);
  codec.write(writer, value, version);
  return writer.finishBytes();
}

/** Bytes after the message are left alone. @throws UnsupportedVersionError for a version that the codec does not have, ProtocolError */
export function decodeVersioned<T>(codec: MessageCodec<T>, bytes: Uint8Array): { value: T; version: number } {
  const reader = new Reader(bytes);
  const version = reader.int16();
  return { value: codec.read(reader, version), version };
}

/** A key of a coordinator topic (__consumer_offsets, __transaction_state): the record's type (int16), then the key in version 0. */
export function encodeCoordinatorKey<T>(codec: MessageCodec<T>, key: T): Uint8Array {
  const writer = new Writer(128);
  writer.int16(codec.apiKey);
  codec.write(writer, key, 0);
  return writer.finishBytes();
}

/** The type of a coordinator record, from its key; compare it with a key codec's `apiKey`. @throws ProtocolError */
export function coordinatorKeyType(key: Uint8Array): number {
  return new Reader(key).int16();
}

/** Reads a key of the codec's own type. @throws ProtocolError */
export function decodeCoordinatorKey<T>(codec: MessageCodec<T>, key: Uint8Array): T {
  const reader = new Reader(key);
  const type = reader.int16();
  if (type !== codec.apiKey) throw new ProtocolError(`record type ${type} is not ${codec.name}`);
  return codec.read(reader, 0);
}

/** A value of __cluster_metadata: frame version, record type and version as varints, then the record. */
export function encodeMetadataRecord<T>(codec: MessageCodec<T>, record: T, version: number): Uint8Array {
  const writer = new Writer(128);
  writer.uvarint(METADATA_FRAME_VERSION);
  writer.uvarint(codec.apiKey);
  writer.uvarint(version);
  codec.write(writer, record, version);
  return writer.finishBytes();
}

export interface MetadataRecord {
  readonly codec: MessageCodec<unknown>;
  readonly version: number;
  readonly record: unknown;
}

/** @throws UnsupportedVersionError for a frame, type or version that Kafka 4.3 does not have, ProtocolError */
export function decodeMetadataRecord(value: Uint8Array): MetadataRecord {
  const reader = new Reader(value);
  const frame = reader.uvarint();
  if (frame !== METADATA_FRAME_VERSION) throw new UnsupportedVersionError(`metadata frame version ${frame}`);
  const type = reader.uvarint();
  const version = reader.uvarint();
  const codec = metadataRecordCodecs.get(type);
  if (!codec) throw new UnsupportedVersionError(`metadata record type ${type}`);
  const record = codec.read(reader, version);
  if (reader.remaining > 0) throw new ProtocolError(`${reader.remaining} bytes after ${codec.name}`);
  return { codec, version, record };
}

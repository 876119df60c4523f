import type { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

export type MessageKind =
  | 'request'
  | 'response'
  | 'header'
  | 'data'
  | 'metadata'
  | 'coordinator-key'
  | 'coordinator-value';

/** Reads and writes one message in all its versions. */
export interface MessageCodec<T> {
  readonly name: string;
  readonly kind: MessageKind;
  /** API key of a request or response, record type of an internal record, -1 for the rest. */
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** True if Kafka does not serve the newest version by default yet. */
  readonly latestVersionUnstable: boolean;
  /** First flexible version, -1 if none is. */
  readonly flexibleVersion: number;
  /** A message with Kafka's defaults for what `partial` leaves out. */
  create(partial?: Partial<T>): T;
  /** Byte fields of the result are views of the reader's bytes. @throws ProtocolError */
  read(r: Reader, version: number): T;
  /** @throws ProtocolError if the version cannot carry the value */
  write(w: Writer, value: T, version: number): void;
}

// biome-ignore lint/suspicious/noExplicitAny: one codec of many, whose message type is not known here
export type AnyCodec = MessageCodec<any>;

import avro from 'avsc';
import { invalid, StreamsError } from './errors.ts';
import type { Windowed } from './windows.ts';

/** How keys or values are written to topics and stores. Null never reaches a serde: it is null on the wire. */
export interface Serde<T> {
  /** @throws when the value is not of the serde's type */
  serialize(value: T): Buffer;
  /** @throws when the bytes are not of the serde's form */
  deserialize(bytes: Buffer): T;
}

function unfit(wanted: string, value: unknown): StreamsError {
  const found = value === null ? 'null' : typeof value;
  return new StreamsError(
    'SERIALIZATION',
    `the serde takes ${wanted}, the value is ${found}; give the serde that fits, as {key: …} or {value: …}`,
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
/** A byte order mark is part of a text, as at Kafka's StringDeserializer. */
const exactUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const string: Serde<string> = {
  serialize(value) {
    if (typeof value !== 'string') throw unfit('a string', value);
    return Buffer.from(value);
  },
  deserialize: (bytes) => exactUtf8.decode(bytes),
};

const bytes: Serde<Buffer> = {
  serialize(value) {
    if (!((value as unknown) instanceof Uint8Array)) throw unfit('bytes', value);
    // A copy: it is written later, when the application may use the memory again.
    return Buffer.from(value);
  },
  deserialize: (value) => value,
};

const LONG_BYTES = 8;

/** Whole numbers as Kafka's LongSerializer writes them; those that a number cannot hold exactly are refused. */
const long: Serde<number> = {
  serialize(value) {
    if (!Number.isSafeInteger(value)) throw unfit('a whole number', value);
    const written = Buffer.allocUnsafe(LONG_BYTES);
    written.writeBigInt64BE(BigInt(value));
    return written;
  },
  deserialize(written) {
    if (written.length !== LONG_BYTES) throw new Error(`${written.length} bytes are no long, which has 8`);
    const value = Number(written.readBigInt64BE());
    if (!Number.isSafeInteger(value)) throw new Error('the long is larger than a number can hold exactly');
    return value;
  },
};

function json<T = unknown>(): Serde<T> {
  return {
    serialize(value) {
      const text = JSON.stringify(value);
      if (text === undefined) throw unfit('what JSON can hold', value);
      return Buffer.from(text);
    },
    deserialize: (written) => JSON.parse(utf8.decode(written)) as T,
  };
}

/** Avro's binary form, without a header. All records of the topic have the one schema. */
function avroSerde<T = unknown>(schema: object | string): Serde<T> {
  let type: avro.Type;
  try {
    type = avro.Type.forSchema(schema as avro.Schema);
  } catch (cause) {
    throw invalid(`not an Avro schema: ${(cause as Error).message}`);
  }
  return {
    serialize(value) {
      if (!type.isValid(value)) throw unfit('what the Avro schema allows', value);
      return type.toBuffer(value);
    },
    deserialize: (written) => type.fromBuffer(written) as T,
  };
}

/** The key of a windowed table, as Kafka Streams writes it: the key, then the window's start, of 8 bytes. */
function windowed<K>(inner: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  return {
    serialize: ({ key, window }) => Buffer.concat([inner.serialize(key), long.serialize(window.start)]),
    deserialize(written) {
      if (written.length < LONG_BYTES) throw new Error(`${written.length} bytes hold no window`);
      const split = written.length - LONG_BYTES;
      const start = long.deserialize(written.subarray(split));
      return { key: inner.deserialize(written.subarray(0, split)), window: { start, end: start + sizeMs } };
    },
  };
}

/** The key of a table of sessions, as Kafka Streams writes it: the key, the session's end, its start. */
function sessionWindowed<K>(inner: Serde<K>): Serde<Windowed<K>> {
  return {
    serialize: ({ key, window }) =>
      Buffer.concat([inner.serialize(key), long.serialize(window.end), long.serialize(window.start)]),
    deserialize(written) {
      const split = written.length - 2 * LONG_BYTES;
      if (split < 0) throw new Error(`${written.length} bytes hold no session`);
      const end = long.deserialize(written.subarray(split, split + LONG_BYTES));
      const start = long.deserialize(written.subarray(split + LONG_BYTES));
      return { key: inner.deserialize(written.subarray(0, split)), window: { start, end } };
    },
  };
}

export const serdes = { string, bytes, long, json, avro: avroSerde, windowed, sessionWindowed } as const;

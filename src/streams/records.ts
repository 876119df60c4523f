/** Headers in their order; names may repeat. */
export type Headers = readonly (readonly [name: string, value: Buffer | null])[];

/** A record as an input topic has it. */
export interface RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number;
  readonly headers: Headers;
}

/** A record for an output topic, changelogs and repartition topics among them. */
export interface OutputRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers: Headers;
}

/** A record between operators. Of tables the value is a `Change`. */
export interface FlowRecord {
  readonly key: unknown;
  readonly value: unknown;
  readonly timestamp: number;
  readonly headers: Headers;
}

/** What became of a key of a table; null is no value. */
export class Change {
  readonly newValue: unknown;
  readonly oldValue: unknown;

  constructor(newValue: unknown, oldValue: unknown) {
    this.newValue = newValue;
    this.oldValue = oldValue;
  }
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}-${partition}`;
}

/** Bytes that a record takes in memory, and at most in a batch, about. */
export function bytesOf({ key, value, headers }: Pick<RawRecord, 'key' | 'value' | 'headers'>): number {
  let bytes = 100 + (key?.length ?? 0) + (value?.length ?? 0);
  // A character of a name has up to three bytes.
  for (const [name, content] of headers) bytes += 10 + 3 * name.length + (content?.length ?? 0);
  return bytes;
}

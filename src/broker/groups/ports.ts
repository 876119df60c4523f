import type { Uuid } from '../../protocol/wire/types.ts';

/** A record of __consumer_offsets; a null value is a tombstone. */
export interface OffsetsRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Where the groups of one partition of __consumer_offsets are kept. */
export interface OffsetsLog {
  /**
   * Appends records that stay together in the order of the calls. Resolves when they are written with the promise of
   * acks=all; promises of one partition settle in order. Rejects with an error whose `code` is a Kafka error code.
   */
  append(partition: number, records: readonly OffsetsRecord[]): Promise<void>;
  /** Calls `apply` for every record in offset order. The bytes are valid during the call only. */
  replay(partition: number, apply: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void>;
}

/** The topic __consumer_offsets itself. */
export interface OffsetsTopic {
  /** Its number of partitions, or null while it does not exist. */
  partitionCount(): number | null;
  /** Creates the topic unless it exists and returns its number of partitions. @throws an error with a Kafka `code` */
  ensure(): Promise<number>;
}

/** The topics that offsets are committed for. */
export interface TopicNames {
  /** How many partitions the topic has; null if there is no such topic. */
  partitionCount(name: string): number | null;
  idOf(name: string): Uuid | null;
  nameOf(id: Uuid): string | null;
}

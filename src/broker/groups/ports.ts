import type { Uuid } from '../../protocol/wire/types.ts';
import type { TransactionalProducer, TransactionMarker } from '../transaction-marker.ts';

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
  append(
    partition: number,
    records: readonly OffsetsRecord[],
    producer?: TransactionalProducer,
  ): Promise<void>;
  /** Appends what ends a transaction, as `append` does. */
  appendMarker(partition: number, marker: TransactionMarker): Promise<void>;
  /** Calls back for everything in offset order. */
  replay(partition: number, replay: OffsetsReplay): Promise<void>;
}

export interface OffsetsReplay {
  /** `producerId` is that of the transaction that the record belongs to, if any. The bytes are valid during the call only. */
  record(key: Uint8Array, value: Uint8Array | null, producerId: bigint | null): void;
  transactionEnded(producerId: bigint, commit: boolean): void;
}

/** The topics that offsets are committed for. */
export interface TopicNames {
  /** How many partitions the topic has; null if there is no such topic. */
  partitionCount(name: string): number | null;
  idOf(name: string): Uuid | null;
  nameOf(id: Uuid): string | null;
}

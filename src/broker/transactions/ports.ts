import type { TransactionMarker } from '../transaction-marker.ts';

/** A record of __transaction_state; a null value is a tombstone. */
export interface TransactionRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Where the transactions of one partition of __transaction_state are kept. */
export interface TransactionLog {
  /**
   * Appends records that stay together in the order of the calls. Resolves when they are written with the promise of
   * acks=all; promises of one partition settle in order. Rejects with an error whose `code` is a Kafka error code.
   */
  append(partition: number, records: readonly TransactionRecord[]): Promise<void>;
  /**
   * Calls `apply` for every record in offset order; the bytes are valid during the call only. Resolves with the partition's leader
   * epoch, which rises with every start.
   */
  replay(partition: number, apply: (key: Uint8Array, value: Uint8Array | null) => void): Promise<number>;
}

/** The partitions that transactions write to. */
export interface TransactionPartitions {
  /**
   * Ends a transaction in a partition, behind everything that was appended before the call; one that is gone has nothing to end.
   * Resolves when the marker is written with the promise of acks=all; rejects with an error that has a Kafka error code.
   */
  writeMarker(topic: string, partition: number, marker: TransactionMarker): Promise<void>;
}

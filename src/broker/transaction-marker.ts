import { buildEndTransactionBatch } from '../protocol/records/control-records.ts';

/** What ends a producer's transaction in a partition. */
export interface TransactionMarker {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** The leader epoch of the coordinator's partition: an older coordinator is refused. */
  readonly coordinatorEpoch: number;
  readonly commit: boolean;
}

/** A producer that writes within a transaction. */
export interface TransactionalProducer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** The control batch that says so. */
export function markerBatch(marker: TransactionMarker, nowMs: number): Uint8Array {
  const { producerId, producerEpoch, coordinatorEpoch, commit } = marker;
  const options = { timestamp: BigInt(nowMs), producerId, producerEpoch };
  return buildEndTransactionBatch(commit ? 'commit' : 'abort', coordinatorEpoch, options);
}

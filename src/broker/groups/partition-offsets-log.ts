import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { Attribute } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { OFFSETS_TOPIC } from '../metadata/topic-name.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { replayLog } from '../replay.ts';
import { markerBatch, type TransactionalProducer, type TransactionMarker } from '../transaction-marker.ts';
import type { OffsetsLog, OffsetsRecord, OffsetsReplay } from './ports.ts';

/** Keeps groups and offsets in the partitions of __consumer_offsets. */
export class PartitionOffsetsLog implements OffsetsLog {
  readonly #partitions: PartitionManager;
  readonly #clock: Clock;

  constructor(partitions: PartitionManager, clock: Clock) {
    this.#partitions = partitions;
    this.#clock = clock;
  }

  async append(
    partition: number,
    records: readonly OffsetsRecord[],
    producer?: TransactionalProducer,
  ): Promise<void> {
    const attributes = producer === undefined ? 0 : Attribute.transactional;
    const batch = buildBatch(records, { timestamp: BigInt(this.#clock.now()), attributes, ...producer });
    await this.#find(partition).appendAsCoordinator(batch);
  }

  async appendMarker(partition: number, marker: TransactionMarker): Promise<void> {
    await this.#find(partition).appendAsCoordinator(markerBatch(marker, this.#clock.now()));
  }

  async replay(partition: number, replay: OffsetsReplay): Promise<void> {
    const { log } = this.#find(partition);
    await replayLog(
      log,
      log.logStartOffset,
      ({ key, value }, batch) => {
        if (key !== null) replay.record(key, value, batch.isTransactional ? batch.producerId : null);
      },
      (batch, commit) => replay.transactionEnded(batch.producerId, commit),
    );
  }

  #find(index: number): Partition {
    const partition = this.#partitions.find(OFFSETS_TOPIC, index);
    if (partition === null)
      throw new ApiError(ErrorCode.NOT_COORDINATOR, `${OFFSETS_TOPIC}-${index} is not open`);
    return partition;
  }
}

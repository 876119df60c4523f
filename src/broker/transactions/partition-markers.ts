import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock } from '../../util/clock.ts';
import type { GroupCoordinator } from '../groups/coordinator.ts';
import { OFFSETS_TOPIC } from '../metadata/topic-name.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { markerBatch, type TransactionMarker } from '../transaction-marker.ts';
import type { TransactionPartitions } from './ports.ts';

/** Ends transactions in the partitions of this broker; in those of __consumer_offsets through the groups, whose offsets take effect. */
export class PartitionMarkers implements TransactionPartitions {
  readonly #partitions: PartitionManager;
  readonly #groups: GroupCoordinator;
  readonly #clock: Clock;

  constructor(partitions: PartitionManager, groups: GroupCoordinator, clock: Clock) {
    this.#partitions = partitions;
    this.#groups = groups;
    this.#clock = clock;
  }

  async writeMarker(topic: string, index: number, marker: TransactionMarker): Promise<void> {
    const partition = this.#partitions.find(topic, index);
    if (partition === null) {
      const error = this.#partitions.errorOfMissing(topic, index) as ErrorCode;
      // A deleted topic took its part of the transaction with it.
      if (error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return;
      throw new ApiError(error);
    }
    if (topic === OFFSETS_TOPIC) await this.#groups.endTransaction(index, marker);
    else await partition.appendAsCoordinator(markerBatch(marker, this.#clock.now()));
  }
}

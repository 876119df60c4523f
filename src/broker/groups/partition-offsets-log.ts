import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { OFFSETS_TOPIC } from '../metadata/topic-name.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { replayLog } from '../replay.ts';
import type { OffsetsLog, OffsetsRecord } from './ports.ts';

/** The partition of __consumer_offsets is not here. */
class NotCoordinator extends Error {
  readonly code = ErrorCode.NOT_COORDINATOR;
}

/** Keeps groups and offsets in the partitions of __consumer_offsets. */
export class PartitionOffsetsLog implements OffsetsLog {
  readonly #partitions: PartitionManager;
  readonly #clock: Clock;

  constructor(partitions: PartitionManager, clock: Clock) {
    this.#partitions = partitions;
    this.#clock = clock;
  }

  async append(partition: number, records: readonly OffsetsRecord[]): Promise<void> {
    const batch = buildBatch(records, { timestamp: BigInt(this.#clock.now()) });
    await this.#find(partition).appendAsCoordinator(batch);
  }

  async replay(partition: number, apply: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void> {
    const { log } = this.#find(partition);
    await replayLog(log, log.logStartOffset, ({ key, value }) => {
      if (key !== null) apply(key, value);
    });
  }

  #find(index: number): Partition {
    const partition = this.#partitions.find(OFFSETS_TOPIC, index);
    if (partition === null) throw new NotCoordinator(`${OFFSETS_TOPIC}-${index} is not open`);
    return partition;
  }
}

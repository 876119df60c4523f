import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { replayLog } from '../replay.ts';
import type { OffsetsLog, OffsetsRecord } from './ports.ts';

const TOPIC = '__consumer_offsets';

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

  replay(partition: number, apply: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void> {
    return replayLog(this.#find(partition).log, ({ key, value }) => {
      if (key !== null) apply(key, value);
    });
  }

  #find(index: number): Partition {
    const partition = this.#partitions.find(TOPIC, index);
    if (partition === null) throw new NotCoordinator(`${TOPIC}-${index} is not open`);
    return partition;
  }
}

import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { SHARE_STATE_TOPIC } from '../metadata/topic-name.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { replayLog } from '../replay.ts';
import type { StateRecord } from './state-records.ts';

/** Where the states of one partition of __share_group_state are kept. */
export interface StateLog {
  /**
   * Appends records that stay together, in the order of the calls. Resolves with the offset of the first when they are written with the
   * promise of acks=all; promises of one partition settle in order. Rejects with an error whose `code` is a Kafka error code.
   */
  append(partition: number, records: readonly StateRecord[]): Promise<bigint>;
  /** Calls back for everything in offset order. The bytes are valid during the call only. */
  replay(
    partition: number,
    record: (offset: bigint, key: Uint8Array, value: Uint8Array | null) => void,
  ): Promise<void>;
  /** Removes everything below the offset. */
  prune(partition: number, offset: bigint): Promise<void>;
}

/** Keeps states in the partitions of __share_group_state. */
export class PartitionStateLog implements StateLog {
  readonly #partitions: PartitionManager;
  readonly #clock: Clock;

  constructor(partitions: PartitionManager, clock: Clock) {
    this.#partitions = partitions;
    this.#clock = clock;
  }

  async append(partition: number, records: readonly StateRecord[]): Promise<bigint> {
    const batch = buildBatch(records, { timestamp: BigInt(this.#clock.now()) });
    return (await this.#find(partition).appendAsCoordinator(batch)).baseOffset;
  }

  async replay(
    partition: number,
    record: (offset: bigint, key: Uint8Array, value: Uint8Array | null) => void,
  ): Promise<void> {
    const { log } = this.#find(partition);
    await replayLog(log, log.logStartOffset, ({ key, value, offset }) => {
      if (key !== null) record(offset, key, value);
    });
  }

  async prune(partition: number, offset: bigint): Promise<void> {
    const found = this.#find(partition);
    if (offset > found.logStartOffset && offset <= found.highWatermark)
      await found.deleteRecordsBefore(offset);
  }

  #find(index: number): Partition {
    const partition = this.#partitions.find(SHARE_STATE_TOPIC, index);
    if (partition !== null) return partition;
    throw new ApiError(ErrorCode.NOT_COORDINATOR, `${SHARE_STATE_TOPIC}-${index} is not open`);
  }
}

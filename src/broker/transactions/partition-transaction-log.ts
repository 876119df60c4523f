import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { TRANSACTION_TOPIC } from '../metadata/topic-name.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { replayLog } from '../replay.ts';
import type { TransactionLog, TransactionRecord } from './ports.ts';

/** Keeps transactions in the partitions of __transaction_state. */
export class PartitionTransactionLog implements TransactionLog {
  readonly #partitions: PartitionManager;
  readonly #clock: Clock;

  constructor(partitions: PartitionManager, clock: Clock) {
    this.#partitions = partitions;
    this.#clock = clock;
  }

  async append(partition: number, records: readonly TransactionRecord[]): Promise<void> {
    const batch = buildBatch(records, { timestamp: BigInt(this.#clock.now()) });
    await this.#find(partition).appendAsCoordinator(batch);
  }

  async replay(
    partition: number,
    apply: (key: Uint8Array, value: Uint8Array | null) => void,
  ): Promise<number> {
    const { log, leaderEpoch } = this.#find(partition);
    await replayLog(log, log.logStartOffset, ({ key, value }) => {
      if (key !== null) apply(key, value);
    });
    return leaderEpoch;
  }

  #find(index: number): Partition {
    const partition = this.#partitions.find(TRANSACTION_TOPIC, index);
    if (partition !== null) return partition;
    throw new ApiError(ErrorCode.NOT_COORDINATOR, `${TRANSACTION_TOPIC}-${index} is not open`);
  }
}

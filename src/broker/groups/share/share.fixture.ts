import { ApiError, type ErrorCode } from '../../../protocol/errors.ts';
import { keyText, type PartitionState, type SharePartitionKey } from '../../share/partition-state.ts';
import type { SharePorts, ShareStates } from './context.ts';

/** States of share partitions in memory. */
export class MemoryStates implements ShareStates {
  readonly states = new Map<string, PartitionState>();
  failure: ErrorCode | null = null;

  async loaded(): Promise<void> {}

  async initialize(key: SharePartitionKey, stateEpoch: number, startOffset: bigint): Promise<void> {
    if (this.failure !== null) throw new ApiError(this.failure);
    this.states.set(keyText(key), {
      ...{ snapshotEpoch: 0, stateEpoch, leaderEpoch: 0, startOffset, deliveryCompleteCount: 0 },
      ...{ createdMs: 0, writtenMs: 0, batches: [] },
    });
  }

  summary(key: SharePartitionKey): PartitionState | null {
    return this.states.get(keyText(key)) ?? null;
  }

  async delete(key: SharePartitionKey): Promise<void> {
    if (this.failure !== null) throw new ApiError(this.failure);
    this.states.delete(keyText(key));
  }
}

/** What share groups need, for tests. */
export function testShares(
  states: ShareStates = new MemoryStates(),
  more: Partial<SharePorts> = {},
): SharePorts {
  return {
    config: {
      maxSize: 10,
      timesOf: () => ({ sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 0 }),
    },
    states,
    endOffset: () => 100n,
    forget: () => {},
    ...more,
  };
}

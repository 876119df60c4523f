import { shareSnapshotKey } from '../../protocol/generated/share-snapshot-key.ts';
import {
  createShareSnapshotValue,
  shareSnapshotValue,
} from '../../protocol/generated/share-snapshot-value.ts';
import { shareUpdateKey } from '../../protocol/generated/share-update-key.ts';
import { createShareUpdateValue, shareUpdateValue } from '../../protocol/generated/share-update-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../protocol/internal-records.ts';
import type { PartitionState, SharePartitionKey, StateBatch } from './partition-state.ts';

/** A record of __share_group_state; a null value is a tombstone. */
export interface StateRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** What has changed since the last snapshot. */
export interface StateUpdate {
  readonly snapshotEpoch: number;
  readonly leaderEpoch: number;
  readonly startOffset: bigint;
  readonly deliveryCompleteCount: number;
  readonly batches: readonly StateBatch[];
}

export type ParsedStateRecord =
  | { readonly kind: 'snapshot'; readonly key: SharePartitionKey; readonly value: PartitionState | null }
  | { readonly kind: 'update'; readonly key: SharePartitionKey; readonly value: StateUpdate | null }
  /** Of a later Kafka. */
  | { readonly kind: 'unknown'; readonly type: number };

/** Of every value here: none has more than one version. */
const VERSION = 0;

export function snapshotRecord(key: SharePartitionKey, state: PartitionState | null): StateRecord {
  const bytes = encodeCoordinatorKey(shareSnapshotKey, { ...key });
  if (state === null) return { key: bytes, value: null };
  const { snapshotEpoch, stateEpoch, leaderEpoch, startOffset, deliveryCompleteCount } = state;
  const message = createShareSnapshotValue({
    ...{ snapshotEpoch, stateEpoch, leaderEpoch, startOffset, deliveryCompleteCount },
    createTimestamp: BigInt(state.createdMs),
    writeTimestamp: BigInt(state.writtenMs),
    stateBatches: [...state.batches],
  });
  return { key: bytes, value: encodeVersioned(shareSnapshotValue, message, VERSION) };
}

export function updateRecord(key: SharePartitionKey, update: StateUpdate): StateRecord {
  const { batches, ...rest } = update;
  const message = createShareUpdateValue({ ...rest, stateBatches: [...batches] });
  return {
    key: encodeCoordinatorKey(shareUpdateKey, { ...key }),
    value: encodeVersioned(shareUpdateValue, message, VERSION),
  };
}

/** @throws ProtocolError */
export function parseStateRecord(key: Uint8Array, value: Uint8Array | null): ParsedStateRecord {
  const type = coordinatorKeyType(key);
  switch (type) {
    case shareSnapshotKey.apiKey: {
      const message = value && decodeVersioned(shareSnapshotValue, value).value;
      return {
        kind: 'snapshot',
        key: decodeCoordinatorKey(shareSnapshotKey, key),
        value: message && {
          snapshotEpoch: message.snapshotEpoch,
          stateEpoch: message.stateEpoch,
          leaderEpoch: message.leaderEpoch,
          startOffset: message.startOffset,
          deliveryCompleteCount: message.deliveryCompleteCount,
          createdMs: Number(message.createTimestamp),
          writtenMs: Number(message.writeTimestamp),
          batches: message.stateBatches,
        },
      };
    }
    case shareUpdateKey.apiKey: {
      const message = value && decodeVersioned(shareUpdateValue, value).value;
      return {
        kind: 'update',
        key: decodeCoordinatorKey(shareUpdateKey, key),
        value: message && {
          snapshotEpoch: message.snapshotEpoch,
          leaderEpoch: message.leaderEpoch,
          startOffset: message.startOffset,
          deliveryCompleteCount: message.deliveryCompleteCount,
          batches: message.stateBatches,
        },
      };
    }
    default:
      return { kind: 'unknown', type };
  }
}

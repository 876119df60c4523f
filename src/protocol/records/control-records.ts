import { controlRecordTypeSchema } from '../generated/control-record-type-schema.ts';
import { endTxnMarker } from '../generated/end-txn-marker.ts';
import { decodeVersioned, encodeVersioned } from '../internal-records.ts';
import { Attribute } from './batch-header.ts';
import { type BatchOptions, buildBatch } from './builder.ts';

/** What a control record says. */
export const ControlType = {
  abort: 0,
  commit: 1,
  leaderChange: 2,
  snapshotHeader: 3,
  snapshotFooter: 4,
  kraftVersion: 5,
  kraftVoters: 6,
} as const;

/** A batch of one control record. @param value the record's value, with its version in front */
export function buildControlBatch(type: number, value: Uint8Array, options: BatchOptions): Uint8Array {
  const key = encodeVersioned(controlRecordTypeSchema, { type }, 0);
  const attributes = (options.attributes ?? 0) | Attribute.control;
  return buildBatch([{ key, value }], { ...options, attributes });
}

/** The marker that ends a producer's transaction in a partition. */
export function buildEndTransactionBatch(
  outcome: 'commit' | 'abort',
  coordinatorEpoch: number,
  options: BatchOptions,
): Uint8Array {
  const value = encodeVersioned(endTxnMarker, { coordinatorEpoch }, 0);
  const attributes = (options.attributes ?? 0) | Attribute.transactional;
  return buildControlBatch(ControlType[outcome], value, { ...options, attributes });
}

/** The type of a control record, from its key. Later versions of the key keep the first field. @throws ProtocolError */
export function controlType(key: Uint8Array): number {
  return decodeVersioned(controlRecordTypeSchema, key).value.type;
}

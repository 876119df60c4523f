import { NO_SEQUENCE } from '../../protocol/records/batch-header.ts';
import { crc32c } from '../../protocol/records/crc32c.ts';
import { viewOf } from './batch.ts';
import { lastSequence, type ProducerEntry } from './producer-entry.ts';

/**
 * Kafka's producer snapshot: version, CRC-32C of what follows it, count, and an entry of 46 bytes for each producer. Only the last batch
 * of a producer is kept in it.
 */
const VERSION = 1;
const CRC_AT = 2;
const BODY_AT = 6;
const ENTRIES_AT = 10;
const ENTRY_BYTES = 46;

export function encodeSnapshot(entries: readonly ProducerEntry[]): Uint8Array {
  const bytes = new Uint8Array(ENTRIES_AT + entries.length * ENTRY_BYTES);
  const view = viewOf(bytes);
  view.setInt16(0, VERSION);
  view.setInt32(BODY_AT, entries.length);
  entries.forEach((entry, index) => {
    const at = ENTRIES_AT + index * ENTRY_BYTES;
    const last = entry.batches.at(-1);
    view.setBigInt64(at, entry.producerId);
    view.setInt16(at + 8, entry.producerEpoch);
    view.setInt32(at + 10, lastSequence(entry));
    view.setBigInt64(at + 14, last?.lastOffset ?? -1n);
    view.setInt32(at + 22, last ? Number(last.lastOffset - last.firstOffset) : 0);
    view.setBigInt64(at + 26, entry.lastTimestamp);
    view.setInt32(at + 34, entry.coordinatorEpoch);
    view.setBigInt64(at + 38, entry.currentTxnFirstOffset ?? -1n);
  });
  view.setUint32(CRC_AT, crc32c(bytes.subarray(BODY_AT)));
  return bytes;
}

/** The producers of a snapshot; null when it is damaged or of another version. */
export function decodeSnapshot(bytes: Uint8Array): ProducerEntry[] | null {
  if (bytes.length < ENTRIES_AT) return null;
  const view = viewOf(bytes);
  const count = view.getInt32(BODY_AT);
  const intact =
    view.getInt16(0) === VERSION &&
    bytes.length === ENTRIES_AT + count * ENTRY_BYTES &&
    view.getUint32(CRC_AT) === crc32c(bytes.subarray(BODY_AT));
  if (!intact) return null;
  return Array.from({ length: count }, (_, index) => decodeEntry(view, ENTRIES_AT + index * ENTRY_BYTES));
}

function decodeEntry(view: DataView, at: number): ProducerEntry {
  const last = view.getInt32(at + 10);
  const lastOffset = view.getBigInt64(at + 14);
  const offsetDelta = view.getInt32(at + 22);
  const timestamp = view.getBigInt64(at + 26);
  const txnFirstOffset = view.getBigInt64(at + 38);
  const first = last - offsetDelta;
  return {
    producerId: view.getBigInt64(at),
    producerEpoch: view.getInt16(at + 8),
    coordinatorEpoch: view.getInt32(at + 34),
    lastTimestamp: timestamp,
    currentTxnFirstOffset: txnFirstOffset < 0n ? null : txnFirstOffset,
    batches:
      lastOffset < 0n
        ? []
        : [
            {
              firstSequence: last === NO_SEQUENCE ? NO_SEQUENCE : first < 0 ? first + 0x80000000 : first,
              lastSequence: last,
              firstOffset: lastOffset - BigInt(offsetDelta),
              lastOffset,
              timestamp,
            },
          ],
  };
}

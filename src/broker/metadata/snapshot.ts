import { snapshotFooterRecord } from '../../protocol/generated/snapshot-footer-record.ts';
import { snapshotHeaderRecord } from '../../protocol/generated/snapshot-header-record.ts';
import { CRC_COVERS_FROM, splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { buildControlBatch, ControlType, controlType } from '../../protocol/records/control-records.ts';
import { crc32c } from '../../protocol/records/crc32c.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import type { MessageCodec } from '../../protocol/wire/codec.ts';
import { Writer } from '../../protocol/wire/writer.ts';

const RECORDS_PER_BATCH = 1000;

/** What a snapshot stands for: every record of the log below an offset. */
export interface SnapshotId {
  readonly endOffset: bigint;
  /** The leader epoch of the last of these records. */
  readonly epoch: number;
}

/** The name of a snapshot's file, as Kafka gives it: `00000000000000000100-0000000003.checkpoint`. */
export function snapshotFileName({ endOffset, epoch }: SnapshotId): string {
  return `${String(endOffset).padStart(20, '0')}-${String(epoch).padStart(10, '0')}.checkpoint`;
}

/** Null for another file. */
export function parseSnapshotFileName(name: string): SnapshotId | null {
  const match = /^(\d{20})-(\d{10})\.checkpoint$/.exec(name);
  return match === null ? null : { endOffset: BigInt(match[1]!), epoch: Number(match[2]) };
}

/** The quorum's own records by their types (`ControlType`): its version, and, if that has them, the voters (KIP-853). */
export type QuorumRecords = ReadonlyMap<number, Uint8Array>;

/** Whether Kafka's snapshots carry control records of this type on. */
export function isQuorumRecord(type: number): boolean {
  return type === ControlType.kraftVersion || type === ControlType.kraftVoters;
}

/** A snapshot file in Kafka's format (KIP-630): a header, the quorum's records, the metadata records, a footer. */
export function encodeSnapshot(
  values: readonly Uint8Array[],
  quorum: QuorumRecords,
  epoch: number,
  timestamp: bigint,
): Uint8Array {
  const header = control(snapshotHeaderRecord, { lastContainedLogTimestamp: timestamp });
  const footer = control(snapshotFooterRecord, {});
  const at = (baseOffset: number) => ({
    baseOffset: BigInt(baseOffset),
    partitionLeaderEpoch: epoch,
    timestamp,
  });
  const batches = [buildControlBatch(ControlType.snapshotHeader, header, at(0))];
  for (const [type, value] of quorum) batches.push(buildControlBatch(type, value, at(batches.length)));
  const first = batches.length;
  for (let start = 0; start < values.length; start += RECORDS_PER_BATCH) {
    const records = values.slice(start, start + RECORDS_PER_BATCH).map((value) => ({ key: null, value }));
    batches.push(buildBatch(records, at(first + start)));
  }
  batches.push(buildControlBatch(ControlType.snapshotFooter, footer, at(first + values.length)));
  return Buffer.concat(batches);
}

/** The record says its own version, so no other stands before it. */
function control<T>(codec: MessageCodec<T>, value: Partial<T>): Uint8Array {
  const writer = new Writer(32);
  codec.write(writer, codec.create(value), 0);
  return writer.finishBytes();
}

/**
 * Hands over every record of a snapshot file, and the quorum's to `onQuorum`.
 * @throws Error for a file that is damaged or not whole
 */
export function decodeSnapshot(
  bytes: Uint8Array,
  sink: (value: Uint8Array) => void,
  onQuorum: (type: number, value: Uint8Array) => void = () => {},
): void {
  let header = false;
  let footer = false;
  for (const batch of splitBatches(bytes)) {
    if (crc32c(batch.bytes.subarray(CRC_COVERS_FROM)) !== batch.header.crc) {
      throw new Error(`the batch at position ${batch.position} is damaged`);
    }
    for (const { key, value } of readRecords(batch.bytes)) {
      if (batch.header.isControl) {
        const type = key === null ? -1 : controlType(key);
        header ||= type === ControlType.snapshotHeader;
        footer ||= type === ControlType.snapshotFooter;
        if (value !== null && isQuorumRecord(type)) onQuorum(type, value);
      } else if (value !== null) {
        sink(value);
      }
    }
  }
  if (!header || !footer) throw new Error('it is not whole');
}

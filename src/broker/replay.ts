import type { PartitionLog } from '../backend/log/partition-log.ts';
import { type Codec, decompress as decompressNative } from '../native/codec.ts';
import { BatchHeader } from '../protocol/records/batch-header.ts';
import { type RecordView, readRecords } from '../protocol/records/reader.ts';

/** Bytes of a log that are read at once. */
const CHUNK_BYTES = 1 << 20;
/** An internal batch that claims to be larger than this is damaged. */
const DECOMPRESSED_BYTES_MAX = 64 << 20;

/**
 * Hands every record of an internal topic's log to `apply`, in offset order. A record's bytes are valid during the call only.
 * Rejects when the log cannot be read.
 */
export async function replayLog(log: PartitionLog, apply: (record: RecordView) => void): Promise<void> {
  const decompress = (codec: number, bytes: Uint8Array) =>
    decompressNative(codec as Codec, bytes, DECOMPRESSED_BYTES_MAX);
  let offset = log.logStartOffset;
  const end = log.writtenEndOffset;
  while (offset < end) {
    const { batches } = await log.read(offset, CHUNK_BYTES);
    for (const { file, position, sizeBytes, lastOffset } of batches) {
      const memory = await file.read(position, sizeBytes);
      try {
        const batch = memory.bytes();
        if (!new BatchHeader(batch).isControl)
          for (const record of readRecords(batch, decompress)) apply(record);
      } finally {
        memory.release();
      }
      offset = lastOffset + 1n;
    }
    if (batches.length === 0) return;
  }
}

import { type Codec, decompress as decompressNative } from '../native/codec.ts';
import { BatchHeader } from '../protocol/records/batch-header.ts';
import { ControlType, controlType } from '../protocol/records/control-records.ts';
import { type RecordView, readRecords } from '../protocol/records/reader.ts';

/** Bytes of a log that are read at once. */
const CHUNK_BYTES = 1 << 20;
/** An internal batch that claims to be larger than this is damaged. */
const DECOMPRESSED_BYTES_MAX = 64 << 20;

/** A batch in a log's file; what is read from the file is released explicitly. */
export interface StoredBatch {
  readonly lastOffset: bigint;
  readonly position: number;
  readonly sizeBytes: number;
  readonly file: {
    read(position: number, length: number): Promise<{ bytes(): Uint8Array; release(): void }>;
  };
}

/** What a replay needs of a partition's log. */
export interface ReplayableLog {
  readonly logEndOffset: bigint;
  read(from: bigint, maxBytes: number): Promise<{ readonly batches: readonly StoredBatch[] }>;
}

/**
 * Hands every record of an internal topic's log from the offset `from` on to `apply`, in order, and the ends of transactions to `onMarker`;
 * other control records go to `onControl`, with their type. A record's bytes are valid during the call only. Resolves with the bytes of the batches; rejects when the log cannot be read to its end.
 */
export async function replayLog(
  log: ReplayableLog,
  from: bigint,
  apply: (record: RecordView, batch: BatchHeader) => void,
  onMarker: (batch: BatchHeader, commit: boolean) => void = () => undefined,
  onControl: (type: number, value: Uint8Array | null) => void = () => undefined,
): Promise<number> {
  let next = from;
  let bytes = 0;
  while (next < log.logEndOffset) {
    const { batches } = await log.read(next, CHUNK_BYTES);
    for (const batch of batches) {
      await readBatch(batch, apply, onMarker, onControl);
      bytes += batch.sizeBytes;
      next = batch.lastOffset + 1n;
    }
    if (batches.length === 0) throw new Error(`the log ends at ${next}, not at ${log.logEndOffset}`);
  }
  return bytes;
}

async function readBatch(
  batch: StoredBatch,
  apply: (record: RecordView, batch: BatchHeader) => void,
  onMarker: (batch: BatchHeader, commit: boolean) => void,
  onControl: (type: number, value: Uint8Array | null) => void,
): Promise<void> {
  const memory = await batch.file.read(batch.position, batch.sizeBytes);
  try {
    const bytes = memory.bytes();
    const header = new BatchHeader(bytes);
    for (const record of readRecords(bytes, decompress)) {
      if (!header.isControl) apply(record, header);
      else if (record.key !== null) {
        const type = controlType(record.key);
        if (type === ControlType.commit || type === ControlType.abort)
          onMarker(header, type === ControlType.commit);
        else onControl(type, record.value);
      }
    }
  } finally {
    memory.release();
  }
}

function decompress(codec: number, bytes: Uint8Array): Uint8Array {
  return decompressNative(codec as Codec, bytes, DECOMPRESSED_BYTES_MAX);
}

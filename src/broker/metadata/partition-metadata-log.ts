import { BatchHeader } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import type { Clock } from '../../util/clock.ts';
import type { MetadataLog } from './metadata-log.ts';

const READ_BYTES = 1 << 20;

/** Bytes that were read; released explicitly. */
interface Memory {
  bytes(): Uint8Array;
  release(): void;
}

interface StoredBatch {
  readonly lastOffset: bigint;
  readonly position: number;
  readonly sizeBytes: number;
  readonly file: { read(position: number, length: number): Promise<Memory> };
}

/** What is needed of the partition's log. */
export interface RecordLog {
  readonly logStartOffset: bigint;
  readonly logEndOffset: bigint;
  readonly leaderEpoch: number;
  highWatermark: bigint;
  becomeLeader(epoch: number): void;
  append(records: Uint8Array, origin: 'coordinator'): { readonly written: Promise<void> };
  flush(): Promise<void>;
  read(from: bigint, maxBytes: number): Promise<{ readonly batches: readonly StoredBatch[] }>;
  truncateTo(offset: bigint): Promise<void>;
}

/** The metadata log in the partition `__cluster_metadata-0`: one batch of records without keys for each change. */
export class PartitionMetadataLog implements MetadataLog {
  readonly #log: RecordLog;
  readonly #clock: Clock;
  /** Set when records may be in the log that were never applied: nothing more can be appended after them. */
  #broken: Error | null = null;

  /** Begins a new leader epoch of the partition. */
  constructor(log: RecordLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    log.becomeLeader(log.leaderEpoch + 1);
  }

  get endOffset(): bigint {
    return this.#log.logEndOffset;
  }

  async append(values: readonly Uint8Array[]): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    const before = this.#log.logEndOffset;
    const timestamp = BigInt(this.#clock.now());
    const batch = buildBatch(
      values.map((value) => ({ key: null, value })),
      { timestamp },
    );
    // A log that cannot write a batch goes back to where it was by itself.
    await this.#log.append(batch, 'coordinator').written;
    try {
      await this.#log.flush();
    } catch (error) {
      await this.#takeBack(before, error as Error);
      throw error;
    }
    this.#log.highWatermark = this.#log.logEndOffset;
  }

  async replay(sink: (value: Uint8Array) => void): Promise<void> {
    let next = this.#log.logStartOffset;
    while (next < this.#log.logEndOffset) {
      const { batches } = await this.#log.read(next, READ_BYTES);
      for (const batch of batches) {
        await readBatch(batch, sink);
        next = batch.lastOffset + 1n;
      }
      if (batches.length === 0)
        throw new Error(`the metadata log ends at ${next}, not at ${this.#log.logEndOffset}`);
    }
    this.#log.highWatermark = this.#log.logEndOffset;
  }

  /** What was not made durable must not come back at the next start, when nobody knows of it. */
  async #takeBack(before: bigint, cause: Error): Promise<void> {
    try {
      await this.#log.truncateTo(before);
    } catch {
      this.#broken = new Error(`the metadata log is unusable since a write failed: ${cause.message}`, {
        cause,
      });
    }
  }
}

async function readBatch(batch: StoredBatch, sink: (value: Uint8Array) => void): Promise<void> {
  const memory = await batch.file.read(batch.position, batch.sizeBytes);
  try {
    const bytes = memory.bytes();
    // Control batches are the quorum's own, and hold no metadata.
    if (new BatchHeader(bytes).isControl) return;
    for (const { value } of readRecords(bytes)) if (value !== null) sink(value);
  } finally {
    memory.release();
  }
}

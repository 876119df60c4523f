import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { OffsetChange, Offsets } from './offsets.ts';
import type { OffsetsLog, OffsetsRecord } from './ports.ts';
import { offsetRecord } from './records.ts';

/** More records are appended in several batches, which a crash may part. */
const RECORDS_PER_APPEND_MAX = 5_000;

/** Writes the records of one shard and lets offset changes take effect when they are written. */
export class ShardLog {
  readonly #log: OffsetsLog;
  readonly #partition: number;
  readonly #offsets: Offsets;
  #closed = false;

  constructor(log: OffsetsLog, partition: number, offsets: Offsets) {
    this.#log = log;
    this.#partition = partition;
    this.#offsets = offsets;
  }

  /** Rejects with an error that has a Kafka error code. */
  async append(records: readonly OffsetsRecord[]): Promise<void> {
    if (this.#closed) throw new ApiError(ErrorCode.NOT_COORDINATOR);
    if (records.length <= RECORDS_PER_APPEND_MAX) return this.#log.append(this.#partition, records);
    const appends: Promise<void>[] = [];
    for (let start = 0; start < records.length; start += RECORDS_PER_APPEND_MAX)
      appends.push(this.#log.append(this.#partition, records.slice(start, start + RECORDS_PER_APPEND_MAX)));
    await Promise.all(appends);
  }

  /** Appends offset changes and other records together. */
  async write(changes: readonly OffsetChange[], records: readonly OffsetsRecord[] = []): Promise<void> {
    const all = [...changes.map(offsetRecord), ...records];
    if (all.length === 0) return;
    const finishes = changes.map((change) => this.#offsets.begin(change));
    let written = false;
    try {
      await this.append(all);
      written = true;
    } finally {
      for (const finish of finishes) finish(written);
    }
  }

  close(): void {
    this.#closed = true;
  }
}

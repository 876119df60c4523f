import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { OffsetChange, Offsets } from './offsets.ts';
import type { OffsetsLog, OffsetsRecord } from './ports.ts';
import { offsetRecord } from './records.ts';

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
    await this.#log.append(this.#partition, records);
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

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
  #lastEffect: Promise<void> = Promise.resolve();
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

  /** Appends offset changes and other records together. Changes take effect in the order of the calls. */
  write(changes: readonly OffsetChange[], records: readonly OffsetsRecord[] = []): Promise<void> {
    const all = [...changes.map(offsetRecord), ...records];
    if (all.length === 0) return Promise.resolve();
    const finishes = changes.map((change) => this.#offsets.begin(change));
    const appended = this.append(all);
    // Its failure is met below, perhaps later.
    appended.catch(() => undefined);
    const effect = this.#lastEffect.then(async () => {
      let written = false;
      try {
        await appended;
        written = true;
      } finally {
        for (const finish of finishes) finish(written);
      }
    });
    this.#lastEffect = effect.catch(() => undefined);
    return effect;
  }

  close(): void {
    this.#closed = true;
  }
}

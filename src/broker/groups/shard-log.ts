import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { TransactionalProducer, TransactionMarker } from '../transaction-marker.ts';
import type { Finish, OffsetChange, Offsets } from './offsets.ts';
import type { OffsetsLog, OffsetsRecord } from './ports.ts';
import { offsetRecord } from './records.ts';

/** More is appended in several batches, which a crash may part; below every sensible limit of a batch. */
const BYTES_PER_APPEND_MAX = 512 * 1024;

/** Writes the records of one shard and lets offset changes take effect when they are written. */
export class ShardLog {
  readonly #log: OffsetsLog;
  readonly #partition: number;
  readonly #offsets: Offsets;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Of the writes that are waited for. */
  readonly #timers = new Set<Timer>();
  readonly #pending = new Set<Promise<unknown>>();
  #lastEffect: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: {
    readonly log: OffsetsLog;
    readonly partition: number;
    readonly offsets: Offsets;
    readonly clock: Clock;
    readonly timeoutMs: number;
  }) {
    this.#log = options.log;
    this.#partition = options.partition;
    this.#offsets = options.offsets;
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Rejects with an error that has a Kafka error code; REQUEST_TIMED_OUT if the write is slow, which may still succeed. */
  append(records: readonly OffsetsRecord[]): Promise<void> {
    return this.inTime(this.#append(records));
  }

  async #append(records: readonly OffsetsRecord[], producer?: TransactionalProducer): Promise<void> {
    if (this.#closed) throw new ApiError(ErrorCode.NOT_COORDINATOR);
    const appends: Promise<void>[] = [];
    for (const chunk of chunks(records)) appends.push(this.#log.append(this.#partition, chunk, producer));
    const all = Promise.allSettled(appends);
    this.#pending.add(all);
    await all;
    this.#pending.delete(all);
    // All have settled: the first failure is the failure.
    await Promise.all(appends);
  }

  /**
   * Appends offset changes and other records together. Changes take effect in the order of the calls, also those whose
   * callers were told that it takes too long. Rejects as `append`.
   */
  write(changes: readonly OffsetChange[], records: readonly OffsetsRecord[] = []): Promise<void> {
    if (changes.length + records.length === 0) return Promise.resolve();
    return this.inTime(this.writeApplied(changes, records));
  }

  /** As `write`, for records whose effect is there already, and however long it takes. */
  writeApplied(changes: readonly OffsetChange[], records: readonly OffsetsRecord[]): Promise<void> {
    const finishes = changes.map((change) => this.#offsets.begin(change));
    return this.#takeEffect(this.#append([...changes.map(offsetRecord), ...records]), finishes);
  }

  /** Resolves when no append is under way, and all have taken effect or failed. */
  async idle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending, this.#lastEffect]);
    await this.#lastEffect;
  }

  /** Resolves when all that is being appended now has taken effect or failed, or takes too long. */
  settled(): Promise<void> {
    return this.inTime(this.#lastEffect).catch(() => undefined);
  }

  /** Appends offset changes that take effect with the producer's transaction. Rejects as `append`. */
  writePending(changes: readonly OffsetChange[], producer: TransactionalProducer): Promise<void> {
    if (changes.length === 0) return Promise.resolve();
    const finishes = changes.map((change) => this.#offsets.beginPending(producer.producerId, change));
    return this.inTime(this.#takeEffect(this.#append(changes.map(offsetRecord), producer), finishes));
  }

  /** Appends what ends a transaction, and lets its offsets take effect or forgets them. Rejects as `append`, but waits for ever. */
  endTransaction(marker: TransactionMarker): Promise<void> {
    const { producerId, commit } = marker;
    const finish = (written: boolean) => {
      if (written) this.#offsets.endTransaction(producerId, commit);
    };
    const appended = this.#closed
      ? Promise.reject(new ApiError(ErrorCode.NOT_COORDINATOR))
      : this.#log.appendMarker(this.#partition, marker);
    return this.#takeEffect(appended, [finish]);
  }

  /** Calls `finishes` when an append has settled and all before it have taken effect. */
  #takeEffect(appended: Promise<void>, finishes: readonly Finish[]): Promise<void> {
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
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Rejects with REQUEST_TIMED_OUT if what is being written is slow; it may still succeed. */
  inTime(written: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(this.#timeoutMs, () => {
        this.#timers.delete(timer);
        reject(new ApiError(ErrorCode.REQUEST_TIMED_OUT));
      });
      this.#timers.add(timer);
      written.then(resolve, reject).finally(() => {
        timer.cancel();
        this.#timers.delete(timer);
      });
    });
  }
}

function* chunks(records: readonly OffsetsRecord[]): Generator<readonly OffsetsRecord[]> {
  let start = 0;
  let bytes = 0;
  for (const [i, { key, value }] of records.entries()) {
    const size = key.byteLength + (value?.byteLength ?? 0);
    if (i > start && bytes + size > BYTES_PER_APPEND_MAX) {
      yield records.slice(start, i);
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  yield start === 0 ? records : records.slice(start);
}

import { join } from 'node:path';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { type ReplayableLog, replayLog } from '../replay.ts';
import type { MetadataLog } from './metadata-log.ts';
import {
  decodeSnapshot,
  encodeSnapshot,
  isQuorumRecord,
  parseSnapshotFileName,
  type SnapshotId,
  snapshotFileName,
} from './snapshot.ts';

const SNAPSHOT_BYTES_MAX = 1 << 30;

/** What is needed of the partition's log. */
export interface RecordLog extends ReplayableLog {
  /** Absolute. */
  readonly directory: string;
  readonly logStartOffset: bigint;
  readonly leaderEpoch: number;
  highWatermark: bigint;
  becomeLeader(epoch: number): void;
  append(records: Uint8Array, origin: 'coordinator'): { readonly written: Promise<void> | null };
  flush(): Promise<void>;
  truncateTo(offset: bigint): Promise<void>;
  deleteRecordsBefore(offset: bigint): Promise<bigint>;
}

/** What is needed of the log's directory. */
export interface SnapshotFiles {
  list(path: string): Promise<readonly { readonly name: string }[] | null>;
  readFile(path: string, limitBytes: number): Promise<Uint8Array | null>;
  replaceFile(path: string, bytes: Uint8Array): Promise<void>;
  remove(path: string): Promise<void>;
}

/**
 * The metadata log in the partition `__cluster_metadata-0`: one batch of records without keys for each change, and the latest
 * snapshot beside its segments.
 */
export class PartitionMetadataLog implements MetadataLog {
  readonly #log: RecordLog;
  readonly #clock: Clock;
  readonly #files: SnapshotFiles;
  #bytesSinceSnapshot = 0;
  /** What Apache Kafka wrote of its quorum: it needs them when it gets the directory back. */
  readonly #quorum = new Map<number, Uint8Array>();
  /** Set when records may be in the log that were never applied: nothing more can be appended after them. */
  #broken: Error | null = null;

  /** Begins a new leader epoch of the partition. */
  constructor(log: RecordLog, clock: Clock, files: SnapshotFiles) {
    this.#log = log;
    this.#clock = clock;
    this.#files = files;
    log.becomeLeader(log.leaderEpoch + 1);
  }

  get leaderEpoch(): number {
    return this.#log.leaderEpoch;
  }

  get endOffset(): bigint {
    return this.#log.logEndOffset;
  }

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot;
  }

  async append(values: readonly Uint8Array[]): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    const before = this.#log.logEndOffset;
    const records = values.map((value) => ({ key: null, value }));
    const batch = buildBatch(records, { timestamp: BigInt(this.#clock.now()) });
    // A log that cannot write a batch goes back to where it was by itself.
    await this.#log.append(batch, 'coordinator').written;
    try {
      await this.#log.flush();
    } catch (error) {
      await this.#takeBack(before, error as Error);
      throw error;
    }
    this.#bytesSinceSnapshot += batch.byteLength;
    this.#log.highWatermark = this.#log.logEndOffset;
  }

  async replay(sink: (value: Uint8Array) => void): Promise<void> {
    const from = await this.#replaySnapshot(sink);
    this.#bytesSinceSnapshot += await replayLog(
      this.#log,
      from,
      ({ value }) => {
        if (value !== null) sink(value);
      },
      undefined,
      (type, value) => {
        if (value !== null && isQuorumRecord(type)) this.#keepQuorumRecord(type, value);
      },
    );
    this.#log.highWatermark = this.#log.logEndOffset;
  }

  async snapshot(values: readonly Uint8Array[]): Promise<void> {
    this.#bytesSinceSnapshot = 0;
    const { logEndOffset: endOffset, leaderEpoch: epoch } = this.#log;
    const bytes = encodeSnapshot(values, this.#quorum, epoch, BigInt(this.#clock.now()));
    const older = await this.#snapshots();
    await this.#files.replaceFile(this.#path({ endOffset, epoch }), bytes);
    await this.#log.deleteRecordsBefore(endOffset);
    for (const id of older) if (id.endOffset < endOffset) await this.#files.remove(this.#path(id));
  }

  /** Returns the offset of the first record that is not in the latest snapshot. */
  async #replaySnapshot(sink: (value: Uint8Array) => void): Promise<bigint> {
    const { logStartOffset, logEndOffset } = this.#log;
    const latest = (await this.#snapshots()).at(-1);
    if (latest === undefined) {
      if (logStartOffset > 0n)
        throw new Error(`the metadata log begins at ${logStartOffset}, and no snapshot covers the rest`);
      return 0n;
    }
    const name = snapshotFileName(latest);
    if (latest.endOffset < logStartOffset || latest.endOffset > logEndOffset) {
      throw new Error(
        `snapshot ${name} does not meet the metadata log, which holds ${logStartOffset} to ${logEndOffset}`,
      );
    }
    const bytes = await this.#files.readFile(this.#path(latest), SNAPSHOT_BYTES_MAX);
    try {
      decodeSnapshot(bytes ?? new Uint8Array(0), sink, (type, value) => this.#keepQuorumRecord(type, value));
    } catch (error) {
      throw new Error(`snapshot ${name} of the metadata log cannot be used: ${(error as Error).message}`, {
        cause: error,
      });
    }
    return latest.endOffset;
  }

  #keepQuorumRecord(type: number, value: Uint8Array): void {
    this.#quorum.set(type, Uint8Array.from(value));
  }

  /** The oldest first. */
  async #snapshots(): Promise<SnapshotId[]> {
    const entries = (await this.#files.list(this.#log.directory)) ?? [];
    return entries
      .flatMap(({ name }) => parseSnapshotFileName(name) ?? [])
      .sort((a, b) => (a.endOffset < b.endOffset ? -1 : a.endOffset > b.endOffset ? 1 : a.epoch - b.epoch));
  }

  #path(id: SnapshotId): string {
    return join(this.#log.directory, snapshotFileName(id));
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

import { join } from 'node:path';
import {
  CLEANER_OFFSET_CHECKPOINT,
  decodeOffsetCheckpoint,
  encodeOffsetCheckpoint,
  HIGH_WATERMARK_CHECKPOINT,
  LOG_START_OFFSET_CHECKPOINT,
  partitionKey,
  RECOVERY_POINT_CHECKPOINT,
} from './checkpoint-files.ts';
import type { LogEnvironment } from './environment.ts';
import type { PartitionLog } from './partition-log.ts';
import { CoalescedWrite } from './serial.ts';

const LIMIT_BYTES = 1 << 26;

/** What the checkpoints say of one log; 0 where they say nothing. */
export interface CheckpointedOffsets {
  readonly recoveryPoint: bigint;
  readonly logStartOffset: bigint;
  readonly highWatermark: bigint;
  /** Below it the log was compacted. */
  readonly cleanedOffset: bigint;
}

/** The checkpoint files of a data directory, which hold offsets of all its logs. */
export class DirectoryCheckpoints {
  readonly #environment: LogEnvironment;
  readonly #path: string;
  readonly #logs: () => Iterable<PartitionLog>;
  readonly #recoveryPoints: CoalescedWrite;
  readonly #logStartOffsets: CoalescedWrite;
  readonly #highWatermarks: CoalescedWrite;
  readonly #cleanedOffsets: CoalescedWrite;
  readonly #read = new Map<string, ReadonlyMap<string, bigint>>();

  constructor(environment: LogEnvironment, path: string, logs: () => Iterable<PartitionLog>) {
    this.#environment = environment;
    this.#path = path;
    this.#logs = logs;
    this.#recoveryPoints = this.#file(RECOVERY_POINT_CHECKPOINT, (log) => log.recoveryPoint);
    this.#highWatermarks = this.#file(HIGH_WATERMARK_CHECKPOINT, (log) => log.highWatermark);
    // As in Kafka, logs that were never compacted are left out.
    this.#cleanedOffsets = this.#file(CLEANER_OFFSET_CHECKPOINT, ({ compaction }) =>
      compaction.cleanedOffset > 0n ? compaction.cleanedOffset : null,
    );
    // As in Kafka, a start that the first segment's name says already is left out.
    this.#logStartOffsets = this.#file(LOG_START_OFFSET_CHECKPOINT, (log) =>
      log.logStartOffset > log.firstSegmentOffset ? log.logStartOffset : null,
    );
  }

  /** Reads what the last process left. A damaged file counts as empty: more is recovered then, and nothing is lost. */
  async read(): Promise<void> {
    const names = [
      RECOVERY_POINT_CHECKPOINT,
      LOG_START_OFFSET_CHECKPOINT,
      HIGH_WATERMARK_CHECKPOINT,
      CLEANER_OFFSET_CHECKPOINT,
    ];
    for (const name of names) this.#read.set(name, await this.#readFile(name));
  }

  of(topic: string, partition: number): CheckpointedOffsets {
    const key = partitionKey(topic, partition);
    const offset = (name: string) => this.#read.get(name)?.get(key) ?? 0n;
    return {
      recoveryPoint: offset(RECOVERY_POINT_CHECKPOINT),
      logStartOffset: offset(LOG_START_OFFSET_CHECKPOINT),
      highWatermark: offset(HIGH_WATERMARK_CHECKPOINT),
      cleanedOffset: offset(CLEANER_OFFSET_CHECKPOINT),
    };
  }

  /** Resolves when the recovery points are durable, as they were at the call or later. */
  writeRecoveryPoints(): Promise<void> {
    return this.#recoveryPoints.request();
  }

  writeLogStartOffsets(): Promise<void> {
    return this.#logStartOffsets.request();
  }

  writeHighWatermarks(): Promise<void> {
    return this.#highWatermarks.request();
  }

  writeCleanedOffsets(): Promise<void> {
    return this.#cleanedOffsets.request();
  }

  async writeAll(): Promise<void> {
    await Promise.all([
      this.writeRecoveryPoints(),
      this.writeLogStartOffsets(),
      this.writeHighWatermarks(),
      this.writeCleanedOffsets(),
    ]);
  }

  async #readFile(name: string): Promise<ReadonlyMap<string, bigint>> {
    const path = join(this.#path, name);
    const bytes = await this.#environment.fileSystem.readFile(path, LIMIT_BYTES);
    try {
      // Apache Kafka creates some of them empty.
      return bytes && bytes.length > 0 ? decodeOffsetCheckpoint(bytes) : new Map();
    } catch (error) {
      this.#environment.logger.warn({ file: path, error }, 'ignoring a damaged checkpoint');
      return new Map();
    }
  }

  #file(name: string, offsetOf: (log: PartitionLog) => bigint | null): CoalescedWrite {
    return new CoalescedWrite(() => {
      const offsets = new Map<string, bigint>();
      for (const log of this.#logs()) {
        const offset = offsetOf(log);
        if (offset !== null) offsets.set(partitionKey(log.topic, log.partition), offset);
      }
      return this.#environment.fileSystem.replaceFile(
        join(this.#path, name),
        encodeOffsetCheckpoint(offsets),
      );
    });
  }
}

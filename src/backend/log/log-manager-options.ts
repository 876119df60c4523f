import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { LogConfig } from './config.ts';
import type { BatchInfo, FileSystem, LogFile } from './ports.ts';

/** How often the manager's background tasks run, in milliseconds. Kafka's names are in the comments of the defaults. */
export interface LogIntervals {
  readonly initialDelayMs: number;
  readonly retentionCheckMs: number;
  readonly flushCheckMs: number;
  readonly recoveryPointCheckpointMs: number;
  readonly logStartOffsetCheckpointMs: number;
  readonly highWatermarkCheckpointMs: number;
  readonly producerExpirationCheckMs: number;
  /** Files that nobody has used for this long are closed. */
  readonly idleFileMs: number;
}

export const defaultLogIntervals: LogIntervals = {
  initialDelayMs: 30_000, // log.initial.task.delay.ms
  retentionCheckMs: 300_000, // log.retention.check.interval.ms
  flushCheckMs: 3_000, // log.flush.scheduler.interval.ms
  recoveryPointCheckpointMs: 60_000, // log.flush.offset.checkpoint.interval.ms
  logStartOffsetCheckpointMs: 60_000, // log.flush.start.offset.checkpoint.interval.ms
  highWatermarkCheckpointMs: 5_000, // replica.high.watermark.checkpoint.interval.ms
  producerExpirationCheckMs: 600_000, // producer.id.expiration.check.interval.ms
  idleFileMs: 60_000,
};

export interface LogManagerOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `log.dirs`: absolute, at least one. */
  readonly directories: readonly string[];
  readonly nodeId: number;
  /** Null: what the directories say, or a new one if they are new. */
  readonly clusterId?: string | null;
  /** For logs that nothing else is known of. */
  readonly defaultConfig: LogConfig;
  /** The configuration of a topic whose log is found at start. */
  readonly configOf?: (topic: string) => LogConfig;
  /** Looks at batches that a crash may have damaged; a text says why the log must end before the batch. */
  readonly verifyBatch?: (
    place: { topic: string; partition: number; directory: string },
    batch: BatchInfo,
    file: LogFile,
  ) => Promise<string | null>;
  /** Logs of one directory that are opened or closed at the same time (num.recovery.threads.per.data.dir). */
  readonly recoveryThreads?: number;
  readonly intervals?: Partial<LogIntervals>;
  /** How long a producer is remembered that writes nothing (producer.id.expiration.ms). */
  readonly producerIdExpirationMs?: number;
  /** Memory for indexes of segments that are not being written. */
  readonly indexCacheBytes?: number;
  readonly random?: () => number;
  /** Called when the directories are this process's, before their logs are read. */
  readonly beforeLoading?: () => Promise<void>;
  /** After a crash the logs do not count as closed before `compared` was called. */
  readonly hasPayload?: boolean;
}

import type { LogConfig } from './config.ts';
import type { LogError } from './errors.ts';
import type { LoadedLog } from './log-loader.ts';
import type { PartitionLog } from './partition-log.ts';

export interface AppendResult {
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  /** The request repeats one whose batch is in the log already; the offsets are that batch's. */
  readonly duplicate: boolean;
  /** -1 unless the batches carry the time of the append. */
  readonly logAppendTimeMs: bigint;
  /**
   * Resolves, in offset order, when the batches survive the death of the process (not: durable); null: they and all before them do.
   * Rejects with KAFKA_STORAGE_ERROR when they could not be written; the log then goes back to where it was before them.
   */
  readonly written: Promise<void> | null;
}

/** What a log needs from the manager that holds it. */
export interface LogHost {
  /** Makes the recovery points of the log's data directory durable as they are. */
  checkpointRecoveryPoints(log: PartitionLog): Promise<void>;
  /** Makes durable up to where the logs of the log's data directory are compacted. */
  checkpointCleanedOffsets(log: PartitionLog): Promise<void>;
  /** Makes the log start offsets of the log's data directory durable. */
  checkpointLogStartOffsets(log: PartitionLog): Promise<void>;
  /** The log's disk has failed. */
  storageFailed(log: PartitionLog, error: LogError): void;
}

/** What a log's records refer to. */
export interface LogPayload {
  readonly needsFlush: boolean;
  /** Makes what was appended before the call durable. Rejects with KAFKA_STORAGE_ERROR when the log's own disk has failed with it. */
  flush(): Promise<void>;
}

export interface PartitionLogOptions {
  readonly topic: string;
  readonly partition: number;
  readonly topicId: string | null;
  readonly directory: string;
  readonly config: LogConfig;
  readonly loaded: LoadedLog;
  /** From the checkpoints. */
  readonly highWatermark: bigint;
  readonly cleanedOffset: bigint;
  /** Null after a clean start. */
  readonly recoveredFrom: bigint | null;
}

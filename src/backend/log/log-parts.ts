import type { CompactedLog } from './compaction/ports.ts';
import type { LogError } from './errors.ts';
import type { LeaderEpochFile } from './leader-epoch-file.ts';
import type { LogDurability } from './log-durability.ts';
import type { LogSegments } from './log-segments.ts';
import type { MovableHost } from './movable-host.ts';
import type { PartitionLog } from './partition-log.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import type { WriteOrder } from './write-order.ts';

/** What a log is made of, for those that change more of it than its end. */
export interface LogParts {
  readonly log: PartitionLog;
  readonly host: MovableHost;
  readonly segments: LogSegments;
  readonly snapshots: ProducerSnapshots;
  readonly durability: LogDurability;
  readonly epochFile: LeaderEpochFile;
  readonly writes: WriteOrder;
  /** Begins a new segment at the log's end, with a snapshot of the producers. */
  roll(): void;
  /** Throws KAFKA_STORAGE_ERROR when the log is blocked or closed. */
  assertWritable(): void;
  /** Whether nothing can be appended. */
  isBlocked(): boolean;
  /** Runs a task that is alone in changing the segments. */
  exclusively<T>(task: () => Promise<T>): Promise<T>;
  /** Reports what failed and why. Returns what to tell the caller. */
  failed(action: string, cause: unknown): LogError;
}

/** The log as compaction sees it. */
export class LogForCompaction implements CompactedLog {
  readonly #parts: LogParts;

  constructor(parts: LogParts) {
    this.#parts = parts;
  }

  get log(): PartitionLog {
    return this.#parts.log;
  }

  get segments(): LogSegments {
    return this.#parts.segments;
  }

  version(): number | null {
    return this.#parts.isBlocked() ? null : this.#parts.durability.version;
  }

  exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#parts.exclusively(task);
  }

  async settleClosedSegments(all = false): Promise<bigint> {
    const { log, host, segments, durability } = this.#parts;
    if (all && segments.list.active.size > 0) segments.roll(log.logEndOffset, log.config);
    const { active } = segments.list;
    // Or a start would take the segment before it for the last one, in which it allows no gaps.
    if (!active.linked) await active.sync();
    await durability.flushPayload();
    await durability.persistRolled();
    await host.checkpointRecoveryPoints(log);
    return active.baseOffset;
  }

  checkpointCleanedOffset(): Promise<void> {
    return this.#parts.host.checkpointCleanedOffsets(this.#parts.log);
  }

  forgetSnapshots(offsets: ReadonlySet<bigint>): Promise<void> {
    return this.#parts.snapshots.removeWhere((offset) => offsets.has(offset));
  }

  failed(action: string, cause: unknown): LogError {
    return this.#parts.failed(action, cause);
  }
}

import type {
  AbortedRange,
  Cleaned,
  CleanTarget,
  CompactionOptions,
  Mapped,
  SourceSegment,
} from '../../../native/compaction.ts';
import type { LogSegments } from '../log-segments.ts';
import type { PartitionLog } from '../partition-log.ts';

/** What reads and writes segments for compaction: the native store, away from the JavaScript thread. */
export interface CompactionEngine {
  compact(options: CompactionOptions): CompactionWork;
}

/** One round on one log; see `CompactionRound`. */
export interface CompactionWork {
  map(
    segments: readonly SourceSegment[],
    startOffset: bigint,
    aborted: readonly AbortedRange[],
  ): Promise<Mapped>;
  setAborted(aborted: readonly AbortedRange[]): void;
  clean(segments: readonly SourceSegment[], target: CleanTarget): Promise<Cleaned>;
  stop(): void;
  close(): Promise<void>;
}

/** What compaction needs of the log that it works on. */
export interface CompactedLog {
  readonly log: Pick<
    PartitionLog,
    'config' | 'logStartOffset' | 'logEndOffset' | 'highWatermark' | 'firstUnstableOffset' | 'activeProducers'
  >;
  readonly segments: LogSegments;
  /** Changes when the log's end is taken back; null while the log is not open, or its disk does not work. */
  version(): number | null;
  /** Runs a task while nothing else changes the log's segments. */
  exclusively<T>(task: () => Promise<T>): Promise<T>;
  /**
   * Completes all segments but the active one on disk, and makes a start begin its recovery behind them: at the offset that it resolves
   * with, or later. Segments may have been closed meanwhile. `all`: the active segment is closed before, if there is anything in it.
   */
  settleClosedSegments(all?: boolean): Promise<bigint>;
  checkpointCleanedOffset(): Promise<void>;
  /** The segments of these offsets are gone. */
  forgetSnapshots(offsets: ReadonlySet<bigint>): Promise<void>;
  /** Takes the disk out of use if the failure does not pass by itself. Returns what to tell. */
  failed(action: string, cause: unknown): Error;
}

/** Memory and so on of one round. */
export interface RoundSettings {
  /** For the map of keys. */
  readonly mapBytes: number;
  /** How full it may become. */
  readonly loadFactor: number;
  readonly bufferBytes: number;
}

/** What a round did. */
export interface RoundStats {
  readonly fromOffset: bigint;
  readonly endOffset: bigint;
  readonly segmentsBefore: number;
  readonly segmentsAfter: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly recordsRead: number;
  readonly recordsRemoved: number;
}

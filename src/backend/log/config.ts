/** The topic configuration as a log uses it: Kafka's topic keys in camel case. Times in milliseconds. */
export interface LogConfig {
  /** Below 2^31. */
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly segmentJitterMs: number;
  /** The largest offset or time index of a segment. */
  readonly segmentIndexBytes: number;
  readonly indexIntervalBytes: number;
  /** -1 for ever. */
  readonly retentionMs: number;
  /** -1 for no limit. */
  readonly retentionBytes: number;
  readonly fileDeleteDelayMs: number;
  /** Records after which the log is flushed. */
  readonly flushMessages: number;
  /** The longest time that records stay unflushed. */
  readonly flushMs: number;
  readonly preallocate: boolean;
  /** Whether `cleanup.policy` has `delete`: without it, retention by age and size does not apply. */
  readonly cleanupDelete: boolean;
  /** Whether `cleanup.policy` has `compact`: only the latest record of each key is kept. */
  readonly cleanupCompact: boolean;
  /** The share of the log that is not yet compacted above which it is. */
  readonly minCleanableDirtyRatio: number;
  /** How long a record stays uncompacted at least, and at most. */
  readonly minCompactionLagMs: number;
  readonly maxCompactionLagMs: number;
  /** How long tombstones stay from when they are first compacted. */
  readonly deleteRetentionMs: number;
  readonly compactionStrategy: CompactionStrategy;
  /** Of the strategies that have one. */
  readonly compactionWindowMs: number;
}

/**
 * Which records of a key compaction keeps: the latest; the latest of each window of time; or, hybrid, all that are younger than the window and
 * the latest of the rest.
 */
export type CompactionStrategy = 'keep-latest' | 'time-window' | 'hybrid';

/** Kafka's defaults. */
export const defaultLogConfig: LogConfig = {
  segmentBytes: 1 << 30,
  segmentMs: 604_800_000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10_485_760,
  indexIntervalBytes: 4096,
  retentionMs: 604_800_000,
  retentionBytes: -1,
  fileDeleteDelayMs: 60_000,
  flushMessages: Number.MAX_SAFE_INTEGER,
  flushMs: Number.MAX_SAFE_INTEGER,
  preallocate: false,
  cleanupDelete: true,
  cleanupCompact: false,
  minCleanableDirtyRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  deleteRetentionMs: 86_400_000,
  compactionStrategy: 'keep-latest',
  compactionWindowMs: 86_400_000,
};

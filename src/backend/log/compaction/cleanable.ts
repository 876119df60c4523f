import type { LogConfig } from '../config.ts';
import { largest, smallest } from '../offsets.ts';
import type { Segment } from '../segment.ts';

/** What is compacted of a log, and what may be. */
export interface DirtyRange {
  /** Below it every key is there once. */
  readonly firstDirty: bigint;
  /** Where the first segment begins that must stay as it is. */
  readonly end: bigint;
  readonly cleanBytes: number;
  readonly dirtyBytes: number;
  /** Whether a record has waited for longer than `max.compaction.lag.ms`. */
  readonly overdue: boolean;
}

export interface CompactionState {
  readonly nowMs: number;
  readonly cleanedOffset: bigint;
  readonly logStartOffset: bigint;
  readonly logEndOffset: bigint;
  /** Where the first transaction begins that is open, or the high watermark. */
  readonly lastStableOffset: bigint;
}

/** Kafka's rules: not the active segment, nothing that may still be aborted, nothing that is too young. Segments in order, the active one last. */
export async function dirtyRange(
  segments: readonly Segment[],
  config: LogConfig,
  state: CompactionState,
): Promise<DirtyRange> {
  const firstDirty = firstDirtyOffset(state);
  const active = segments.at(-1)!;
  const closed = segments.slice(0, -1);
  const dirty = closed.filter((_, index) => segments[index + 1]!.baseOffset > firstDirty);
  const limit = smallest(state.lastStableOffset, active.baseOffset);
  const within = closed.filter((_, index) => segments[index + 1]!.baseOffset <= limit);
  const young = await firstYoung(dirty, config, state.nowMs);
  const cleanable =
    young === null ? within : within.filter((segment) => segment.baseOffset < young.baseOffset);
  const end = segments[cleanable.length]!.baseOffset;
  return {
    firstDirty,
    end: largest(firstDirty, end),
    cleanBytes: bytesOf(closed.filter((segment) => segment.baseOffset < firstDirty)),
    dirtyBytes: bytesOf(dirty.filter((segment) => segment.baseOffset < end)),
    overdue: await isOverdue(dirty, config, state.nowMs),
  };
}

/** The share of the log that is not yet compacted; 0 of an empty one. */
export function dirtyRatio({ cleanBytes, dirtyBytes }: DirtyRange): number {
  return dirtyBytes === 0 ? 0 : dirtyBytes / (cleanBytes + dirtyBytes);
}

/** Whether it is time to compact. */
export function isDue(range: DirtyRange, config: LogConfig): boolean {
  return range.dirtyBytes > 0 && (range.overdue || dirtyRatio(range) > config.minCleanableDirtyRatio);
}

/** A checkpoint that the log has left behind, or lost, says nothing. */
function firstDirtyOffset({ cleanedOffset, logStartOffset, logEndOffset }: CompactionState): bigint {
  return cleanedOffset > logEndOffset ? logStartOffset : largest(cleanedOffset, logStartOffset);
}

async function firstYoung(
  dirty: readonly Segment[],
  config: LogConfig,
  nowMs: number,
): Promise<Segment | null> {
  const window = config.compactionStrategy === 'hybrid' ? config.compactionWindowMs : 0;
  const lagMs = Math.max(config.minCompactionLagMs, window);
  if (lagMs <= 0) return null;
  for (const segment of dirty) if ((await segment.largestTimestampMs(config)) > nowMs - lagMs) return segment;
  return null;
}

async function isOverdue(dirty: readonly Segment[], config: LogConfig, nowMs: number): Promise<boolean> {
  const before = nowMs - config.maxCompactionLagMs;
  if (before <= 0) return false;
  for (const segment of dirty) {
    const timestamp = await segment.firstBatchTimestamp();
    if (timestamp > 0n && timestamp < BigInt(before)) return true;
  }
  return false;
}

function bytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + segment.size, 0);
}

/** What grouping looks at of a segment. */
export interface GroupedSegment {
  readonly baseOffset: bigint;
  readonly size: number;
}

const MAX_RELATIVE_OFFSET = 0x7fffffffn;
const OFFSET_ENTRY_BYTES = 8;
const TIME_ENTRY_BYTES = 12;

/** Segments that follow each other, as many together as fit into one: by their bytes, their indexes and their offsets. `end`: of the last one. */
export function groupSegments<S extends GroupedSegment>(
  segments: readonly S[],
  end: bigint,
  config: LogConfig,
): S[][] {
  const groups: S[][] = [];
  let bytes = 0;
  segments.forEach((segment, index) => {
    const group = groups.at(-1);
    const lastOffset = (segments[index + 1]?.baseOffset ?? end) - 1n;
    const fits =
      group !== undefined &&
      bytes + segment.size <= config.segmentBytes &&
      indexBytes(bytes + segment.size, config) <= config.segmentIndexBytes &&
      lastOffset - group[0]!.baseOffset <= MAX_RELATIVE_OFFSET;
    if (fits) {
      group.push(segment);
      bytes += segment.size;
    } else {
      groups.push([segment]);
      bytes = segment.size;
    }
  });
  return groups;
}

/** At most so many of the larger of the two indexes. */
function indexBytes(bytes: number, config: LogConfig): number {
  return (bytes / Math.max(config.indexIntervalBytes, 1)) * Math.max(OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES);
}

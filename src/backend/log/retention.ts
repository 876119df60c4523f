import type { LogConfig } from './config.ts';

/** What retention looks at of a segment. */
export interface SegmentSummary {
  readonly sizeBytes: number;
  /** The base offset of the segment after it; the log's end for the last. */
  readonly endOffset: bigint;
  /** When its newest record was written. */
  readonly largestTimestampMs: number;
}

export interface RetentionState {
  readonly nowMs: number;
  readonly logStartOffset: bigint;
  readonly highWatermark: bigint;
}

/**
 * How many segments, from the oldest on, Kafka's rules let go: those below the log start offset, and, when the log may delete, those
 * by which it exceeds `retention.bytes` and those older than `retention.ms`. No segment goes that holds offsets above the high watermark.
 */
export function expiredSegments(
  segments: readonly SegmentSummary[],
  config: LogConfig,
  state: RetentionState,
): number {
  const isEmptyEnd = (segment: SegmentSummary) => segment === segments.at(-1) && segment.sizeBytes === 0;
  const below = countWhile(
    segments,
    (segment) => segment.endOffset <= state.highWatermark && !isEmptyEnd(segment),
  );
  const deletable = segments.slice(0, below);
  let expired = countWhile(
    deletable,
    (segment) => segment !== segments.at(-1) && segment.endOffset <= state.logStartOffset,
  );
  if (!config.cleanupDelete) return expired;
  if (config.retentionBytes >= 0) {
    let excess = segments.reduce((sum, segment) => sum + segment.sizeBytes, -config.retentionBytes);
    const bySize = countWhile(deletable, (segment) => {
      excess -= segment.sizeBytes;
      return excess >= 0;
    });
    expired = Math.max(expired, bySize);
  }
  if (config.retentionMs >= 0) {
    const byAge = countWhile(
      deletable,
      (segment) => state.nowMs - segment.largestTimestampMs > config.retentionMs,
    );
    expired = Math.max(expired, byAge);
  }
  return expired;
}

function countWhile<T>(items: readonly T[], holds: (item: T) => boolean): number {
  const end = items.findIndex((item) => !holds(item));
  return end < 0 ? items.length : end;
}

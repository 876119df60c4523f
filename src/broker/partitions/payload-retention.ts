import type { Partition } from './partition.ts';

/**
 * Applies `retention.ms` and `retention.bytes` to a partition's payload, whole segments of it, oldest first. The log alone would
 * not do: its references are small, so that one log segment can stand for more payload than the topic is to keep. What compaction has
 * given up does not count.
 */
export async function enforcePayloadRetention(partition: Partition, nowMs: number): Promise<void> {
  const { config, log, payloads } = partition;
  if (!config.deletable || payloads.isEmpty || log.isClosed) return;
  const end = await expiredEnd(partition, nowMs);
  let excess = config.retentionBytes < 0 ? -1 : log.sizeBytes + payloads.liveBytes - config.retentionBytes;
  let start = partition.logStartOffset;
  let anyGoes = false;
  for (const segment of payloads.segments) {
    const expired = segment.lastOffset < end;
    if (!expired && (excess <= 0 || segment.liveBytes > excess || !segment.isComplete)) break;
    excess -= segment.liveBytes;
    if (segment.lastOffset >= start) start = segment.lastOffset + 1n;
    anyGoes ||= segment.lastOffset >= 0n;
  }
  // Also below the log's start: that may have been raised and not been written down.
  if (anyGoes) await log.deleteRecordsBefore(start);
}

/** Gives back the space of what no record refers to, of segments where that is more than the part of them. */
export async function cleanPayload({ payloads, metrics }: Partition, minLiveRatio: number): Promise<void> {
  const { segments, bytes } = await payloads.clean(minLiveRatio);
  metrics.cleanedSegments += segments;
  metrics.cleanedBytes += bytes;
}

/** Records below the result are older than `retention.ms`. */
async function expiredEnd(
  { config, log, logStartOffset, highWatermark }: Partition,
  nowMs: number,
): Promise<bigint> {
  if (config.retentionMs < 0) return logStartOffset;
  const firstKept = await log.firstKeptSince(BigInt(Math.max(0, nowMs - config.retentionMs)));
  return firstKept === null || firstKept > highWatermark ? highWatermark : firstKept;
}

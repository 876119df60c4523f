import type { Isolation } from './fetch-wait.ts';
import type { Partition } from './partition.ts';

/** The timestamps of ListOffsets that are none. */
const LATEST = -1n;
const EARLIEST = -2n;
const MAX_TIMESTAMP = -3n;
const EARLIEST_LOCAL = -4n;
const LATEST_TIERED = -5n;
const EARLIEST_PENDING_UPLOAD = -6n;

export interface FoundOffset {
  offset: bigint;
  timestamp: bigint;
  leaderEpoch: number;
}

const NOTHING: FoundOffset = { offset: -1n, timestamp: -1n, leaderEpoch: -1 };

/**
 * The first offset whose record is not older than `timestamp`, or what a special timestamp asks for, of what is visible; -1 if
 * there is none. Nothing is ever tiered or pending upload.
 */
export async function findOffset(
  partition: Partition,
  timestamp: bigint,
  isolation: Isolation,
): Promise<FoundOffset> {
  const { log, logStartOffset } = partition;
  switch (timestamp) {
    case LATEST:
      return { offset: partition.visibleEnd(isolation), timestamp: -1n, leaderEpoch: partition.leaderEpoch };
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { offset: logStartOffset, timestamp: -1n, leaderEpoch: log.epochForOffset(logStartOffset) };
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return NOTHING;
  }
  const end = partition.visibleEnd(isolation);
  const search = timestamp === MAX_TIMESTAMP ? log.offsetOfMaxTimestamp() : log.offsetForTimestamp(timestamp);
  const found = await search.catch((error: unknown) => {
    throw partition.errorFor(error, 'looking for a time');
  });
  if (found === null || found.offset >= end) return NOTHING;
  return { offset: found.offset, timestamp: found.timestamp, leaderEpoch: log.epochForOffset(found.offset) };
}

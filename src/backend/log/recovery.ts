import type { BatchInfo, BatchScan } from './ports.ts';

const MAX_RELATIVE_OFFSET = 0x7fffffffn;

/** How far a segment is known to be good. */
export interface RecoveryState {
  readonly validBytes: number;
  /** The offset after the last good batch. */
  readonly nextOffset: bigint;
}

export interface RecoveryStep extends RecoveryState {
  /** The good batches of the scan. */
  readonly accepted: readonly BatchInfo[];
  /** Why what follows is not good; null when there is nothing wrong. */
  readonly problem: string | null;
}

export interface RecoveryBounds {
  /** The segment's. */
  readonly baseOffset: bigint;
  /**
   * Where the next segment begins; null in the last one. Before it offsets may be missing: in a whole file only compaction, whose checkpoint
   * may be lost or have been behind, leaves such gaps. What a crash loses is missing in the file, too.
   */
  readonly endOffset: bigint | null;
  /** Below it the log was compacted, and offsets may be missing in the last segment. */
  readonly cleanedOffset: bigint;
}

/** Decides how much of what a scan found is good: batches that follow one another in the file and in their offsets. */
export function recover(scan: BatchScan, state: RecoveryState, bounds: RecoveryBounds): RecoveryStep {
  let { validBytes, nextOffset } = state;
  const accepted: BatchInfo[] = [];
  for (const batch of scan.batches) {
    const problem = problemOf(batch, { validBytes, nextOffset }, bounds);
    if (problem) return { validBytes, nextOffset, accepted, problem };
    accepted.push(batch);
    validBytes += batch.sizeBytes;
    nextOffset = batch.lastOffset + 1n;
  }
  return { validBytes, nextOffset, accepted, problem: scan.stop === 'damaged' ? scan.reason : null };
}

function problemOf(batch: BatchInfo, state: RecoveryState, bounds: RecoveryBounds): string | null {
  const { validBytes, nextOffset } = state;
  if (batch.position !== validBytes) return `a batch at ${batch.position} where ${validBytes} is due`;
  // The base offset is not covered by the checksum.
  const mayBeMissing = bounds.endOffset !== null || batch.baseOffset <= bounds.cleanedOffset;
  const isGap = batch.baseOffset > nextOffset && !mayBeMissing;
  if (isGap || batch.baseOffset < nextOffset) return `offset ${batch.baseOffset} where ${nextOffset} is due`;
  if (bounds.endOffset !== null && batch.lastOffset >= bounds.endOffset)
    return `offset ${batch.lastOffset} before a segment that begins at ${bounds.endOffset}`;
  if (batch.lastOffset - bounds.baseOffset <= MAX_RELATIVE_OFFSET) return null;
  return `offset ${batch.lastOffset} in the segment of ${bounds.baseOffset}`;
}

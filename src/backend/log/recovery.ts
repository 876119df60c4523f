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

/** Decides how much of what a scan found is good: batches that follow one another without gap and with ascending offsets. */
export function recover(scan: BatchScan, state: RecoveryState, baseOffset: bigint): RecoveryStep {
  let { validBytes, nextOffset } = state;
  const accepted: BatchInfo[] = [];
  for (const batch of scan.batches) {
    const problem = problemOf(batch, validBytes, nextOffset, baseOffset);
    if (problem) return { validBytes, nextOffset, accepted, problem };
    accepted.push(batch);
    validBytes += batch.sizeBytes;
    nextOffset = batch.lastOffset + 1n;
  }
  return { validBytes, nextOffset, accepted, problem: scan.stop === 'damaged' ? scan.reason : null };
}

function problemOf(
  batch: BatchInfo,
  position: number,
  nextOffset: bigint,
  baseOffset: bigint,
): string | null {
  if (batch.position !== position) return `a batch at ${batch.position} where ${position} is due`;
  if (batch.baseOffset < nextOffset) return `offset ${batch.baseOffset} after ${nextOffset - 1n}`;
  if (batch.lastOffset - baseOffset > MAX_RELATIVE_OFFSET)
    return `offset ${batch.lastOffset} in this segment`;
  return null;
}

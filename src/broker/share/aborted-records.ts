import type { PartitionLog } from '../../backend/log/partition-log.ts';
import type { AbortedTransaction } from '../../backend/log/transaction-index.ts';
import { Attribute, BATCH_HEADER_SIZE, BatchHeader } from '../../protocol/records/batch-header.ts';

/** Batches that are looked for at once, by their bytes in the log. */
const STEP_BYTES = 1 << 20;

/** Offsets; both ends are part of it. */
export interface OffsetRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** Which offsets from `from` on, below `end`, belong to batches of aborted transactions that are still in the log. Reads headers alone. */
export async function abortedRanges(
  log: PartitionLog,
  aborted: readonly AbortedTransaction[],
  from: bigint,
  end: bigint,
): Promise<OffsetRange[]> {
  const ranges: OffsetRange[] = [];
  for (let next = from; next < end; ) {
    // Records may be deleted meanwhile.
    const start = next < log.logStartOffset ? log.logStartOffset : next;
    const { batches } = await log.read(start, STEP_BYTES, { upToOffset: end });
    for (const { file, position, attributes, baseOffset, lastOffset } of batches) {
      next = lastOffset + 1n;
      const isData = (attributes & Attribute.transactional) !== 0 && (attributes & Attribute.control) === 0;
      if (!isData) continue;
      const memory = await file.read(position, BATCH_HEADER_SIZE);
      try {
        const { producerId } = new BatchHeader(memory.bytes());
        if (aborted.some((each) => holds(each, producerId, baseOffset)))
          ranges.push({ first: baseOffset, last: lastOffset });
      } finally {
        memory.release();
      }
    }
    if (batches.length === 0) break;
  }
  return ranges;
}

function holds(transaction: AbortedTransaction, producerId: bigint, offset: bigint): boolean {
  const { firstOffset, lastOffset } = transaction;
  return transaction.producerId === producerId && offset >= firstOffset && offset <= lastOffset;
}

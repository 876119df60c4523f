import type { BatchInfo, LogFile } from '../../backend/log/ports.ts';
import type { BatchRewriter, Replacement } from '../../backend/log/rewrite/rewrite-segments.ts';
import { restoreBatch } from '../../native/batch.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { BATCH_HEADER_SIZE, BatchHeader } from '../../protocol/records/batch-header.ts';
import { REFERENCE_ATTRIBUTE, readDivertedBatches } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';
import { referencesOf } from '../partitions/recovery.ts';

/** Called for every batch that is in the log again, with its bytes. */
export type OnInlined = (bytes: number) => void;

/**
 * Puts the payload of a partition back into its log, as the batches that were produced, segment by segment, and removes it. Nothing else may
 * use the partition. Rejects with a PayloadError when payload is missing or damaged; what was done until then stays. When it was
 * interrupted it can be done again.
 */
export async function inlinePartition(partition: Partition, onInlined: OnInlined): Promise<void> {
  const { log, payloads } = partition;
  await log.compaction.rewrite(new Inliner(partition, onInlined));
  partition.recentlyDiverted.clear();
  // What an earlier run had put back when it was killed.
  if (!payloads.isEmpty) await payloads.retainOnly(referencesOf(log, log.logStartOffset));
}

class Inliner implements BatchRewriter {
  readonly #partition: Partition;
  readonly #onInlined: OnInlined;
  /** Payload to which the segment that is being replaced refers. */
  #unused: { segmentId: number; baseOffset: bigint }[] = [];

  constructor(partition: Partition, onInlined: OnInlined) {
    this.#partition = partition;
    this.#onInlined = onInlined;
  }

  concerns({ attributes }: BatchInfo): boolean {
    return (attributes & REFERENCE_ATTRIBUTE) !== 0;
  }

  async replace(batch: BatchInfo, file: LogFile): Promise<Replacement | null> {
    const { payloads, logStartOffset } = this.#partition;
    // Its payload may be gone, for nobody can read it any more.
    if (batch.lastOffset < logStartOffset) return null;
    const { baseOffset, lastOffset, position, sizeBytes, attributes } = batch;
    const place = { baseOffset, lastOffset, position, sizeBytes, attributes, file };
    const diverted = (await readDivertedBatches([place])).get(baseOffset);
    if (diverted === undefined) throw new Error(`the batch at offset ${baseOffset} has lost its reference`);
    const { segmentId, header, partial } = diverted;
    const extent = await payloads.read(diverted);
    this.#unused.push({ segmentId, baseOffset });
    const replacement =
      partial === null
        ? whole(header, extent)
        : await restoreBatch(partial, extent)
            .then(restored)
            .finally(() => extent.memory.release());
    try {
      this.#onInlined(replacement.sizeBytes);
    } catch (error) {
      replacement.release();
      throw error;
    }
    return replacement;
  }

  async settled(): Promise<void> {
    const unused = this.#unused;
    this.#unused = [];
    await this.#partition.payloads.release(unused);
  }
}

/** The batch as it was produced. */
function whole(header: Uint8Array, extent: MemoryPiece): Replacement {
  return {
    pieces: [header, extent],
    sizeBytes: BATCH_HEADER_SIZE + extent.byteLength,
    maxTimestamp: new BatchHeader(header).maxTimestamp,
    release: () => extent.memory.release(),
  };
}

/** What compaction has left of it. */
function restored(batch: Uint8Array | MemoryPiece): Replacement {
  const bytes = batch instanceof Uint8Array ? batch : batch.bytes();
  return {
    pieces: [batch],
    sizeBytes: batch.byteLength,
    maxTimestamp: new BatchHeader(bytes.subarray(0, BATCH_HEADER_SIZE)).maxTimestamp,
    release: () => {
      if (!(batch instanceof Uint8Array)) batch.memory.release();
    },
  };
}

import type { PartitionLog } from '../../backend/log/partition-log.ts';
import type { BatchInfo, LogFile } from '../../backend/log/ports.ts';
import type { BatchRewriter } from '../../backend/log/rewrite/rewrite-segments.ts';
import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { LostPayload } from '../../backend/payload/ports.ts';
import type { Logger } from '../../util/logger.ts';
import { REFERENCE_ATTRIBUTE, readDivertedBatches } from './diverted-batch.ts';

/**
 * Takes the batches out of a log whose payload a restart of the machine has taken with a tier in memory: their offsets are missing from then on, as after
 * compaction, and consumers go on behind them. Nothing else may use the log. What is interrupted is done again by the next start.
 */
export async function dropLostBatches(
  log: PartitionLog,
  payloads: PartitionPayloads,
  logger: Logger,
): Promise<void> {
  const { lost } = payloads;
  if (lost === null) return;
  const { topic, partition } = log;
  if (lost.ranges.length > 0) {
    for (const { segmentId, first, last } of lost.ranges)
      logger.error(
        { topic, partition, segment: segmentId, firstOffset: String(first), lastOffset: String(last) },
        'Records are lost: their payload was in a tier of the type MEMORY when the machine restarted',
      );
    await log.compaction.rewrite(new LostBatches(lost));
    const { batches, bytes } = lost;
    logger.error({ topic, partition, batches, bytes }, 'The log goes on without the records that are lost');
  }
  await payloads.forgetLost();
}

class LostBatches implements BatchRewriter {
  readonly #lost: LostPayload;

  constructor(lost: LostPayload) {
    this.#lost = lost;
  }

  /** Payload segments follow each other as offsets do. */
  concerns({ attributes, baseOffset }: BatchInfo): boolean {
    return (attributes & REFERENCE_ATTRIBUTE) !== 0 && this.#rangeOf(baseOffset) !== undefined;
  }

  #rangeOf(offset: bigint) {
    return this.#lost.ranges.find(({ first, last }) => offset >= first && offset <= last);
  }

  async replace(batch: BatchInfo, file: LogFile): Promise<null> {
    const { baseOffset, lastOffset, position, sizeBytes, attributes } = batch;
    const place = { baseOffset, lastOffset, position, sizeBytes, attributes, file };
    const reference = (await readDivertedBatches([place])).get(baseOffset);
    if (reference !== undefined && reference.segmentId !== this.#rangeOf(baseOffset)!.segmentId)
      throw new Error(`payload of offset ${baseOffset} is not in the segment that is lost`);
    return null;
  }

  async settled(): Promise<void> {}
}

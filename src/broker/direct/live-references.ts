import { LogError } from '../../backend/log/errors.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import { REFERENCE_ATTRIBUTE, readDivertedBatches } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';

/**
 * Whether the log has the batch of a reference still: compaction takes batches out, and their payload with them. A log that cannot be read says
 * nothing against it.
 */
export async function isLive(partition: Partition, { reference, claim }: SignedReference): Promise<boolean> {
  const { segmentId, extentPosition } = reference;
  try {
    const { batches } = await partition.log.read(claim.baseOffset, 1);
    const found = batches.filter(({ attributes }) => (attributes & REFERENCE_ATTRIBUTE) !== 0);
    const [batch] = (await readDivertedBatches(found.slice(0, 1))).values();
    return batch?.segmentId === Number(segmentId) && batch.position === extentPosition;
  } catch (error) {
    return !(error instanceof LogError && error.code === ErrorCode.OFFSET_OUT_OF_RANGE);
  }
}

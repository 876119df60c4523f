import { splitBatches } from '../../protocol/records/batch-header.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import type { Partition } from '../partitions/partition.ts';
import type { ReferenceKeys } from './reference-keys.ts';
import { signBatches } from './signed-batches.ts';

/** The values of all records of a log below a megabyte, as a direct listener gives them out: references, where payload was diverted. */
export async function signedReferences(
  partition: Partition,
  context: { keys: ReferenceKeys; principal: string; topicId: string; partition: number },
): Promise<Uint8Array[]> {
  const { batches } = await partition.log.read(0n, 1 << 20, { upToOffset: 1000n, minOneBatch: true });
  const references: Uint8Array[] = [];
  for (const { file, position, sizeBytes } of batches) {
    const memory = await file.read(position, sizeBytes);
    const signed = signBatches(Uint8Array.from(memory.bytes()), context);
    memory.release();
    for (const { bytes } of splitBatches(signed))
      for (const { value } of readRecords(bytes)) references.push(value!);
  }
  return references;
}

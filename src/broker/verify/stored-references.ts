import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseOffsetFileName, Suffix } from '../../backend/log/log-file-names.ts';
import type { BatchDescriptor } from '../../backend/log/log-reader.ts';
import { type Store, type StoreFile, scanBatches } from '../../native/store.ts';
import {
  type DivertedBatch,
  REFERENCE_ATTRIBUTE,
  readDivertedBatches,
} from '../partitions/diverted-batch.ts';

const SCAN_STEP_BYTES = 4 << 20;

/** Where a log file is no sequence of batches, although more follows. */
export interface LogDamage {
  readonly file: string;
  readonly position: number;
  readonly reason: string;
}

/** The reference batches of a closed partition's log files, in order; reads no payload. `onDamage`: the rest of that file is left out. */
export async function* storedReferences(
  store: Store,
  directory: string,
  onDamage: (damage: LogDamage) => void,
): AsyncGenerator<DivertedBatch> {
  const logs = (await readdir(directory)).filter((name) => parseOffsetFileName(name)?.suffix === Suffix.log);
  for (const name of logs.sort()) {
    const path = join(directory, name);
    const file = await store.open(path, { readOnly: true });
    try {
      yield* referencesIn(file, path, onDamage);
    } finally {
      await file.close();
    }
  }
}

async function* referencesIn(
  file: StoreFile,
  path: string,
  onDamage: (damage: LogDamage) => void,
): AsyncGenerator<DivertedBatch> {
  for (let position = 0; ; ) {
    const { batches, end, reason } = await scanBatches(file, position, SCAN_STEP_BYTES, { verifyCrc: true });
    const references: BatchDescriptor[] = [];
    for (const batch of batches) {
      if ((batch.attributes & REFERENCE_ATTRIBUTE) === 0) continue;
      const { baseOffset, position, sizeBytes, attributes } = batch;
      const lastOffset = baseOffset + BigInt(batch.lastOffsetDelta);
      references.push({ baseOffset, lastOffset, position, sizeBytes, attributes, file });
    }
    try {
      yield* (await readDivertedBatches(references)).values();
    } catch (error) {
      onDamage({ file: path, position: references[0]!.position, reason: String(error) });
    }
    if (reason === 'torn' || reason === 'corrupt')
      onDamage({ file: path, position: end, reason: `${reason} batch` });
    if (reason !== 'limit' || end === position) return;
    position = end;
  }
}

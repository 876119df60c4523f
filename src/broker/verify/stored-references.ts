import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseOffsetFileName, Suffix } from '../../backend/log/log-file-names.ts';
import type { BatchDescriptor } from '../../backend/log/log-reader.ts';
import { scanBatches } from '../../native/batch-scan.ts';
import type { Store } from '../../native/store.ts';
import type { StoreFile } from '../../native/store-file.ts';
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

export interface LogEvents {
  /** The rest of that file is left out. */
  onDamage(damage: LogDamage): void;
  /** Records may be missing before this offset: compaction leaves such gaps, and so does a log file that is gone. */
  onGap(offset: bigint): void;
}

/** The reference batches of a closed partition's log files from an offset on, in order; reads no payload. */
export async function* storedReferences(
  store: Store,
  directory: string,
  from: bigint,
  events: LogEvents,
): AsyncGenerator<DivertedBatch> {
  const names = await readdir(directory);
  const logs = names.filter((name) => parseOffsetFileName(name)?.suffix === Suffix.log).sort();
  if (logs.length === 0) events.onGap(from);
  const walk = { nextOffset: from, events };
  for (const name of logs) {
    const path = join(directory, name);
    const file = await store.open(path, { readOnly: true });
    try {
      const { offset } = parseOffsetFileName(name)!;
      if (offset > walk.nextOffset) events.onGap(offset);
      yield* referencesIn(file, path, walk);
    } finally {
      await file.close();
    }
  }
}

async function* referencesIn(
  file: StoreFile,
  path: string,
  walk: { nextOffset: bigint; readonly events: LogEvents },
): AsyncGenerator<DivertedBatch> {
  const { events } = walk;
  for (let position = 0; ; ) {
    const { batches, end, reason } = await scanBatches(file, position, SCAN_STEP_BYTES, { verifyCrc: true });
    const references: BatchDescriptor[] = [];
    for (const batch of batches) {
      if (batch.baseOffset > walk.nextOffset) events.onGap(batch.baseOffset);
      walk.nextOffset = batch.baseOffset + BigInt(batch.lastOffsetDelta) + 1n;
      if ((batch.attributes & REFERENCE_ATTRIBUTE) === 0) continue;
      const { baseOffset, position, sizeBytes, attributes } = batch;
      const lastOffset = baseOffset + BigInt(batch.lastOffsetDelta);
      references.push({ baseOffset, lastOffset, position, sizeBytes, attributes, file });
    }
    try {
      yield* (await readDivertedBatches(references)).values();
    } catch (error) {
      events.onDamage({ file: path, position: references[0]!.position, reason: String(error) });
    }
    if (reason === 'torn' || reason === 'corrupt')
      events.onDamage({ file: path, position: end, reason: `${reason} batch` });
    if (reason !== 'limit' || end === position) return;
    position = end;
  }
}

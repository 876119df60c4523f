import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeOffsetCheckpoint,
  LOG_START_OFFSET_CHECKPOINT,
  partitionKey,
} from '../../backend/log/checkpoint-files.ts';
import { parsePartitionDirectory } from '../../backend/log/log-file-names.ts';

/** A partition in a data directory of a gateway that does not run. */
export interface FoundPartition {
  readonly topic: string;
  readonly partition: number;
  /** Absolute path of its directory. */
  readonly directory: string;
  /** Records below it are gone. */
  readonly logStartOffset: bigint;
}

/** The partitions in a data directory, by topic and number. */
export async function partitionsIn(directory: string): Promise<FoundPartition[]> {
  const starts = await readStarts(join(directory, LOG_START_OFFSET_CHECKPOINT));
  const found: FoundPartition[] = [];
  for (const name of await readdir(directory)) {
    const parsed = parsePartitionDirectory(name);
    if (parsed === null || !(await stat(join(directory, name))).isDirectory()) continue;
    const logStartOffset = starts.get(partitionKey(parsed.topic, parsed.partition)) ?? 0n;
    found.push({ ...parsed, directory: join(directory, name), logStartOffset });
  }
  return found.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
}

/** None where there is no checkpoint, or a damaged one, as a start takes it. */
async function readStarts(path: string): Promise<Map<string, bigint>> {
  try {
    return decodeOffsetCheckpoint(await readFile(path));
  } catch {
    return new Map();
  }
}

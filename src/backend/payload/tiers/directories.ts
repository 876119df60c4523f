import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentOfPayload } from '../home-places.ts';

/** Of a copy that is being made. */
export const COPY_SUFFIX = '.moving';

/** Long names of topics are cut off: the topic's id is what counts. */
const TOPIC_LENGTH = 180;
const PARTITION = /^.+-(\d{1,10})\.([\w-]{22})$/;

/** The directory of a partition in the paths of the tiers: people see whose it is, and a topic made anew gets another. */
export function partitionName(topic: string, partition: number, topicId: string): string {
  return `${topic.slice(0, TOPIC_LENGTH)}-${partition}.${topicId}`;
}

export function isPartitionName(name: string): boolean {
  return PARTITION.test(name);
}

/** Of the name of a partition. */
export function topicIdOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

export interface FoundTierFile {
  /** The name of its directory. */
  readonly partition: string;
  /** Null for a copy that was being made. */
  readonly segmentId: number | null;
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** The payload files in a path of a tier, and unfinished copies. */
export async function scanTierPath(path: string): Promise<FoundTierFile[]> {
  const found: FoundTierFile[] = [];
  for (const partition of await readdir(path)) {
    if (!isPartitionName(partition)) continue;
    const directory = join(path, partition);
    for (const name of await readdir(directory)) {
      const segmentId = segmentOfPayload(name);
      if (segmentId === null && !name.endsWith(COPY_SUFFIX)) continue;
      const { size, mtimeMs } = await stat(join(directory, name));
      found.push({ partition, segmentId, path: join(directory, name), bytes: size, modifiedMs: mtimeMs });
    }
  }
  return found;
}

import { join } from 'node:path';
import { partitionKey } from '../checkpoint-files.ts';
import type { LogEnvironment } from '../environment.ts';
import type { LogDirectory } from '../log-directory.ts';
import { partitionDirectoryName } from '../log-file-names.ts';
import { SEAL } from './moved-files.ts';

/** A directory with a copy that is to take the place of a partition's, or a part of one. */
export interface FutureDirectory {
  readonly topic: string;
  readonly partition: number;
  /** Where it is. */
  readonly in: LogDirectory;
  readonly path: string;
}

/**
 * Looks for copies that an earlier process has left. A complete one takes its place if there is nothing in it: the process died in the middle of that.
 * Returns the others. `complete`: no directory is out of use, in which a partition could be.
 */
export async function finishMoves(
  { fileSystem, logger }: LogEnvironment,
  directories: readonly LogDirectory[],
  complete: boolean,
): Promise<FutureDirectory[]> {
  const present = new Set<string>();
  const futures: FutureDirectory[] = [];
  for (const directory of directories) {
    const found = await directory.find();
    for (const { topic, partition } of found.partitions) present.add(partitionKey(topic, partition));
    for (const { name, ...which } of found.futures)
      futures.push({ ...which, in: directory, path: join(directory.path, name) });
  }
  const left: FutureDirectory[] = [];
  for (const future of futures) {
    const { topic, partition, path } = future;
    const key = partitionKey(topic, partition);
    const names = ((await fileSystem.list(path)) ?? []).map(({ name }) => name);
    if (complete && !present.has(key) && names.includes(SEAL)) {
      const to = join(future.in.path, partitionDirectoryName(topic, partition));
      logger.info({ from: path, to }, 'finishing the move of a partition that was interrupted');
      await fileSystem.rename(path, to);
      await fileSystem.syncDirectory(future.in.path);
      present.add(key);
    } else {
      // The partition goes on without it.
      if (present.has(key)) await fileSystem.remove(join(path, SEAL));
      left.push(future);
    }
  }
  return left;
}

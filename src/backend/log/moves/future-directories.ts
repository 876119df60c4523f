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
 * Returns the others. A directory that fails is put out of use; while one is, partitions could be there, and no copy becomes one.
 */
export async function finishMoves(
  environment: LogEnvironment,
  directories: readonly LogDirectory[],
): Promise<FutureDirectory[]> {
  const present = new Set<string>();
  const futures: FutureDirectory[] = [];
  await forEachUsable(directories, async (directory) => {
    const found = await directory.find();
    for (const { topic, partition } of found.partitions) present.add(partitionKey(topic, partition));
    for (const { name, ...which } of found.futures)
      futures.push({ ...which, in: directory, path: join(directory.path, name) });
  });
  const left: FutureDirectory[] = [];
  for (const future of futures) {
    const key = partitionKey(future.topic, future.partition);
    await forEachUsable([future.in], async () => {
      const isElsewhere = present.has(key) || directories.some(({ error }) => error !== null);
      if (!isElsewhere && (await isComplete(environment, future))) {
        await takePlace(environment, future);
        present.add(key);
        return;
      }
      // The partition goes on without it.
      if (present.has(key)) await environment.fileSystem.remove(join(future.path, SEAL));
      left.push(future);
    });
  }
  return left;
}

async function isComplete({ fileSystem }: LogEnvironment, { path }: FutureDirectory): Promise<boolean> {
  return ((await fileSystem.list(path)) ?? []).some(({ name }) => name === SEAL);
}

async function takePlace({ fileSystem, logger }: LogEnvironment, future: FutureDirectory): Promise<void> {
  const to = join(future.in.path, partitionDirectoryName(future.topic, future.partition));
  logger.info({ from: future.path, to }, 'finishing the move of a partition that was interrupted');
  await fileSystem.rename(future.path, to);
  await fileSystem.syncDirectory(future.in.path);
}

async function forEachUsable(
  directories: readonly LogDirectory[],
  task: (directory: LogDirectory) => Promise<void>,
): Promise<void> {
  for (const directory of directories) {
    if (directory.error !== null) continue;
    try {
      await task(directory);
    } catch (error) {
      directory.fail(error);
    }
  }
}

import { createHash } from 'node:crypto';
import type { KafabricConfig } from '../config/index.ts';
import { abandonedMemory, recoverAcknowledged } from '../native/journal.ts';
import type { Logger } from '../util/logger.ts';
import {
  arenaDirectories,
  earlierArenaDirectories,
  type ReplaceFile,
  recordArenaDirectory,
} from './arena-directory.ts';

/** Whose memory it is, and where. */
export interface AcknowledgedMemory {
  readonly config: KafabricConfig;
  /** Of the shared memory. */
  readonly name: string;
  readonly dataDirectories: readonly string[];
  readonly replaceFile: ReplaceFile;
}

/** Names the shared memory of the gateways that use these data directories, of which one runs at a time. */
export function sharedMemoryName(config: KafabricConfig): string {
  const directories = [...config.resolved.logDirs].sort().join('\n');
  return createHash('sha256').update(directories).digest('hex').slice(0, 24);
}

/**
 * Writes to their files what a killed gateway or store had acknowledged from memory. Called when the data directories are locked, before
 * their logs are read. Rejects, with nothing lost, when that cannot be done: the logs must not be used without it.
 */
export async function writeAcknowledged(memory: AcknowledgedMemory, logger: Logger): Promise<void> {
  const { config, name, dataDirectories, replaceFile } = memory;
  const report = await recoverAcknowledged(name, await earlierArenaDirectories(config, dataDirectories));
  if (report.inUse > 0) throw new Error('shared memory of these data directories is used by another process');
  if (report.problems.length > 0) {
    throw new Error(
      `shared memory with acknowledged records cannot be read: ${report.problems.join('; ')}. Remove it to start without them`,
    );
  }
  if (report.skippedFiles > 0)
    logger.warn(
      report,
      'acknowledged records in memory are of files that are gone: their topics were deleted',
    );
  if (report.keptFiles > 0)
    logger.error(
      report,
      'acknowledged records in memory are of a directory that is not mounted: a start with it writes them; to give them up, remove the memory',
    );
  if (report.entries > 0)
    logger.info(report, 'wrote what was acknowledged from memory when the last process died');
  await recordArenaDirectory(config, dataDirectories, replaceFile);
}

/**
 * Gives back the shared memory of killed processes, of whatever data directories, in which there is nothing that is not on a disk. Called before this process has its
 * own, which may need the room.
 */
export async function removeAbandonedMemory(config: KafabricConfig, logger: Logger): Promise<void> {
  for (const { path, bytes, removed } of await abandonedMemory(true, arenaDirectories(config)))
    if (removed) logger.info({ path, bytes }, 'removed the shared memory of a process that was killed');
}

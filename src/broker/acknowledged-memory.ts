import { createHash } from 'node:crypto';
import type { KafabricConfig } from '../config/index.ts';
import { abandonedMemory, type ReplayReport, recoverAcknowledged } from '../native/journal.ts';
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
  /** Of that of earlier processes, which had some of the same data directories. */
  readonly earlierNames?: readonly string[];
  readonly dataDirectories: readonly string[];
  readonly replaceFile: ReplaceFile;
}

/** Names the shared memory of the gateways that use these data directories, of which one runs at a time. */
export function sharedMemoryName(logDirs: readonly string[]): string {
  const directories = [...logDirs].sort().join('\n');
  return createHash('sha256').update(directories).digest('hex').slice(0, 24);
}

/**
 * Writes to their files what a killed gateway or store had acknowledged from memory. Called when the data directories are locked, before
 * their logs are read. Rejects, with nothing lost, when that cannot be done: the logs must not be used without it.
 */
export async function writeAcknowledged(memory: AcknowledgedMemory, logger: Logger): Promise<void> {
  const { config, name, earlierNames = [], dataDirectories, replaceFile } = memory;
  const places = await earlierArenaDirectories(config, dataDirectories);
  const report = await recoverAcknowledged(name, places);
  if (report.inUse > 0) throw new Error('shared memory of these data directories is used by another process');
  assertWritten(report, logger);
  // Whoever lives and uses such has other directories: these were copied.
  for (const earlier of earlierNames) assertWritten(await recoverAcknowledged(earlier, places), logger);
  await recordArenaDirectory(config, dataDirectories, replaceFile);
}

/** Says what was written. @throws Error for people when something cannot be read */
function assertWritten(report: ReplayReport, logger: Logger): void {
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
      'acknowledged records in memory are of a disk that is not mounted, or in whose place another one is: a start with it writes them; to give them up, remove the memory',
    );
  if (report.entries > 0)
    logger.info(report, 'wrote what was acknowledged from memory when the last process died');
}

/**
 * Gives back the shared memory of killed processes, of whatever data directories, in which there is nothing that is not on a disk. Called before this process has its
 * own, which may need the room.
 */
export async function removeAbandonedMemory(config: KafabricConfig, logger: Logger): Promise<void> {
  for (const { path, bytes, removed } of await abandonedMemory(true, arenaDirectories(config)))
    if (removed) logger.info({ path, bytes }, 'removed the shared memory of a process that was killed');
}

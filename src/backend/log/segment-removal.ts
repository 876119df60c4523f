import type { LogEnvironment } from './environment.ts';
import { isMissing } from './errors.ts';
import { SEGMENT_SUFFIXES, Suffix } from './log-file-names.ts';
import type { Segment } from './segment.ts';

/**
 * Takes segments out of a log's directory: their files are renamed, durably, and removed after `delayMs`, so that reads under way
 * can end. The segments must be out of the log's list already.
 */
export async function deleteSegmentFiles(
  environment: LogEnvironment,
  directory: string,
  segments: readonly Segment[],
  delayMs: number,
): Promise<void> {
  const { fileSystem, clock, indexCache, logger } = environment;
  const renamed: string[] = [];
  for (const segment of segments) {
    indexCache.forget(segment);
    for (const suffix of [...SEGMENT_SUFFIXES, Suffix.snapshot]) {
      const path = segment.path(suffix);
      try {
        await fileSystem.rename(path, path + Suffix.deleted);
        renamed.push(path + Suffix.deleted);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    segment.file.moved(segment.file.path + Suffix.deleted);
  }
  await fileSystem.syncDirectory(directory);
  clock.setTimer(delayMs, () => {
    // Closed first, if they can be: the space of a file that is open cannot be used again.
    Promise.allSettled(segments.map((segment) => segment.file.close()))
      .then(() => Promise.all(renamed.map((path) => fileSystem.remove(path))))
      .catch((error: unknown) =>
        logger.warn({ directory, error }, 'deleted segment files could not be removed'),
      );
  });
}

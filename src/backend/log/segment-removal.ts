import type { LogEnvironment } from './environment.ts';
import { isMissing } from './errors.ts';
import { SEGMENT_SUFFIXES, Suffix } from './log-file-names.ts';
import type { Segment } from './segment.ts';

/** Runs a step of a change that must be completed, perhaps again and again. */
export type Attempt = (step: () => Promise<void>) => Promise<void>;

/**
 * Takes segments out of a log's directory: their files are renamed, durably, and removed after `delayMs`, so that reads under way
 * can end. The segments must be out of the log's list already. When it is rejected it may be called again.
 */
export async function deleteSegmentFiles(
  environment: LogEnvironment,
  directory: string,
  segments: readonly Segment[],
  delayMs: number,
): Promise<void> {
  const renamed: string[] = [];
  for (const segment of segments) {
    environment.indexCache.forget(segment);
    renamed.push(...(await setAside(environment, segment, [Suffix.snapshot])));
  }
  await environment.fileSystem.syncDirectory(directory);
  removeLater(environment, directory, { segments, renamed }, delayMs);
}

/**
 * Renames a segment's files, and those with `more` suffixes, so that a start removes them; whoever has the segment can still open its log file.
 * Not durable yet. `tag`: makes the names differ from those of an earlier segment of the same offset. `attempt` runs each renaming.
 * Returns the new paths, also of files that are not there.
 */
export async function setAside(
  { fileSystem }: LogEnvironment,
  segment: Segment,
  more: readonly string[],
  tag = '',
  attempt: Attempt = (step) => step(),
): Promise<string[]> {
  const renamed: string[] = [];
  for (const suffix of [...SEGMENT_SUFFIXES, ...more]) {
    const path = segment.path(suffix);
    const aside = `${path}${tag}${Suffix.deleted}`;
    // Also of what is not there: an attempt before, which failed with another file, may have renamed it.
    renamed.push(aside);
    try {
      await attempt(() =>
        suffix === Suffix.log ? segment.file.rename(aside) : fileSystem.rename(path, aside),
      );
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return renamed;
}

/** Removes files that were set aside, after a while. */
export function removeLater(
  { fileSystem, clock, logger }: LogEnvironment,
  directory: string,
  { segments, renamed }: { segments: readonly Segment[]; renamed: readonly string[] },
  delayMs: number,
): void {
  clock.setTimer(delayMs, () => {
    // Closed first, if they can be: the space of a file that is open cannot be used again.
    Promise.allSettled(segments.map((segment) => segment.file.close()))
      .then(() => Promise.all(renamed.map((path) => fileSystem.remove(path))))
      .catch((error: unknown) =>
        logger.warn({ directory, error }, 'deleted segment files could not be removed'),
      );
  });
}

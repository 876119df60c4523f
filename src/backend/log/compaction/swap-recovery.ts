import { join } from 'node:path';
import type { LogEnvironment } from '../environment.ts';
import { offsetFileName, parseOffsetFileName, Suffix } from '../log-file-names.ts';
import type { DirectoryEntry } from '../ports.ts';

interface LogFileName {
  readonly name: string;
  readonly offset: bigint;
  /** Without what says that it is not, or not yet, part of the log. */
  readonly suffix: string;
  readonly stage: 'log' | 'cleaned' | 'swap';
}

/**
 * Ends what compaction, Kafka's or ours, was doing when the process died. New segments are written as `.cleaned`; when they are complete and
 * durable they become `.swap`, the log file first, and from then on they are part of the log: the segments that they replace go, and the suffix is
 * removed. Returns whether anything was changed.
 */
export async function finishSwaps(
  environment: LogEnvironment,
  directory: string,
  entries: readonly DirectoryEntry[],
): Promise<boolean> {
  const files = entries.map(parseName).filter((file) => file !== null);
  if (files.every(({ stage }) => stage === 'log')) return false;
  files.sort((a, b) => (a.offset < b.offset ? -1 : 1));
  const { fileSystem, logger } = environment;
  const remove = (file: LogFileName) => fileSystem.remove(join(directory, file.name));
  // Kafka splits a segment whose offsets do not fit into several: they are all there, or none counts.
  const firstCleaned = files.find(({ stage, suffix }) => stage === 'cleaned' && suffix === Suffix.log);
  const isUnfinished = ({ offset }: LogFileName) =>
    firstCleaned !== undefined && offset >= firstCleaned.offset;
  const logs = files.filter(
    (file) => file.stage === 'swap' && file.suffix === Suffix.log && !isUnfinished(file),
  );
  const swapped = new Set(logs.map(({ offset }) => offset));
  for (const log of logs) {
    const end = await endOf(environment, directory, log);
    logger.info({ segment: join(directory, log.name), end }, 'finishing an interrupted compaction');
    for (const file of files) {
      const isReplaced = file.stage === 'log' && file.offset >= log.offset && file.offset < end;
      // Producers are as they were where the new segment begins.
      if (isReplaced && !(file.suffix === Suffix.snapshot && file.offset === log.offset)) await remove(file);
    }
  }
  for (const file of files) {
    if (file.stage === 'log') continue;
    // Where the log file is complete, so are its indexes, whatever they are called.
    const isPart = file.stage === 'swap' ? !isUnfinished(file) : swapped.has(file.offset);
    if (!isPart) await remove(file);
    else
      await fileSystem.rename(
        join(directory, file.name),
        join(directory, offsetFileName(file.offset, file.suffix)),
      );
  }
  await fileSystem.syncDirectory(directory);
  return true;
}

function parseName(entry: DirectoryEntry): LogFileName | null {
  const parsed = entry.isDirectory ? null : parseOffsetFileName(entry.name);
  if (parsed === null || parsed.suffix.endsWith(Suffix.deleted)) return null;
  const { name } = entry;
  for (const stage of ['cleaned', 'swap'] as const) {
    if (parsed.suffix.endsWith(Suffix[stage]))
      return { name, offset: parsed.offset, suffix: parsed.suffix.slice(0, -Suffix[stage].length), stage };
  }
  return { name, ...parsed, stage: 'log' };
}

/** The offset behind the last batch of a complete segment file. */
async function endOf({ fileSystem }: LogEnvironment, directory: string, log: LogFileName): Promise<bigint> {
  const file = await fileSystem.open(join(directory, log.name));
  try {
    let end = log.offset;
    for (let position = 0; ; ) {
      const scan = await fileSystem.scanBatches(file, position, file.size, {
        maxBytes: 1 << 20,
        verifyCrc: false,
      });
      const last = scan.batches.at(-1);
      if (last === undefined) return end;
      end = last.lastOffset + 1n;
      position = scan.end;
    }
  } finally {
    await file.close();
  }
}

import type { Cleaned } from '../../../native/compaction.ts';
import type { LogConfig } from '../config.ts';
import type { LogEnvironment } from '../environment.ts';
import { isMissing } from '../errors.ts';
import { offsetFilePath, SEGMENT_SUFFIXES, Suffix } from '../log-file-names.ts';
import type { LogSegments } from '../log-segments.ts';
import { Segment } from '../segment.ts';
import { removeLater, setAside } from '../segment-removal.ts';
import { TransactionIndex } from '../transaction-index.ts';

/** Tells apart the files of segments of the same offset that wait for their removal. */
let asideNumber = 0;

/** Where the files of a new segment lie until it takes its place. */
export function cleanedStem(directory: string, baseOffset: bigint): string {
  return offsetFilePath(directory, baseOffset, '');
}

/** Writes which aborted transactions end in a new segment; most have none. */
export async function writeCleanedTransactions(
  { fileSystem }: LogEnvironment,
  directory: string,
  baseOffset: bigint,
  cleaned: Cleaned,
): Promise<TransactionIndex> {
  const index = new TransactionIndex(baseOffset);
  for (const transaction of cleaned.aborted) index.append(transaction);
  const path = `${cleanedStem(directory, baseOffset)}${Suffix.transactionIndex}${Suffix.cleaned}`;
  if (index.count > 0) await fileSystem.replaceFile(path, index.content());
  return index;
}

/** Removes what was written of a segment that does not take its place after all. */
export async function dropCleaned(
  { fileSystem }: LogEnvironment,
  directory: string,
  baseOffset: bigint,
): Promise<void> {
  for (const suffix of SEGMENT_SUFFIXES)
    await fileSystem.remove(`${cleanedStem(directory, baseOffset)}${suffix}${Suffix.cleaned}`);
}

/**
 * Puts a new segment, whose files are durable, in the place of those that it was made of, which are pinned. A process that dies meanwhile finishes it at its next
 * start: see `finishSwaps`. Nothing else may change the log's segments; readers go on with those that they have.
 */
export async function swapIn(
  environment: LogEnvironment,
  segments: LogSegments,
  { old, size, transactions }: { old: readonly Segment[]; size: number; transactions: TransactionIndex },
  config: LogConfig,
): Promise<void> {
  const { fileSystem } = environment;
  const { directory } = segments;
  const { baseOffset } = old[0]!;
  const stem = cleanedStem(directory, baseOffset);
  for (const suffix of SEGMENT_SUFFIXES)
    await renameIfThere(environment, `${stem}${suffix}${Suffix.cleaned}`, `${stem}${suffix}${Suffix.swap}`);
  // From here on it is the new segment that counts.
  await fileSystem.syncDirectory(directory);
  const tag = `.${++asideNumber}`;
  const renamed: string[] = [];
  for (const segment of old) {
    // Producers are as they were where the new segment begins.
    const more = segment === old[0] ? [] : [Suffix.snapshot];
    renamed.push(...(await setAside(environment, segment, more, tag)));
  }
  for (const suffix of SEGMENT_SUFFIXES)
    await renameIfThere(environment, `${stem}${suffix}${Suffix.swap}`, `${stem}${suffix}`);
  await fileSystem.syncDirectory(directory);
  const { modifiedMs } = old.at(-1)!;
  const segment = Segment.existing(environment, { directory, baseOffset, size, modifiedMs }, config);
  segment.adoptTransactions(transactions);
  segments.replace(old, segment);
  removeLater(environment, directory, { segments: old, renamed }, config.fileDeleteDelayMs);
}

async function renameIfThere({ fileSystem }: LogEnvironment, from: string, to: string): Promise<void> {
  try {
    await fileSystem.rename(from, to);
  } catch (error) {
    // Only the index of aborted transactions may be missing.
    if (!isMissing(error) || !to.includes(Suffix.transactionIndex)) throw error;
  }
}

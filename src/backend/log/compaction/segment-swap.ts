import type { LogConfig } from '../config.ts';
import type { LogEnvironment } from '../environment.ts';
import { isMissing } from '../errors.ts';
import { offsetFilePath, SEGMENT_SUFFIXES, Suffix } from '../log-file-names.ts';
import type { LogSegments } from '../log-segments.ts';
import { Segment } from '../segment.ts';
import { type Attempt, setAside } from '../segment-removal.ts';
import { type AbortedTransaction, TransactionIndex } from '../transaction-index.ts';

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
  aborted: readonly AbortedTransaction[],
): Promise<TransactionIndex> {
  const index = new TransactionIndex(baseOffset);
  for (const transaction of aborted) index.append(transaction);
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

/** A segment that was written as `.cleaned` files, durably. */
export interface MadeSegment {
  readonly baseOffset: bigint;
  readonly size: number;
  readonly transactions: TransactionIndex;
}

/** Segments that are out of the log, and the paths that their files have now; see `removeLater`. */
export interface ReplacedSegments {
  readonly segments: readonly Segment[];
  readonly renamed: readonly string[];
}

/**
 * Puts new segments in the place of those that they were made of, which are pinned; both begin at the same offset. A process that dies meanwhile finishes it at its next
 * start: see `finishSwaps`. Nothing else may change the log's segments; readers go on with those that they have. `attempt` runs each step;
 * when it gives up, the files' names are somewhere between the old and the new.
 */
export async function swapIn(
  environment: LogEnvironment,
  segments: LogSegments,
  { old, made }: { old: readonly Segment[]; made: readonly MadeSegment[] },
  config: LogConfig,
  attempt: Attempt = (step) => step(),
): Promise<ReplacedSegments> {
  const { fileSystem } = environment;
  const { directory } = segments;
  // The first last: while its log file is not renamed, none of them counts.
  for (const { baseOffset } of made.toReversed()) {
    const stem = cleanedStem(directory, baseOffset);
    for (const suffix of SEGMENT_SUFFIXES)
      await attempt(() =>
        renameIfThere(environment, `${stem}${suffix}${Suffix.cleaned}`, `${stem}${suffix}${Suffix.swap}`),
      );
  }
  // From here on it is the new segments that count.
  await attempt(() => fileSystem.syncDirectory(directory));
  const tag = `.${++asideNumber}`;
  const renamed: string[] = [];
  for (const segment of old) {
    // Producers are as they were where the new segment begins.
    const more = segment === old[0] ? [] : [Suffix.snapshot];
    renamed.push(...(await setAside(environment, segment, more, tag, attempt)));
  }
  for (const { baseOffset } of made) {
    const stem = cleanedStem(directory, baseOffset);
    for (const suffix of SEGMENT_SUFFIXES)
      await attempt(() => renameIfThere(environment, `${stem}${suffix}${Suffix.swap}`, `${stem}${suffix}`));
  }
  await attempt(() => fileSystem.syncDirectory(directory));
  const { modifiedMs } = old.at(-1)!;
  const replacement = made.map(({ baseOffset, size, transactions }) => {
    const segment = Segment.existing(environment, { directory, baseOffset, size, modifiedMs }, config);
    segment.adoptTransactions(transactions);
    return segment;
  });
  segments.replace(old, replacement);
  return { segments: old, renamed };
}

async function renameIfThere({ fileSystem }: LogEnvironment, from: string, to: string): Promise<void> {
  try {
    await fileSystem.rename(from, to);
  } catch (error) {
    // Only the index of aborted transactions may be missing.
    if (!isMissing(error) || !to.includes(Suffix.transactionIndex)) throw error;
  }
}

import { access, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CLEAN_SHUTDOWN,
  decodeOffsetCheckpoint,
  LOG_START_OFFSET_CHECKPOINT,
  partitionKey,
} from '../../backend/log/checkpoint-files.ts';
import { parsePartitionDirectory } from '../../backend/log/log-file-names.ts';
import type { Store } from '../../native/store.ts';
import { checkPartition, type PartitionToCheck, type PayloadProblem } from './partition-check.ts';

export interface PayloadCheckOptions {
  readonly store: Store;
  /** Those of `log.dirs`. */
  readonly directories: readonly string[];
  /** Only these topics; null: all. */
  readonly topics: ReadonlySet<string> | null;
  readonly readPayload: boolean;
  readonly repair: boolean;
  /** Called often; `payload`: bytes of extents so far. */
  readonly onProgress?: (progress: { partitions: number; payload: number; problems: number }) => void;
}

export interface PayloadReport {
  partitions: number;
  /** Live extents, and their bytes. */
  extents: number;
  payloadBytes: number;
  /** Directories that no gateway has closed: what it was writing may be among the problems. */
  unclean: string[];
  /** The first ones; `moreProblems` counts the rest. */
  problems: PayloadProblem[];
  moreProblems: number;
}

const MAX_PROBLEMS = 10_000;

/**
 * Compares logs and payload of a gateway that does not run: every live reference must find its bytes, and every payload segment a
 * reference. Takes the directories' locks.
 * @throws Error for people, when a gateway has a directory, when one cannot be read, or when repairing would be unsafe
 */
export async function checkPayload(options: PayloadCheckOptions): Promise<PayloadReport> {
  const report: PayloadReport = {
    partitions: 0,
    extents: 0,
    payloadBytes: 0,
    unclean: [],
    problems: [],
    moreProblems: 0,
  };
  const locks = [];
  try {
    for (const directory of options.directories) {
      await access(directory);
      locks.push(options.store.lockDirectory(directory));
      if (!(await exists(join(directory, CLEAN_SHUTDOWN)))) report.unclean.push(directory);
    }
    if (options.repair && report.unclean.length > 0)
      throw new Error(
        `${report.unclean.join(', ')}: the gateway was not shut down there, and its next start recovers more than can be seen now; start and stop it once, then repair`,
      );
    const found = new Set<string>();
    for (const directory of options.directories) await checkDirectory(directory, options, report, found);
    const unknown = [...(options.topics ?? [])].filter((topic) => !found.has(topic));
    if (unknown.length > 0)
      throw new Error(`there is no topic ${unknown.join(', ')} in ${options.directories.join(', ')}`);
    return report;
  } finally {
    for (const lock of locks) lock.release();
  }
}

async function checkDirectory(
  directory: string,
  options: PayloadCheckOptions,
  report: PayloadReport,
  found: Set<string>,
): Promise<void> {
  const { store, readPayload, repair, onProgress } = options;
  const progress = () =>
    onProgress?.({
      partitions: report.partitions,
      payload: report.payloadBytes,
      problems: report.problems.length + report.moreProblems,
    });
  for (const target of await partitionsIn(directory)) {
    if (options.topics !== null && !options.topics.has(target.topic)) continue;
    found.add(target.topic);
    await checkPartition(target, {
      store,
      readPayload,
      repair,
      onProblem: (problem) => {
        if (report.problems.length < MAX_PROBLEMS) report.problems.push(problem);
        else report.moreProblems++;
      },
      onExtent: (bytes) => {
        report.extents++;
        report.payloadBytes += bytes;
        progress();
      },
    });
    report.partitions++;
    progress();
  }
}

async function partitionsIn(directory: string): Promise<PartitionToCheck[]> {
  const starts = await readStarts(join(directory, LOG_START_OFFSET_CHECKPOINT));
  const found: PartitionToCheck[] = [];
  for (const name of await readdir(directory)) {
    const parsed = parsePartitionDirectory(name);
    if (parsed === null || !(await stat(join(directory, name))).isDirectory()) continue;
    const logStartOffset = starts.get(partitionKey(parsed.topic, parsed.partition)) ?? 0n;
    found.push({ ...parsed, directory: join(directory, name), logStartOffset });
  }
  return found.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
}

/** None where there is no checkpoint, or a damaged one, as a start takes it. */
async function readStarts(path: string): Promise<Map<string, bigint>> {
  try {
    return decodeOffsetCheckpoint(await readFile(path));
  } catch {
    return new Map();
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

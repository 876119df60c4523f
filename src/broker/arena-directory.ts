import { access, constants, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { KafabricConfig } from '../config/index.ts';
import { ARENA_DIRECTORY } from '../native/arena.ts';

const TMPFS = 0x01021994;
const HUGETLBFS = 0x958458f6;
const HUGE_PAGE_BYTES = 2 << 20;
/** In each data directory: where the memory of the process that had it last was. Without it: in the default. */
const RECORD = 'arena-directory';

/** Replaces a file as a whole, for good. */
export type ReplaceFile = (path: string, bytes: Uint8Array) => Promise<void>;

/** Where to look for what killed processes left, of whatever data directories. */
export function arenaDirectories(config: KafabricConfig): string[] {
  return [...new Set([config.get('arena.directory'), ARENA_DIRECTORY])];
}

/**
 * Rejects with an Error for people when the directory that `arena.directory` names cannot hold an arena. The default is not looked at: without it
 * answers come from the disk.
 */
export async function assertArenaDirectory(config: KafabricConfig): Promise<void> {
  const directory = config.get('arena.directory');
  if (directory === ARENA_DIRECTORY) return;
  const problem = await problemOf(directory);
  if (problem !== null) throw new Error(`arena.directory=${directory} ${problem}`);
}

async function problemOf(directory: string): Promise<string | null> {
  try {
    const { type, bsize } = await statfs(directory);
    if (type !== TMPFS && type !== HUGETLBFS)
      return 'is neither on a tmpfs nor on a hugetlbfs: mount one there';
    if (type === HUGETLBFS && bsize !== HUGE_PAGE_BYTES)
      return 'has no pages of 2 MiB: mount it with pagesize=2M';
    if (!(await stat(directory)).isDirectory()) return 'is no directory';
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    return `cannot be used: ${(error as Error).message}`;
  }
}

/** Directories where a process that had these data directories before may have left its memory, the one that is configured first. */
export async function earlierArenaDirectories(
  config: KafabricConfig,
  dataDirectories: readonly string[],
): Promise<string[]> {
  const recorded = await Promise.all(dataDirectories.map(recordOf));
  return [...new Set([...arenaDirectories(config), ...recorded])];
}

/** Notes in the data directories where this process has its memory, before anything is acknowledged from it. Rejects if none of them takes it. */
export async function recordArenaDirectory(
  config: KafabricConfig,
  dataDirectories: readonly string[],
  replaceFile: ReplaceFile,
): Promise<void> {
  const directory = config.get('arena.directory');
  const written = dataDirectories.map(async (data) => {
    if ((await recordOf(data)) !== directory)
      await replaceFile(join(data, RECORD), Buffer.from(`${directory}\n`));
  });
  const results = await Promise.allSettled(written);
  const failed = results.filter((result) => result.status === 'rejected');
  if (failed.length === results.length) throw failed[0]!.reason;
}

/** The default, too, where nothing can be read: such a directory is of no use for more than this. */
async function recordOf(dataDirectory: string): Promise<string> {
  const text = await readFile(join(dataDirectory, RECORD), 'utf8').catch(() => '');
  return text.startsWith('/') ? text.trim() : ARENA_DIRECTORY;
}

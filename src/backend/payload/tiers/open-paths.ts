import { mkdir, readdir } from 'node:fs/promises';
import type { DirectoryLock } from '../../log/ports.ts';
import { isPartitionName } from './directories.ts';
import {
  claimPath,
  hasProperties,
  identifyPath,
  type KnownPath,
  readKnownPaths,
  type TierOwner,
  writeKnownPaths,
} from './identity.ts';
import { assertInMemory } from './machine-memory.ts';
import type { TierPath } from './tier-path.ts';

export interface OpenedPaths {
  readonly locks: DirectoryLock[];
  /** Sentences about directories that were used before and are not configured now. */
  readonly absent: readonly string[];
}

interface OpenPathsOptions {
  readonly logDirectories: readonly string[];
  readonly owner: TierOwner;
  readonly files: { lockDirectory(path: string): DirectoryLock };
  readonly logger: Record<'warn' | 'error', (fields: object, message: string) => void>;
}

/** Takes the directories that are what they were; the others are taken out. Writes down which are used. */
export async function openTierPaths(
  paths: readonly TierPath[],
  { logDirectories, owner, files, logger }: OpenPathsOptions,
): Promise<OpenedPaths> {
  const locks: DirectoryLock[] = [];
  const { version, paths: known } = await readKnownPaths(logDirectories);
  const configured = paths.map(({ path }) => path);
  const now = new Map<string, string>();
  for (const each of paths) {
    const { path } = each;
    try {
      const before = known.find((one) => one.path === path);
      // In memory there is nothing after a restart of the machine.
      if (before === undefined || each.isVolatile) await mkdir(path, { recursive: true });
      if (each.isVolatile) await assertInMemory(path);
      const isEmptied = each.isVolatile && before !== undefined && !(await hasProperties(path));
      if (isEmptied)
        logger.warn(
          { path, id: before.id },
          'a tier in memory is empty: what was in it is lost with a restart of the machine',
        );
      const found = await identifyPath(
        path,
        owner,
        isEmptied ? known.filter((one) => one !== before) : known,
        configured,
      );
      locks.push(files.lockDirectory(path));
      const id = found ?? (await claimPath(path, owner));
      if ([...now.values()].includes(id))
        throw new Error('it is a directory that is named by another path, too');
      now.set(path, id);
    } catch (error) {
      each.takeOut(error);
    }
  }
  const ids = new Set(now.values());
  const absent: string[] = [];
  for (const { path, id } of known) {
    if (now.has(path) || ids.has(id)) continue;
    if (configured.includes(path)) {
      now.set(path, id);
    } else if (!(await isEmptied(path, id, owner))) {
      now.set(path, id);
      absent.push(
        `the tier directory ${path} (${id}) may hold payload and is in none of storage.tiers.*.paths, or log.channel.type is not tiered`,
      );
      logger.error({ path, id }, absent[absent.length - 1]!);
    }
  }
  const used: KnownPath[] = [...now].map(([path, id]) => ({ path, id }));
  try {
    if (changed(known, used)) await writeKnownPaths(logDirectories, { version: version + 1, paths: used });
  } catch (error) {
    for (const lock of locks) lock.release();
    throw error;
  }
  return { locks, absent };
}

/** Whether a directory that is not configured any more holds nothing. */
async function isEmptied(path: string, id: string, owner: TierOwner): Promise<boolean> {
  try {
    if ((await identifyPath(path, owner, [{ path, id }], [path])) !== id) return false;
    return !(await readdir(path)).some(isPartitionName);
  } catch {
    return false;
  }
}

function changed(before: readonly KnownPath[], after: readonly KnownPath[]): boolean {
  const text = (paths: readonly KnownPath[]) =>
    paths
      .map(({ path, id }) => `${id} ${path}`)
      .sort()
      .join('\n');
  return text(before) !== text(after);
}

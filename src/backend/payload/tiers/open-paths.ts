import { S3_SCHEME } from '../../../config/index.ts';
import type { DirectoryLock } from '../../log/ports.ts';
import { isPartitionName } from './directories.ts';
import {
  forgetCommand,
  hasProperties,
  identify,
  type KnownPath,
  readContents,
  readKnownPaths,
  type TierOwner,
  writeKnownPaths,
} from './identity.ts';
import type { TierPath } from './tier-path.ts';

export interface OpenedPaths {
  readonly locks: DirectoryLock[];
  /** What was used before and is not configured now. */
  readonly absent: readonly AbsentPath[];
}

/** A directory, or a bucket, that may hold payload, and where nobody looks; `error`: why, for people. */
export interface AbsentPath {
  readonly path: string;
  readonly error: string;
}

interface OpenPathsOptions {
  readonly logDirectories: readonly string[];
  readonly owner: TierOwner;
  readonly isOwner?: (name: string) => boolean;
  readonly files: { lockDirectory(path: string): DirectoryLock };
  readonly logger: Record<'warn' | 'error', (fields: object, message: string) => void>;
}

/** Takes the directories that are what they were; the others are taken out. Writes down which are used. */
export async function openTierPaths(
  paths: readonly TierPath[],
  { logDirectories, owner, isOwner = isPartitionName, files, logger }: OpenPathsOptions,
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
      if (before === undefined || each.isVolatile) await each.make();
      const isEmptied = each.isVolatile && before !== undefined && !(await hasProperties(path));
      if (isEmptied)
        logger.warn(
          { path, id: before.id },
          'a tier in memory is empty: what was in it is lost with a restart of the machine',
        );
      const found = await each.identify(
        owner,
        isEmptied ? known.filter((one) => one !== before) : known,
        configured,
      );
      const lock = each.lock(files);
      if (lock !== null) locks.push(lock);
      const id = found ?? (await each.claim(owner));
      if ([...now.values()].includes(id))
        throw new Error('it is a directory that is named by another path, too');
      now.set(path, id);
    } catch (error) {
      each.takeOut(error);
      if (known.some((one) => one.path === path))
        logger.error(
          { path, giveUp: forgetCommand(owner, path) },
          'nothing of what a tier directory holds is taken for lost: mend it and start again, or give it up for good while the process is stopped',
        );
    }
  }
  const ids = new Set(now.values());
  const absent: AbsentPath[] = [];
  for (const { path, id } of known) {
    if (now.has(path) || ids.has(id)) continue;
    if (configured.includes(path)) {
      now.set(path, id);
    } else if (!(await isEmptied(path, id, owner, isOwner))) {
      now.set(path, id);
      const where = path.startsWith(S3_SCHEME)
        ? 'is not that of storage.s3.bucket and prefix, or the last of storage.tiers.types is not S3'
        : 'is in none of storage.tiers.*.paths';
      const error = `the tier directory ${path} (${id}) may hold payload and ${where}, or log.channel.type is not tiered`;
      absent.push({ path, error });
      logger.error({ path, id, giveUp: forgetCommand(owner, path) }, error);
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

/** As `openTierPaths` for one that could not be asked then. Rejects with an error for people while it cannot be used. */
export async function admitPath(
  path: TierPath,
  paths: readonly TierPath[],
  { logDirectories, owner }: Pick<OpenPathsOptions, 'logDirectories' | 'owner'>,
): Promise<void> {
  const { version, paths: known } = await readKnownPaths(logDirectories);
  const configured = paths.map((each) => each.path);
  const id = (await path.identify(owner, known, configured)) ?? (await path.claim(owner));
  if (known.some((each) => each.path === path.path)) return;
  const used = [...known, { path: path.path, id }];
  await writeKnownPaths(logDirectories, { version: version + 1, paths: used });
}

/** Whether a directory that is not configured any more holds nothing. */
async function isEmptied(
  path: string,
  id: string,
  owner: TierOwner,
  isOwner: (name: string) => boolean,
): Promise<boolean> {
  try {
    const contents = await readContents(path);
    if (identify(path, contents, owner, { known: [{ path, id }], configured: [path] }) !== id) return false;
    return !contents.names.some(isOwner);
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

import { isPartitionName } from './directories.ts';
import {
  identify,
  type KnownPath,
  readContents,
  readKnownPaths,
  type TierOwner,
  writeKnownPaths,
} from './identity.ts';

export interface ForgetOptions {
  /** Those that say which directories of tiers are used, locked by the caller. */
  readonly logDirectories: readonly string[];
  /** As the tiers name it. */
  readonly path: string;
  readonly owner: TierOwner;
  /** What the directories of others than partitions are called; see `TieredStorageOptions`. */
  readonly isOwner?: (name: string) => boolean;
}

/**
 * Gives up what a directory of a tier, or a bucket, held: the next start does not miss it. Safe to interrupt.
 * @throws Error for people, and nothing has changed, when it was none, or is there with payload
 */
export async function forgetPath({
  logDirectories,
  path,
  owner,
  isOwner = isPartitionName,
}: ForgetOptions): Promise<void> {
  const { version, paths } = await readKnownPaths(logDirectories);
  const known = paths.find((each) => each.path === path);
  if (known === undefined) {
    const names = paths.map((each) => each.path).join(', ');
    throw new Error(
      `${path} is no tier directory that has held payload${names === '' ? '; there is none' : `: these are ${names}`}`,
    );
  }
  if (await holdsPayload(known, owner, isOwner))
    throw new Error(
      `the tier directory ${path} is there, and holds payload: nothing of it is lost. Name it in storage.tiers.*.paths; to give it up nevertheless, remove what it holds`,
    );
  const left = paths.filter((each) => each !== known);
  await writeKnownPaths(logDirectories, { version: version + 1, paths: left });
}

/** Of a bucket nobody says so. */
async function holdsPayload(
  known: KnownPath,
  owner: TierOwner,
  isOwner: (name: string) => boolean,
): Promise<boolean> {
  try {
    const contents = await readContents(known.path);
    identify(known.path, contents, owner, { known: [known], configured: [known.path] });
    return contents.names.some(isOwner);
  } catch {
    return false;
  }
}

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { S3_SCHEME } from '../../../config/index.ts';
import {
  decodeMetaProperties,
  encodeMetaProperties,
  META_PROPERTIES,
  randomUuid,
} from '../../log/checkpoint-files.ts';
import { replaceFile } from '../small-files.ts';

/** Says whose a directory of a tier is, as meta.properties does for a log directory. */
export const TIER_PROPERTIES = 'tier.properties';
/** In each log directory, and in a store's: which directories of tiers hold, or have held, payload of it. */
export const KNOWN_PATHS = 'payload-tiers.json';

/** What may lie in a directory that is not used yet. */
const NOTHING = new Set(['lost+found', '.lock']);

/** A directory of a tier that was used before. */
export interface KnownPath {
  readonly path: string;
  readonly id: string;
}

/** Whose the directories are: a gateway's, or a payload store's. */
export interface TierOwner {
  /** Of a store, its id. */
  readonly clusterId: string;
  /** Of a store, `STORE_NODE`. */
  readonly nodeId: number;
}

/** Stands for a payload store, where gateways have the id of their node. */
export const STORE_NODE = -1;

/** By which people give up what a directory of a tier held. */
export function forgetCommand({ nodeId }: TierOwner, path: string): string {
  return `kafabric ${nodeId === STORE_NODE ? 'store' : 'payload'} forget-tier ${path}`;
}

function nameOf({ clusterId, nodeId }: TierOwner): string {
  return nodeId === STORE_NODE ? `the store ${clusterId}` : `node ${nodeId} of cluster ${clusterId}`;
}

/** What a directory, or a bucket, says about whose it is. */
export interface PathContents {
  readonly names: readonly string[];
  /** Of `tier.properties`; null: there is none. */
  readonly properties: Buffer | null;
}

/** What is there of a directory, which must be there. */
export async function readContents(path: string): Promise<PathContents> {
  const names = await readdir(path);
  const properties = await readFile(join(path, TIER_PROPERTIES)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return { names, properties };
}

/**
 * Makes sure that a directory, or a bucket, is the one that it was, or a new one.
 * @param known those that were used before
 * @param configured all that are configured now
 * @returns the directory's id; null for a new one, which `claimPath` gives one
 * @throws Error for people
 */
export function identify(
  path: string,
  { names, properties: text }: PathContents,
  owner: TierOwner,
  { known, configured }: { known: readonly KnownPath[]; configured: readonly string[] },
): string | null {
  const expected = known.find((each) => each.path === path)?.id ?? null;
  const isBucket = path.startsWith(S3_SCHEME);
  if (names.includes(META_PROPERTIES)) throw new Error('it is a log directory');
  if (text === null) {
    if (expected !== null)
      throw new Error(
        `it was the tier directory ${expected} and has no ${TIER_PROPERTIES} now; ${isBucket ? 'is it another bucket?' : 'is its disk not mounted?'}`,
      );
    const foreign = names.find((name) => !NOTHING.has(name));
    if (foreign !== undefined)
      throw new Error(
        `it holds ${foreign} and has no ${TIER_PROPERTIES}; a tier needs an empty ${isBucket ? 'bucket or prefix' : 'directory'} for itself`,
      );
    return null;
  }
  const { clusterId, nodeId, directoryId } = decodeMetaProperties(text);
  if (clusterId !== owner.clusterId || nodeId !== owner.nodeId || directoryId === null)
    throw new Error(
      `its ${TIER_PROPERTIES} says that it belongs to ${nameOf({ clusterId, nodeId })}, and not to ${nameOf(owner)}`,
    );
  if (expected !== null && directoryId !== expected)
    throw new Error(
      `it is the tier directory ${directoryId}, where ${expected} was before; are ${isBucket ? 'buckets' : 'disks'} swapped?`,
    );
  const before = known.find((each) => each.id === directoryId && each.path !== path);
  if (before !== undefined && configured.includes(before.path))
    throw new Error(
      `it is the tier directory ${directoryId} of ${before.path}, which is configured too; are disks swapped?`,
    );
  return directoryId;
}

/** Whether a directory says whose it is. */
export function hasProperties(path: string): Promise<boolean> {
  return exists(join(path, TIER_PROPERTIES));
}

/** Makes a new directory this gateway's, durably. Returns its id. */
export async function claimPath(path: string, { clusterId, nodeId }: TierOwner): Promise<string> {
  const directoryId = randomUuid();
  await replaceFile(
    join(path, TIER_PROPERTIES),
    Buffer.from(encodeMetaProperties({ clusterId, nodeId, directoryId })),
  );
  return directoryId;
}

interface KnownPaths {
  /** Rises with each change: a log directory that was out of use meanwhile has an old one. */
  readonly version: number;
  readonly paths: readonly KnownPath[];
}

/** The newest of what the log directories say. Throws an Error for people where one cannot be read. */
export async function readKnownPaths(logDirectories: readonly string[]): Promise<KnownPaths> {
  let newest: KnownPaths = { version: 0, paths: [] };
  for (const directory of logDirectories) {
    const file = join(directory, KNOWN_PATHS);
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    const found = text === null ? null : parseKnownPaths(text, file);
    if (found !== null && found.version > newest.version) newest = found;
  }
  return newest;
}

export async function writeKnownPaths(logDirectories: readonly string[], known: KnownPaths): Promise<void> {
  const text = Buffer.from(`${JSON.stringify(known, null, 2)}\n`);
  for (const directory of logDirectories) {
    if (known.paths.length > 0 || (await exists(join(directory, KNOWN_PATHS))))
      await replaceFile(join(directory, KNOWN_PATHS), text);
  }
}

function parseKnownPaths(text: string, file: string): KnownPaths {
  const damaged = new Error(
    `${file} is damaged; put it back, or remove it if every tier directory is mounted`,
  );
  let parsed: Partial<KnownPaths> | null = null;
  try {
    parsed = JSON.parse(text) as Partial<KnownPaths> | null;
  } catch {
    throw damaged;
  }
  const { version, paths } = parsed ?? {};
  const whole =
    Number.isSafeInteger(version) &&
    Array.isArray(paths) &&
    paths.every((each) => typeof each?.path === 'string' && typeof each?.id === 'string');
  if (!whole) throw damaged;
  return { version: version!, paths: paths! };
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

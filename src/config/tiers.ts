import path from 'node:path';
import { type BrokerKey, type BrokerValues, TIER_ORDINALS, type TierOrdinal } from './definitions/index.ts';
import { bucketUrl, resolveS3, type S3Config } from './s3.ts';

/** One storage tier; the first of them is the fastest. */
export interface TierConfig {
  readonly ordinal: TierOrdinal;
  readonly type: string;
  readonly paths: readonly TierPathConfig[];
}

export interface TierPathConfig {
  /** Absolute; of the tier S3 the bucket's URL. */
  readonly path: string;
  /** -1: what the file system has. */
  readonly sizeBytes: number;
}

/** What cannot be used yet, and what to use in its place. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  PMEM: 'persistent memory is not built yet; name its DAX file system as NVME',
  MEMORY:
    'a tier in memory is not built yet; the arena (arena.bytes) serves the newest payload from memory already',
};

type Getter = <K extends BrokerKey>(key: K) => BrokerValues[K];
/** Runs a check; what it throws becomes a problem of the key. */
type Attempt = <T>(key: BrokerKey, check: () => T) => T | undefined;

interface ResolvedTiers {
  readonly tiers: readonly TierConfig[];
  readonly s3: S3Config | null;
}

const NO_TIERS: ResolvedTiers = { tiers: [], s3: null };

/** The storage tiers; none unless log.channel.type=tiered. */
export function resolveTiers(get: Getter, attempt: Attempt, logDirs: readonly string[]): ResolvedTiers {
  const channel = get('log.channel.type');
  attempt('log.channel.type', () => {
    if (channel === 'pmem') throw new Error('pmem is not built yet; use file or tiered');
  });
  if (channel !== 'tiered') return NO_TIERS;
  const types = attempt('storage.tiers.types', () => checkedTypes(get('storage.tiers.types')));
  if (types === undefined) return NO_TIERS;
  const s3 = types.includes('S3') ? resolveS3(get, attempt) : null;
  if (s3 === undefined) return NO_TIERS;
  const tiers: TierConfig[] = [];
  for (const [i, ordinal] of TIER_ORDINALS.entries()) {
    const type = types[i];
    const paths = attempt(`storage.tiers.${ordinal}.paths`, () =>
      checkedPaths(get, ordinal, type, types.length, s3),
    );
    const sizes = paths && attempt(`storage.tiers.${ordinal}.sizes`, () => checkedSizes(get, ordinal, paths));
    if (type === undefined || paths === undefined || sizes === undefined) continue;
    tiers.push({
      ordinal,
      type,
      paths: paths.map((directory, at) => ({ path: directory, sizeBytes: sizes[at]! })),
    });
  }
  attempt('storage.tiers.first.paths', () => checkApart(tiers, logDirs, s3));
  return { tiers, s3 };
}

function checkedTypes(types: readonly string[] | null): readonly string[] {
  if (types === null || types.length === 0)
    throw new Error('log.channel.type=tiered needs the kind of each tier, such as NVME,HDD');
  if (types.length > TIER_ORDINALS.length)
    throw new Error(`at most ${TIER_ORDINALS.length} tiers are possible`);
  const reason = types.map((type) => NOT_BUILT[type]).find((text) => text !== undefined);
  if (reason !== undefined) throw new Error(reason);
  const bucketAt = types.indexOf('S3');
  if (bucketAt === 0)
    throw new Error(
      'S3 cannot be the first tier: it takes complete segments only, which were written on local disks; name a tier before it, such as SSD,S3',
    );
  if (bucketAt > 0 && bucketAt < types.length - 1)
    throw new Error('S3 can only be the last tier, and there can be one only: name the others before it');
  return types;
}

function checkedPaths(
  get: Getter,
  ordinal: TierOrdinal,
  type: string | undefined,
  count: number,
  s3: S3Config | null,
): string[] {
  const paths = get(`storage.tiers.${ordinal}.paths`) ?? [];
  if (type === undefined) {
    if (paths.length > 0) throw new Error(`storage.tiers.types names only ${count} tiers`);
    return [];
  }
  if (type === 'S3' && s3 !== null) {
    if (paths.length > 0)
      throw new Error('the tier S3 has no directories; its objects are in storage.s3.bucket and prefix');
    return [bucketUrl(s3)];
  }
  if (paths.length === 0)
    throw new Error(`the ${ordinal} tier, of type ${type}, needs at least one directory`);
  return paths.map((directory) => path.resolve(directory));
}

function checkedSizes(get: Getter, ordinal: TierOrdinal, paths: readonly string[]): number[] {
  const texts = get(`storage.tiers.${ordinal}.sizes`);
  const sizes = texts.map((text) => {
    const bytes = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(bytes) || (bytes < 1 && bytes !== -1))
      throw new Error(
        `${text} is no number of bytes: whole numbers from 1 on, or -1 for all that the file system has`,
      );
    return bytes;
  });
  if (sizes.length === 1 && sizes[0] === -1) return paths.map(() => -1);
  if (sizes.length !== paths.length)
    throw new Error(`${sizes.length} sizes for ${paths.length} paths: one for each is needed, or -1 alone`);
  return sizes;
}

/** Every directory is for one thing alone. */
function checkApart(tiers: readonly TierConfig[], logDirs: readonly string[], s3: S3Config | null): void {
  const directories = tiers.filter(({ type }) => type !== 'S3').flatMap(({ paths }) => paths);
  const paths = [...directories.map((each) => each.path), ...(s3 === null ? [] : [s3.cacheDirectory])];
  for (const [i, directory] of paths.entries()) {
    const others = [...paths.slice(0, i), ...logDirs];
    const other = others.find((each) => contains(each, directory) || contains(directory, each));
    if (other === undefined) continue;
    throw new Error(
      `${directory} and ${other}: directories of tiers, of log.dirs and storage.s3.cache.dir must not be, or lie in, each other`,
    );
  }
}

function contains(outer: string, inner: string): boolean {
  const between = path.relative(outer, inner);
  return between === '' || (!between.startsWith('..') && !path.isAbsolute(between));
}

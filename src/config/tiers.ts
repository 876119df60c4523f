import path from 'node:path';
import { type BrokerKey, type BrokerValues, TIER_ORDINALS, type TierOrdinal } from './definitions/index.ts';
import { bucketUrl, resolveS3, type S3Config } from './s3.ts';
import { tierKind } from './tier-kinds.ts';

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

type Getter = <K extends BrokerKey>(key: K) => BrokerValues[K];
/** Runs a check; what it throws becomes a problem of the key. */
type Attempt = <T>(key: BrokerKey, check: () => T) => T | undefined;

interface ResolvedTiers {
  readonly tiers: readonly TierConfig[];
  readonly s3: S3Config | null;
}

const NO_TIERS: ResolvedTiers = { tiers: [], s3: null };

/** With log.channel.type=pmem: the first tier, and no other. */
const ALL_IN_PMEM = ['PMEM'];
const SETTINGS_OF_PMEM = new Set([
  'storage.tiers.types',
  'storage.tiers.first.paths',
  'storage.tiers.first.sizes',
]);

/** The storage tiers; none with log.channel.type=file. */
export function resolveTiers(get: Getter, attempt: Attempt, logDirs: readonly string[]): ResolvedTiers {
  const channel = get('log.channel.type');
  if (channel === 'file') return NO_TIERS;
  const types =
    channel === 'pmem'
      ? ALL_IN_PMEM
      : attempt('storage.tiers.types', () => checkedTypes(get('storage.tiers.types')));
  if (types === undefined) return NO_TIERS;
  attempt('storage.tiers.types', () => checkVolatile(types, get('log.durability')));
  const s3 = types.includes('S3') ? resolveS3(get, attempt) : null;
  if (s3 === undefined) return NO_TIERS;
  const tiers: TierConfig[] = [];
  for (const [i, ordinal] of TIER_ORDINALS.entries()) {
    const type = types[i];
    if (channel === 'pmem' && type === undefined) break; // what is there for more tiers does not count
    const paths = attempt(`storage.tiers.${ordinal}.paths`, () =>
      checkedPaths(get, ordinal, type, types.length, s3),
    );
    const sizes =
      paths && attempt(`storage.tiers.${ordinal}.sizes`, () => checkedSizes(get, ordinal, type, paths));
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
  const bucketAt = types.indexOf('S3');
  if (bucketAt === 0)
    throw new Error(
      'S3 cannot be the first tier: it takes complete segments only, which were written on local disks; name a tier before it, such as SSD,S3',
    );
  if (bucketAt > 0 && bucketAt < types.length - 1)
    throw new Error('S3 can only be the last tier, and there can be one only: name the others before it');
  return types;
}

/** Nothing may be lost with a restart of the machine that was promised to outlast it, nor may more than fits into memory. */
function checkVolatile(types: readonly string[], durability: string): void {
  if (!types.some((type) => tierKind(type).isVolatile)) return;
  if (durability !== 'os')
    throw new Error(
      'a restart of the machine loses what is in a tier MEMORY, and log.durability=flush promises that it does not: set log.durability=os, with which acks=all outlasts the process only, or leave MEMORY out',
    );
  if (tierKind(types[types.length - 1]!).isVolatile)
    throw new Error(
      'the last tier cannot be MEMORY: what is in memory moves on to a tier that outlasts a restart',
    );
}

/** Settings that do nothing because of others, for people. */
export function tierWarnings(get: Getter, keys: readonly string[], tiers: readonly TierConfig[]): string[] {
  const channel = get('log.channel.type');
  const ofTiers = keys.filter((key) => key.startsWith('storage.tiers.'));
  const idle = {
    file: keys.filter((key) => key.startsWith('storage.')),
    pmem: ofTiers.filter((key) => !SETTINGS_OF_PMEM.has(key)),
    tiered: [],
  }[channel as 'file' | 'pmem' | 'tiered'];
  const warnings: string[] = [];
  if (idle.length > 0)
    warnings.push(`${idle.join(', ')}: without effect while log.channel.type is ${channel}`);
  const kinds = tiers.map(({ type }) => tierKind(type));
  if (
    keys.includes('log.pmem.pool.ratio') &&
    !kinds.some((kind) => kind.isVolatile || kind.isPersistentMemory)
  )
    warnings.push('log.pmem.pool.ratio has no effect: it is for tiers of the types PMEM and MEMORY');
  return warnings;
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

function checkedSizes(
  get: Getter,
  ordinal: TierOrdinal,
  type: string | undefined,
  paths: readonly string[],
): number[] {
  const texts = get(`storage.tiers.${ordinal}.sizes`);
  const sizes = texts.map((text) => {
    const bytes = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(bytes) || (bytes < 1 && bytes !== -1))
      throw new Error(
        `${text} is no number of bytes: whole numbers from 1 on, or -1 for all that the file system has`,
      );
    return bytes;
  });
  if (type !== undefined && tierKind(type).isVolatile && sizes.includes(-1))
    throw new Error(
      'a tier MEMORY needs a size for each path: it is what the tier takes of the memory, and what a restart of the machine can lose',
    );
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

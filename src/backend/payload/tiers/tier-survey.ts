import type { DirectoryLock } from '../../log/ports.ts';
import { type FoundTierFile, scanTierPath } from './directories.ts';
import { identify, readContents, readKnownPaths, type TierOwner } from './identity.ts';
import type { Bucket } from './s3/bucket.ts';

export interface SurveyedFile extends FoundTierFile {
  /** From 0 on. */
  readonly tier: number;
}

/** What lies in the tiers of a gateway that does not run. */
export interface TierSurvey {
  /** By the name of the partition's directory. */
  readonly files: ReadonlyMap<string, readonly SurveyedFile[]>;
  /** Why payload may be where nobody can look, for people; null: it is not. */
  readonly outage: string | null;
  readonly locks: readonly DirectoryLock[];
}

export interface TierSurveyOptions {
  /** By tier. */
  readonly paths: readonly (readonly string[])[];
  readonly logDirectories: readonly string[];
  /** Of the last tier, if that is S3. */
  readonly bucket: Bucket | null;
  readonly owner: TierOwner;
  lockDirectory(path: string): DirectoryLock;
}

/** Looks through the tiers and changes nothing. Takes the directories' locks; rejects when another process has one. */
export async function surveyTiers(options: TierSurveyOptions): Promise<TierSurvey> {
  const { paths, logDirectories, owner, bucket } = options;
  const { paths: known } = await readKnownPaths(logDirectories);
  const configured = paths.flat();
  const files = new Map<string, SurveyedFile[]>();
  const locks: DirectoryLock[] = [];
  const outages = known
    .filter(({ path }) => !configured.includes(path))
    .map(({ path }) => `the tier directory ${path} may hold payload and is not configured`);
  try {
    for (const [tier, ofTier] of paths.entries()) {
      for (const path of ofTier) {
        const at = path === bucket?.url ? bucket : null;
        const identified = await (at?.contents() ?? readContents(path))
          .then((contents) => identify(path, contents, owner, { known, configured }))
          .then(
            (id) => ({ id, error: null }),
            (error: unknown) => ({ id: null, error: String(error) }),
          );
        const isKnown = known.some((before) => before.path === path);
        if (identified.error !== null && isKnown) outages.push(`${path}: ${identified.error}`);
        if (identified.id === null) continue;
        if (at === null) locks.push(options.lockDirectory(path));
        for (const file of await (at?.scan() ?? scanTierPath(path))) {
          const ofPartition = files.get(file.partition);
          if (ofPartition === undefined) files.set(file.partition, [{ ...file, tier }]);
          else ofPartition.push({ ...file, tier });
        }
      }
    }
  } catch (error) {
    for (const lock of locks) lock.release();
    throw error;
  }
  return { files, outage: outages.length === 0 ? null : outages.join('; '), locks };
}

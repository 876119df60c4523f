import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { Readiness } from './http-server.ts';

/** The directories and buckets of the tiers, and what is wrong with each; nothing without tiers. */
export function tierHealth(storage: TieredStorage | undefined): Pick<Readiness, 'tiers'> {
  if (storage === undefined || storage.tiers.length === 0) return {};
  const tiers = storage.tiers.flatMap(({ ordinal, paths }) =>
    paths.map(({ path, error }) => ({ tier: ordinal, path, error })),
  );
  return { tiers };
}

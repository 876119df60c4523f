import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { Readiness } from './http-server.ts';

/** The directories and buckets of the tiers, and of none any more, and what is wrong with each; nothing without any. */
export function tierHealth(storage: TieredStorage | undefined): Pick<Readiness, 'tiers'> {
  const { tiers = [], absent = [] } = storage ?? {};
  const used = tiers.flatMap(({ ordinal, paths }) =>
    paths.map(({ path, error }) => ({ tier: ordinal, path, error })),
  );
  const all = [...used, ...absent.map((each) => ({ tier: null, ...each }))];
  return all.length === 0 ? {} : { tiers: all };
}

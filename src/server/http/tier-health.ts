import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { Readiness } from './http-server.ts';

/** The directories of the tiers, and which of them are in use; nothing without tiers. */
export function tierHealth(storage: TieredStorage | undefined): Pick<Readiness, 'tiers'> {
  if (storage === undefined || storage.tiers.length === 0) return {};
  const tiers = storage.tiers.flatMap(({ ordinal, paths }) =>
    paths.map(({ path, error }) => ({
      tier: ordinal,
      path,
      state: error === null ? ('in use' as const) : ('out of use' as const),
    })),
  );
  return { tiers };
}

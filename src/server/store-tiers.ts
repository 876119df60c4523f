import path from 'node:path';
import { STORE_NODE } from '../backend/payload/tiers/identity.ts';
import { TieredStorage } from '../backend/payload/tiers/tiered-storage.ts';
import { movingAsConfigured } from '../broker/storage/payload.ts';
import type { KafabricConfig } from '../config/index.ts';
import type { Store } from '../native/store.ts';
import { systemClock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** Absolute path of `payload.store.dir`. */
export function storePath(config: KafabricConfig): string {
  const configured = config.get('payload.store.dir');
  const { defaultDataDirectory } = config.resolved;
  return path.resolve(
    configured === '' ? path.join(path.dirname(defaultDataDirectory), 'kafabric-store') : configured,
  );
}

/** Threads of a store that move files from tier to tier. */
export function storeCopyThreads(config: KafabricConfig): number {
  return config.resolved.tiers.length > 0 ? config.get('storage.migrate.threads') : 0;
}

/**
 * Of a payload store.
 * @throws Error for people when a store cannot have the tiers that are configured
 */
export function assertStoreTiers(config: KafabricConfig): void {
  const { tiers, s3 } = config.resolved;
  if (s3 !== null)
    throw new Error(
      'storage.tiers.types: a payload store cannot have the tier S3, which works at gateways only. Its tiers are directories: MEMORY, PMEM, NVME, SSD, HDD and PFS',
    );
  const own = storePath(config);
  for (const tier of tiers)
    for (const { path: directory } of tier.paths)
      if (isWithin(own, directory) || isWithin(directory, own))
        throw new Error(
          `storage.tiers.${tier.ordinal}.paths: ${directory} and payload.store.dir=${own} must not be, or lie in, each other`,
        );
}

function isWithin(outer: string, inner: string): boolean {
  return `${inner}/`.startsWith(`${outer}/`);
}

/** Rejects with an Error for people when none can be used. `isGateway`: what the directories of gateways are called there. */
export function openStoreTiers(
  parts: { readonly config: KafabricConfig; readonly store: Store; readonly logger: Logger },
  id: string,
  isGateway: (name: string) => boolean,
): Promise<TieredStorage> {
  const { config, store } = parts;
  return TieredStorage.open({
    tiers: config.resolved.tiers,
    logDirectories: [storePath(config)],
    owner: { clusterId: id, nodeId: STORE_NODE },
    files: store,
    isOwner: isGateway,
    clock: systemClock,
    logger: parts.logger.child({ component: 'tiers' }),
    ...movingAsConfigured(config, () => config, store),
  });
}

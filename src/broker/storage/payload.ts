import type { LogManager } from '../../backend/log/log-manager.ts';
import { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import type { CopySource } from '../../backend/payload/stores/segment-copies.ts';
import { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import { TieredStorage, type TieredStorageOptions } from '../../backend/payload/tiers/tiered-storage.ts';
import type { KafabricConfig } from '../../config/index.ts';
import type { Store } from '../../native/store.ts';
import { isBusy } from '../log-dir-moves.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { StorageOptions } from './storage.ts';

export async function openTiers(parts: {
  store: Store;
  logs: LogManager;
  metadata: ClusterMetadata;
  options: StorageOptions;
}): Promise<TieredStorage> {
  const { store, logs, metadata, options } = parts;
  const { config, clock } = options;
  const { s3, tiers } = config.resolved;
  const logger = options.logger.child({ component: 'tiers' });
  return TieredStorage.open({
    tiers,
    bucket: s3 && (await Bucket.open({ config: s3, files: store, logger })),
    logDirectories: logs.directories.filter(({ error }) => error === null).map(({ path }) => path),
    owner: { clusterId: logs.clusterId, nodeId: config.resolved.nodeId },
    files: store,
    clock,
    logger,
    ...movingAsConfigured(config, () => metadata.config, store),
    scrub: () => ({
      bytesPerSecond: metadata.config.get('storage.s3.scrub.bytes.per.second'),
      intervalMs: metadata.config.get('storage.s3.scrub.interval.ms'),
    }),
  });
}

/** How payload moves between tiers. `now`: the settings of the moment. */
export function movingAsConfigured(
  config: KafabricConfig,
  now: () => KafabricConfig,
  store: Store,
): Pick<TieredStorageOptions, 'settings' | 'memory' | 'threads' | 'isBusy'> {
  const { tiers } = config.resolved;
  return {
    settings: () => ({
      threshold: now().get('storage.migrate.threshold'),
      bytesPerSecond: now().get('storage.migrate.bytes.per.second'),
      tierBytesPerSecond: (tier) => {
        const ordinal = tiers[tier]?.ordinal;
        if (ordinal === undefined) return -1; // a directory of a partition, or of the store
        return now().get(`storage.tiers.${ordinal}.migrate.bytes.per.second`);
      },
    }),
    memory: () => ({
      mayLose: now().get('log.durability') === 'os',
      maxAgeMs: now().get('storage.memory.max.age.ms'),
    }),
    threads: config.get('storage.migrate.threads'),
    isBusy: () => isBusy(store),
  };
}

const NO_ACCESS: NonNullable<StorageOptions['storeAccess']> = {
  secret: '',
  fabric: { wish: { provider: '', domain: '' }, options: { library: '', pieceBytes: 1, window: 1 } },
};

export function openStores(
  logs: LogManager,
  metadata: ClusterMetadata,
  { config, clock, logger, storeAccess = NO_ACCESS }: StorageOptions,
): Promise<PayloadStores> {
  return PayloadStores.open({
    ...storeAccess,
    stores: storeAccess === NO_ACCESS ? [] : config.get('payload.stores'),
    owner: { clusterId: logs.clusterId, nodeId: config.resolved.nodeId },
    zone: config.get('broker.rack') ?? '',
    requestTimeoutMs: config.get('payload.stores.request.timeout.ms'),
    copySource: config.get('payload.stores.copy.source') as CopySource,
    mayLose: () => metadata.config.get('log.durability') === 'os',
    lostAfterMs: config.get('payload.stores.lost.after.ms'),
    orphanGraceMs: config.get('payload.stores.orphan.grace.ms'),
    givenUp: config.get('payload.stores.given.up'),
    scrubBytesPerSecond: () => metadata.config.get('payload.stores.scrub.bytes.per.second'),
    repairBytesPerSecond: () => metadata.config.get('payload.stores.repair.bytes.per.second'),
    clock,
    logger: logger.child({ component: 'stores' }),
  });
}

import type { LogManager } from '../../backend/log/log-manager.ts';
import { storeFileSystem } from '../../backend/log/store-file-system.ts';
import type { PayloadStores, PayloadStoresOptions } from '../../backend/payload/stores/payload-stores.ts';
import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { Store } from '../../native/store.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { takeAll } from '../../util/shutdown-steps.ts';
import type { BrokerEndpoint, ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { makeLogs, openMetadata } from './logs.ts';
import { openStores, openTiers } from './payload.ts';

export interface StorageOptions {
  readonly config: KafabricConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What clients are told to connect to, one for each listener. */
  readonly endpoints: readonly BrokerEndpoint[];
  /** How payload reaches the stores of `payload.stores`; without it there are none. */
  readonly storeAccess?: Pick<PayloadStoresOptions, 'fabric' | 'secret' | 'tls'> | undefined;
}

/** How storage is opened. */
interface OpenOptions {
  /** Threads that copy files; 0: none are copied. */
  readonly copyThreads: number;
  /** Throws when the logs are not as whoever opens them needs them; before anything is written. */
  readonly check?: (logs: LogManager) => void;
  /** Called when the log directories are this process's, before anything is written there. */
  readonly beforeWriting?: (store: Store, logs: LogManager) => Promise<void>;
}

/** What has the data of a broker: logs, the metadata in one of them, and the places of payload. */
export interface Storage {
  readonly store: Store;
  readonly logs: LogManager;
  readonly metadata: ClusterMetadata;
  readonly tiers: TieredStorage;
  readonly stores: PayloadStores;
  /** Marks the directories as cleanly closed. Whoever uses any of it must be closed. */
  close(): Promise<void>;
}

/** Recovers what is on disk. Rejects with an error for people when a directory is locked, belongs to another cluster, or cannot be used. */
export async function openStorage(
  options: StorageOptions,
  { copyThreads, check, beforeWriting }: OpenOptions,
): Promise<Storage> {
  const { config } = options;
  const store = new Store({
    threads: config.get('num.io.threads'),
    direct: config.get('log.direct.io.enable'),
    copyThreads,
  });
  const fileSystem = storeFileSystem(store);
  const logs = makeLogs(fileSystem, options, async (opened) => beforeWriting?.(store, opened));
  let tiers: TieredStorage | null = null;
  let stores: PayloadStores | null = null;
  const close = () =>
    takeAll(options.logger, [
      () => stores?.stop(),
      () => stores?.close(),
      async () => tiers?.close(),
      () => logs.close(),
      () => store.shutdown(),
    ]);
  try {
    await logs.open();
    check?.(logs);
    const metadata = await openMetadata(logs, fileSystem, options);
    tiers = await openTiers({ store, logs, metadata, options });
    stores = await openStores(logs, metadata, options);
    return { store, logs, metadata, tiers, stores, close };
  } catch (error) {
    await close();
    throw error;
  }
}

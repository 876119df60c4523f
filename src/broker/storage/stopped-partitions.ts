import type { LogManager } from '../../backend/log/log-manager.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { Partition } from '../partitions/partition.ts';
import { PartitionManager } from '../partitions/partition-manager.ts';
import { openStorage, type Storage, type StorageOptions } from './storage.ts';

/** The data of a broker that does not run, with its partitions, for whoever changes it. */
export interface StoppedPartitions extends Pick<Storage, 'logs' | 'metadata' | 'tiers' | 'stores'> {
  readonly partitions: PartitionManager;
  close(): Promise<void>;
}

/** Recovers what is on disk, as a start does. Rejects with an error for people unless all of `log.dirs` can be used. */
export async function openPartitions(options: Omit<StorageOptions, 'endpoints'>): Promise<StoppedPartitions> {
  const { config, clock, logger } = options;
  const endpoints = config.resolved.advertisedListeners.map(({ name, host, port }) => ({ name, host, port }));
  const storage = await openStorage({ ...options, endpoints }, { copyThreads: 0, check: assertAllOnline });
  const { logs, metadata, tiers, stores } = storage;
  const partitions = new PartitionManager({
    ...{ logs, tiers, stores, config, clock, logger },
    files: storage.store,
  });
  const close = async () => {
    await metadata.close();
    await stores.stop();
    await partitions.close();
    await storage.close();
  };
  try {
    await partitions.open(metadata.topics(), (topic) => metadata.topicConfig(topic));
    return { logs, metadata, tiers, stores, partitions, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function assertAllOnline({ directories }: LogManager): void {
  const unusable = directories.find(({ error }) => error !== null);
  if (unusable !== undefined)
    throw new Error(`${unusable.error!.message}; all of log.dirs are needed, and no gateway may run on them`);
}

/** @throws Error for people when one of them is not open */
export function* allOf(metadata: ClusterMetadata, partitions: PartitionManager): Iterable<Partition> {
  for (const { name, partitions: described } of metadata.topics())
    for (const { index } of described) {
      const partition = partitions.find(name, index);
      if (partition === null) throw new Error(`partition ${name}-${index} cannot be opened; see the log`);
      yield partition;
    }
}

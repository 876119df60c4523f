import type { LogManager } from '../backend/log/log-manager.ts';
import type { KnownPartitions } from '../backend/payload/stores/payload-stores.ts';
import { partitionName } from '../backend/payload/tiers/directories.ts';
import type { Clock } from '../util/clock.ts';
import type { ClusterMetadata } from './metadata/cluster-metadata.ts';

/** How old a list of all partitions may be: it is asked for each of many files. */
const NAMES_AGE_MS = 1000;

/** The partitions of the metadata, also those that are offline, and the log directories: for whoever removes what belongs to none. */
export function knownPartitions(metadata: ClusterMetadata, logs: LogManager, clock: Clock): KnownPartitions {
  let listed = new Set<string>();
  let listedAtMs = Number.NEGATIVE_INFINITY;
  const names = () => {
    if (clock.now() - listedAtMs < NAMES_AGE_MS) return listed;
    listedAtMs = clock.now();
    listed = new Set();
    for (const { name, id, partitions } of metadata.topics())
      for (const { index } of partitions) listed.add(partitionName(name, index, id));
    return listed;
  };
  return {
    has: (name) => names().has(name),
    get isEmpty() {
      return names().size === 0;
    },
    directoryIds: logs.directories.flatMap(({ id }) => id ?? []),
  };
}

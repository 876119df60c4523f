import type { LogManager } from '../backend/log/log-manager.ts';
import { storeFileSystem } from '../backend/log/store-file-system.ts';
import { isCordoned, type KafabricConfig } from '../config/index.ts';
import { arenaStats } from '../native/arena.ts';
import type { Store } from '../native/store.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { Throttle } from '../util/throttle.ts';
import type { ClusterMetadata } from './metadata/cluster-metadata.ts';
import { LogDirMoves } from './partitions/moves/log-dir-moves.ts';
import type { PartitionManager } from './partitions/partition-manager.ts';

/** More of the arena waits to be written than this share: nothing is copied in the background then. */
const BUSY_SHARE = 16;

/** Whether what clients wait for leaves no room for copying now. */
export function isBusy(store: Store): boolean {
  return store.stats().queuedBytes > arenaStats().capacityBytes / BUSY_SHARE;
}

/** Partitions that move between data directories at the same time. */
export function moveThreads(config: KafabricConfig): number {
  return config.get('num.replica.alter.log.dirs.threads') ?? config.resolved.logDirs.length;
}

/** Moves between data directories, as the configuration wants them. */
export function makeMoves(parts: {
  options: { readonly config: KafabricConfig; readonly clock: Clock };
  store: Store;
  logs: LogManager;
  metadata: ClusterMetadata;
  partitions: PartitionManager;
  logger: Logger;
}): LogDirMoves {
  const { options, store, logs, metadata, partitions, logger } = parts;
  const { clock } = options;
  const rate = () => metadata.config.get('replica.alter.log.dirs.io.max.bytes.per.second');
  const throttle = new Throttle(clock, () => rate() ?? -1);
  return new LogDirMoves({
    ...{ logs, clock, logger },
    fileSystem: storeFileSystem(store),
    find: (topic, index) => partitions.find(topic, index),
    errorOfMissing: (topic, index) => partitions.errorOfMissing(topic, index),
    threads: moveThreads(options.config),
    isCordoned: (directory) => isCordoned(metadata.config, directory),
    mayCopy: () => throttle.isOpen && !isBusy(store),
    spent: (bytes) => throttle.spend(bytes),
    moved: (topic, index, directoryId) => metadata.assignDirectory(topic, index, directoryId),
  });
}

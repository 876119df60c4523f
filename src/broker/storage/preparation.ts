import { join } from 'node:path';
import type { LogManager } from '../../backend/log/log-manager.ts';
import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { KafabricConfig } from '../../config/index.ts';
import type { Store } from '../../native/store.ts';
import type { Logger } from '../../util/logger.ts';
import { prepareMemoryTiers } from '../memory-pools.ts';
import type { Storage } from './storage.ts';

/** Space of removed segments that a tier's path keeps is this part of it at most: its room is counted without it. */
const RECYCLED_TIER_SHARE = 20;

/** Space of removed segments, also what an earlier process has kept, is there for what is written from now on, and a full disk gets it back. */
export async function findRemovedSpace(
  store: Store,
  { directories }: LogManager,
  config: KafabricConfig,
): Promise<void> {
  for (const { path, error } of directories)
    if (error === null) await store.recycleIn(path, recycledBytes(config));
}

function recycledBytes(config: KafabricConfig): number {
  return config.get('log.direct.io.enable') ? config.get('log.recycle.bytes') : 0;
}

/** What only a broker that will write does: it takes space ahead, and says what its directories cannot do. */
export async function prepareToWrite(
  storage: Storage,
  config: KafabricConfig,
  logger: Logger,
): Promise<void> {
  const { store, tiers, logs } = storage;
  await reportBufferedDirectories(storage, config, logger);
  await prepareTiers(store, tiers, config, logger);
  for (const { path, error } of logs.directories)
    if (error === null) await keepRemovedSpace(store, path, config);
}

/** Takes space ahead in tiers. Before any file there is opened to be written. */
export async function prepareTiers(
  store: Store,
  tiers: TieredStorage,
  config: KafabricConfig,
  logger: Logger,
): Promise<void> {
  const bytes = recycledBytes(config);
  // Not in paths with a size of their own, of which that would be a part.
  for (const { error, path, isLimited, capacityBytes } of tiers.paths)
    if (error === null && !isLimited)
      await store.recycleIn(path, Math.min(bytes, Math.floor(capacityBytes / RECYCLED_TIER_SHARE)));
  await prepareMemoryTiers(store, tiers, config, logger);
}

/** Says which data directories are on file systems that cannot bypass the page cache. */
async function reportBufferedDirectories(
  { store }: Storage,
  config: KafabricConfig,
  logger: Logger,
): Promise<void> {
  if (!config.get('log.direct.io.enable')) return;
  for (const directory of config.resolved.logDirs) {
    // One that cannot be used has been reported.
    const file = await store.open(join(directory, 'meta.properties'), { readOnly: true }).catch(() => null);
    if (file && !file.direct)
      logger.warn({ directory }, 'its file system has no direct I/O: reads and writes use the page cache');
    await file?.close();
  }
}

/** New segments in a directory begin with space of removed ones, and the first with space that is written ahead where that is asked for. */
export async function keepRemovedSpace(
  store: Store,
  directory: string,
  config: KafabricConfig,
): Promise<void> {
  await store.recycleIn(directory, recycledBytes(config), {
    bytes: config.get('log.recycle.prepare.bytes'),
    fileBytes: Math.min(config.get('log.segment.bytes'), config.get('payload.segment.bytes')),
  });
}

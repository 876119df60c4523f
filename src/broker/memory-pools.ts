import type { TieredStorage } from '../backend/payload/tiers/tiered-storage.ts';
import { type KafabricConfig, tierKind } from '../config/index.ts';
import type { Store } from '../native/store.ts';
import type { Logger } from '../util/logger.ts';

/** A pool that is too small for whole segments has so many files; a segment goes on behind the one that it began with. */
const POOL_FILES = 4;
/** Smaller files are not kept. */
const POOL_FILE_BYTES_MIN = 16 << 20;

/**
 * Has the files of tiers PMEM written as persistent memory where that is possible, and begins to allocate `log.pmem.pool.ratio` of tiers PMEM and MEMORY
 * ahead, in the background. Before any file of a tier is opened.
 */
export async function prepareMemoryTiers(
  store: Store,
  { tiers }: TieredStorage,
  config: KafabricConfig,
  logger: Logger,
): Promise<void> {
  const segmentBytes = config.get('payload.segment.bytes');
  for (const { type, paths } of tiers) {
    const { isVolatile, isPersistentMemory } = tierKind(type);
    if (!isVolatile && !isPersistentMemory) continue;
    for (const { path, error, isLimited, sizeBytes, capacityBytes, usedBytes } of paths) {
      if (error !== null) continue;
      if (isPersistentMemory) await usePersistentMemory(store, path, logger);
      const size = isLimited ? Math.min(sizeBytes, capacityBytes) : capacityBytes;
      const pool = Math.floor(size * config.get('log.pmem.pool.ratio'));
      const fileBytes = Math.min(segmentBytes, Math.max(POOL_FILE_BYTES_MIN, Math.floor(pool / POOL_FILES)));
      await store.poolIn(path, pool, { bytes: Math.max(0, pool - usedBytes), fileBytes });
    }
  }
}

async function usePersistentMemory(store: Store, path: string, logger: Logger): Promise<void> {
  const { mapped, detail } = await store.usePersistentMemory(path);
  if (mapped) logger.info({ path, detail }, 'a tier directory is used as persistent memory');
  else
    logger.warn(
      { path, detail },
      'a tier of the type PMEM is not on persistent memory: ordinary files are used',
    );
}

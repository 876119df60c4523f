import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { MetricSource } from './gateway-metrics.ts';

/** What the storage tiers keep count of; nothing without tiers. */
export function tierMetrics(storage: TieredStorage): MetricSource[] {
  const { tiers, migrator } = storage;
  const absent: MetricSource = {
    name: 'kafabric_tier_paths_absent',
    help: 'Directories and buckets that may hold payload and are in no storage tier any more.',
    read: () => storage.absent.length,
  };
  if (tiers.length === 0) return storage.absent.length === 0 ? [] : [absent];
  const perTier = (
    name: string,
    help: string,
    read: (tier: number) => number,
    counter = false,
  ): MetricSource => ({
    name: `kafabric_tier_${name}`,
    help,
    label: 'tier',
    counter,
    read: () => new Map(tiers.map(({ ordinal }, tier) => [ordinal, read(tier)])),
  });
  return [
    absent,
    perTier('capacity_bytes', 'Payload that each storage tier may hold.', (tier) =>
      sum(tiers[tier]!.paths, ({ capacityBytes }) => capacityBytes),
    ),
    perTier('used_bytes', 'Payload in each storage tier.', (tier) =>
      sum(tiers[tier]!.paths, ({ usedBytes }) => usedBytes),
    ),
    perTier('files', 'Payload files in each storage tier.', (tier) =>
      sum(tiers[tier]!.paths, ({ files }) => files.size),
    ),
    perTier(
      'paths_out_of_use',
      'Directories of each storage tier that cannot be used.',
      (tier) => tiers[tier]!.paths.filter(({ error }) => error !== null).length,
    ),
    perTier('backlog_bytes', 'Payload in each storage tier that is to move elsewhere.', (tier) =>
      storage.backlogBytes(tier),
    ),
    perTier(
      'moved_in_bytes_total',
      'Payload that was moved into each storage tier.',
      (tier) => migrator.movesOf(tier).inBytes,
      true,
    ),
    perTier(
      'moved_out_bytes_total',
      'Payload that was moved out of each storage tier.',
      (tier) => migrator.movesOf(tier).outBytes,
      true,
    ),
    perTier(
      'move_failures_total',
      'Moves into each storage tier that failed.',
      (tier) => migrator.movesOf(tier).failures,
      true,
    ),
    {
      name: 'kafabric_tier_memory_lost_bytes_total',
      help: 'Payload that was lost with tiers in memory when the machine restarted, found since the start.',
      counter: true,
      read: () => storage.memory.lost.bytes,
    },
    {
      name: 'kafabric_tier_memory_lost_batches_total',
      help: 'Batches that were dropped because their payload was lost with tiers in memory, since the start.',
      counter: true,
      read: () => storage.memory.lost.batches,
    },
    {
      name: 'kafabric_tier_moves_running',
      help: 'Payload files that are being moved between storage tiers.',
      read: () => migrator.running,
    },
  ];
}

function sum<T>(items: readonly T[], read: (item: T) => number): number {
  return items.reduce((total, item) => total + read(item), 0);
}

import { arenaShared, arenaStats } from '../../native/arena.ts';
import type { Store } from '../../native/store.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** The memory that requests and files share. */
export function arenaMetrics(): MetricSource[] {
  return [
    { name: 'kafabric_arena_bytes', help: 'Arena memory.', read: () => arenaStats().capacityBytes },
    { name: 'kafabric_arena_used_bytes', help: 'Arena memory in use.', read: () => arenaStats().usedBytes },
    {
      name: 'kafabric_arena_shared',
      help: '1 while what is acknowledged from the arena outlives a killed process (log.ack=memory).',
      read: () => Number(arenaShared().shared),
    },
    {
      name: 'kafabric_arena_touched_bytes',
      help: 'Arena memory whose pages are there.',
      read: () => arenaStats().touchedBytes,
    },
    {
      name: 'kafabric_arena_huge_bytes',
      help: 'Shared arena memory that has come in huge pages.',
      read: () => arenaStats().hugeBytes,
    },
    {
      name: 'kafabric_arena_aimed_bytes',
      help: 'Arena memory whose pages are to be there: for what was in use, and for what readers missed.',
      read: () => arenaStats().aimedBytes,
    },
    counter(
      'kafabric_arena_refusals_total',
      'Requests for arena memory that had to wait.',
      () => arenaStats().refusals,
    ),
  ];
}

/** Space of removed files that waits for new ones. */
export function recycledMetrics(store: Store): MetricSource[] {
  return [
    {
      name: 'kafabric_recycled_bytes',
      help: 'Space of removed segments that is kept for new ones (log.recycle.bytes).',
      read: () => store.stats().recycledBytes,
    },
    counter(
      'kafabric_recycled_files_total',
      'Segments that began with space of removed ones.',
      () => store.stats().recycledFiles,
    ),
  ];
}

/** Files, and what of them is in memory. */
export function fileMetrics(store: Store): MetricSource[] {
  return [
    {
      name: 'kafabric_cache_bytes',
      help: 'What was written or read last, in arena memory that gives way.',
      read: () => store.stats().cachedBytes,
    },
    counter(
      'kafabric_cache_hit_bytes_total',
      'Bytes of reads that were in memory.',
      () => store.stats().cacheHitBytes,
    ),
    counter(
      'kafabric_cache_miss_bytes_total',
      'Bytes of reads that came from the device.',
      () => store.stats().cacheMissBytes,
    ),
    ...recycledMetrics(store),
    counter('kafabric_store_appends_total', 'Appends to files.', () => store.stats().appends),
    counter(
      'kafabric_store_acknowledged_total',
      'Appends that were acknowledged from memory (log.ack=memory).',
      () => store.stats().acknowledged,
    ),
    counter('kafabric_store_writes_total', 'Groups of appends written.', () => store.stats().writes),
    {
      name: 'kafabric_store_queued_bytes',
      help: 'Bytes appended and not yet written.',
      read: () => store.stats().queuedBytes,
    },
    counter('kafabric_store_written_bytes_total', 'Bytes written to disk.', () => store.stats().bytesWritten),
    counter(
      'kafabric_store_gathered_bytes_total',
      'Bytes copied together before they were written with direct I/O.',
      () => store.stats().bytesGathered,
    ),
    counter('kafabric_store_read_bytes_total', 'Bytes read from disk.', () => store.stats().bytesRead),
    counter('kafabric_store_syncs_total', 'Flushes (fdatasync).', () => store.stats().syncs),
  ];
}

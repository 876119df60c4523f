import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What the tier S3 keeps count of; nothing without it. */
export function s3Metrics({ bucket, scrubber }: TieredStorage): MetricSource[] {
  if (bucket === null || scrubber === null) return [];
  const { windows, removals } = bucket;
  const { counters } = scrubber;
  return [
    counter('kafabric_s3_reads_total', 'Reads of extents in objects.', () => windows.reads),
    counter('kafabric_s3_cache_hits_total', 'Of these, those without a download.', () => windows.hits),
    counter(
      'kafabric_s3_downloaded_bytes_total',
      'Bytes of objects that were downloaded for reads.',
      () => windows.downloadedBytes,
    ),
    {
      name: 'kafabric_s3_cache_bytes',
      help: 'Bytes of objects that are kept locally.',
      read: () => windows.bytes,
    },
    counter('kafabric_s3_errors_total', 'Requests to the object store that failed.', () => bucket.errors),
    {
      name: 'kafabric_s3_pending_removals',
      help: 'Objects, or partitions of such, that could not be removed yet.',
      read: () => removals.size,
    },
    counter(
      'kafabric_s3_scrubbed_bytes_total',
      'Bytes of objects that were read to find damage.',
      () => counters.bytes,
    ),
    counter(
      'kafabric_s3_scrub_rounds_total',
      'Rounds in which all objects were checked.',
      () => counters.rounds,
    ),
    counter(
      'kafabric_s3_scrub_damaged_extents_total',
      'Extents that were found damaged or missing in objects, each time that they were.',
      () => counters.damaged,
    ),
    counter(
      'kafabric_s3_scrub_replaced_objects_total',
      'Damaged objects in whose place another one of their segment was taken.',
      () => counters.replaced,
    ),
  ];
}

import type { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What the tier S3 keeps count of; nothing without it. */
export function s3Metrics(bucket: Bucket | null): MetricSource[] {
  if (bucket === null) return [];
  const { windows, removals } = bucket;
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
  ];
}

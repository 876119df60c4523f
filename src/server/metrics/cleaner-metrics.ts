import type { LogCleaner } from '../../backend/log/compaction/log-cleaner.ts';
import type { Clock } from '../../util/clock.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What log compaction keeps count of. */
export function cleanerMetrics(cleaner: LogCleaner, clock: Clock): MetricSource[] {
  const { metrics } = cleaner;
  const uncleanable = () => cleaner.uncleanable();
  return [
    counter('kafabric_cleaner_runs_total', 'Logs that were compacted.', () => metrics.runs),
    counter(
      'kafabric_cleaner_stopped_total',
      'Compactions that were stopped, for the log was changed.',
      () => metrics.stopped,
    ),
    counter('kafabric_cleaner_failures_total', 'Compactions that failed.', () => metrics.failures),
    counter(
      'kafabric_cleaner_read_bytes_total',
      'Bytes of logs that compaction read.',
      () => metrics.bytesRead,
    ),
    counter(
      'kafabric_cleaner_written_bytes_total',
      'Bytes of logs that compaction wrote.',
      () => metrics.bytesWritten,
    ),
    counter(
      'kafabric_cleaner_read_records_total',
      'Records that compaction looked at.',
      () => metrics.recordsRead,
    ),
    counter(
      'kafabric_cleaner_removed_records_total',
      'Records that compaction removed.',
      () => metrics.recordsRemoved,
    ),
    {
      name: 'kafabric_cleaner_max_dirty_ratio',
      help: 'The largest share of a compacted log that is not compacted yet.',
      read: () => metrics.maxDirtyRatio,
    },
    {
      name: 'kafabric_cleaner_seconds_since_last_look',
      help: 'Seconds since logs to compact were last looked for.',
      read: () => (metrics.lastLookMs === 0 ? 0 : Math.max(0, clock.now() - metrics.lastLookMs) / 1000),
    },
    {
      name: 'kafabric_cleaner_uncleanable_partitions',
      help: 'Partitions that are not compacted any more because it failed.',
      read: () => uncleanable().length,
    },
    {
      name: 'kafabric_cleaner_uncleanable_bytes',
      help: 'Bytes that are not compacted in those.',
      read: () => uncleanable().reduce((sum, { bytes }) => sum + bytes, 0),
    },
  ];
}

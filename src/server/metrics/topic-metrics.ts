import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** Topics, their logs and payload. */
export function topicMetrics(metadata: ClusterMetadata, partitions: PartitionManager): MetricSource[] {
  const all = () => [...partitions.all()];
  return [
    { name: 'kafabric_topics', help: 'Topics.', read: () => [...metadata.topics()].length },
    { name: 'kafabric_partitions', help: 'Partitions.', read: () => all().length },
    {
      name: 'kafabric_log_size_bytes',
      help: 'Bytes of the logs of each topic.',
      label: 'topic',
      read: () => byTopic(all(), (partition) => partition.log.sizeBytes),
    },
    {
      name: 'kafabric_payload_size_bytes',
      help: 'Bytes that the payload segments of each topic take.',
      label: 'topic',
      read: () => byTopic(all(), (partition) => partition.payloads.totalBytes),
    },
    {
      name: 'kafabric_payload_live_bytes',
      help: 'Payload that references point to.',
      read: () => all().reduce((total, { payloads }) => total + payloads.liveBytes, 0),
    },
    counter(
      'kafabric_payload_diverted_bytes_total',
      'Payload diverted from the log.',
      () => partitions.metrics.divertedBytes,
    ),
    counter(
      'kafabric_payload_diverted_records_total',
      'Records diverted.',
      () => partitions.metrics.divertedRecords,
    ),
    counter(
      'kafabric_payload_errors_total',
      'Reads that found payload missing or damaged.',
      () => partitions.metrics.payloadErrors,
    ),
    counter(
      'kafabric_payload_unreachable_total',
      'Reads of payload that could not be looked for, as at stores, or in a bucket, that did not answer.',
      () => partitions.metrics.unreachablePayloads,
    ),
    counter(
      'kafabric_payload_cleaned_bytes_total',
      'Space of payload segments that was given back because no record referred to it any more.',
      () => partitions.metrics.cleanedBytes,
    ),
    counter(
      'kafabric_payload_cleaned_segments_total',
      'How often a payload segment gave such space back.',
      () => partitions.metrics.cleanedSegments,
    ),
  ];
}

function byTopic<P extends { topic: string }>(
  partitions: readonly P[],
  read: (partition: P) => number,
): Map<string, number> {
  const totals = new Map<string, number>();
  for (const partition of partitions)
    totals.set(partition.topic, (totals.get(partition.topic) ?? 0) + read(partition));
  return totals;
}

import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import { arenaStats } from '../../native/arena.ts';
import type { KafkaListeners } from '../net/listener.ts';
import { cleanerMetrics } from './cleaner-metrics.ts';
import { directMetrics } from './direct-metrics.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';
import { logDirMetrics } from './log-dir-metrics.ts';
import { s3Metrics } from './s3-metrics.ts';
import { shareMetrics } from './share-metrics.ts';
import { tierMetrics } from './tier-metrics.ts';

/** What the embedded broker keeps count of. */
export function brokerMetrics(broker: EmbeddedBroker): MetricSource[] {
  const { partitions, store, metadata, fetchSessions, transactions } = broker;
  const all = () => [...partitions.all()];
  const sum = (read: (partition: ReturnType<typeof all>[number]) => number) =>
    all().reduce((total, partition) => total + read(partition), 0);
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
      read: () => sum((p) => p.payloads.liveBytes),
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
      'kafabric_payload_cleaned_bytes_total',
      'Space of payload segments that was given back because no record referred to it any more.',
      () => partitions.metrics.cleanedBytes,
    ),
    counter(
      'kafabric_payload_cleaned_segments_total',
      'How often a payload segment gave such space back.',
      () => partitions.metrics.cleanedSegments,
    ),
    ...tierMetrics(broker.tiers),
    ...s3Metrics(broker.tiers),
    ...logDirMetrics(broker.moves),
    ...cleanerMetrics(broker.cleaner, broker.clock),
    {
      name: 'kafabric_classic_groups',
      help: 'Groups of the classic protocol by state.',
      label: 'state',
      read: () => broker.groups.states('classic'),
    },
    {
      name: 'kafabric_consumer_groups',
      help: 'Groups of the consumer protocol (KIP-848) by state.',
      label: 'state',
      read: () => broker.groups.states('consumer'),
    },
    {
      name: 'kafabric_streams_groups',
      help: 'Streams groups (KIP-1071) by state.',
      label: 'state',
      read: () => broker.groups.states('streams'),
    },
    counter(
      'kafabric_client_telemetry_pushes_total',
      "Pushes of clients' metrics that were taken.",
      () => broker.telemetry.pushed,
    ),
    counter(
      'kafabric_client_telemetry_refused_total',
      "Requests about clients' metrics that were refused.",
      () => broker.telemetry.refused,
    ),
    {
      name: 'kafabric_throttled_total',
      help: 'Requests and connections that had to wait because their client is over a quota.',
      label: 'quota',
      counter: true,
      read: () => broker.clientQuotas.throttled(),
    },
    ...shareMetrics(broker),
    ...directMetrics(broker.direct),
    {
      name: 'kafabric_transactional_ids',
      help: 'Transactional ids by the state of their transaction.',
      label: 'state',
      read: () => transactions.states(),
    },
    counter(
      'kafabric_transactions_committed_total',
      'Transactions committed.',
      () => transactions.metrics.committed,
    ),
    counter(
      'kafabric_transactions_aborted_total',
      'Transactions aborted.',
      () => transactions.metrics.aborted,
    ),
    counter(
      'kafabric_transactions_timed_out_total',
      'Transactions that were aborted because they took too long.',
      () => transactions.metrics.timedOut,
    ),
    { name: 'kafabric_fetch_sessions', help: 'Fetch sessions.', read: () => fetchSessions.size },
    { name: 'kafabric_arena_bytes', help: 'Arena memory.', read: () => arenaStats().capacityBytes },
    { name: 'kafabric_arena_used_bytes', help: 'Arena memory in use.', read: () => arenaStats().usedBytes },
    {
      name: 'kafabric_arena_touched_bytes',
      help: 'Arena memory whose pages are there.',
      read: () => arenaStats().touchedBytes,
    },
    counter(
      'kafabric_arena_refusals_total',
      'Requests for arena memory that had to wait.',
      () => arenaStats().refusals,
    ),
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

/** What the network part keeps count of. */
export function networkMetrics(listeners: KafkaListeners): MetricSource[] {
  return [
    { name: 'kafabric_connections', help: 'Open connections.', read: () => listeners.stats().connections },
    {
      name: 'kafabric_in_flight_bytes',
      help: 'Bytes of unanswered requests.',
      read: () => listeners.stats().inFlightBytes,
    },
    counter('kafabric_received_bytes_total', 'Bytes received.', () => listeners.stats().receivedBytes),
    counter(
      'kafabric_reply_memory_given_back_bytes_total',
      'Bytes of replies to slow readers that are sent from files instead of memory.',
      () => listeners.stats().givenBackBytes,
    ),
    counter('kafabric_sent_bytes_total', 'Bytes sent.', () => listeners.stats().sentBytes),
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

import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import { cleanerMetrics } from './cleaner-metrics.ts';
import { directMetrics } from './direct-metrics.ts';
import { arenaMetrics, fileMetrics } from './file-metrics.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';
import { groupMetrics } from './group-metrics.ts';
import { logDirMetrics } from './log-dir-metrics.ts';
import { s3Metrics } from './s3-metrics.ts';
import { shareMetrics } from './share-metrics.ts';
import { tierMetrics } from './tier-metrics.ts';
import { topicMetrics } from './topic-metrics.ts';
import { transactionMetrics } from './transaction-metrics.ts';

/** What the embedded broker keeps count of. */
export function brokerMetrics(broker: EmbeddedBroker): MetricSource[] {
  return [
    ...topicMetrics(broker.metadata, broker.partitions),
    ...tierMetrics(broker.tiers),
    ...s3Metrics(broker.tiers),
    ...logDirMetrics(broker.logs, broker.moves),
    ...cleanerMetrics(broker.cleaner, broker.clock),
    ...groupMetrics(broker.groups),
    ...clientMetrics(broker),
    ...shareMetrics(broker),
    ...directMetrics(broker.direct),
    ...transactionMetrics(broker.transactions),
    ...arenaMetrics(),
    ...fileMetrics(broker.store),
  ];
}

function clientMetrics({ telemetry, clientQuotas, fetchSessions }: EmbeddedBroker): MetricSource[] {
  return [
    counter(
      'kafabric_client_telemetry_pushes_total',
      "Pushes of clients' metrics that were taken.",
      () => telemetry.pushed,
    ),
    counter(
      'kafabric_client_telemetry_refused_total',
      "Requests about clients' metrics that were refused.",
      () => telemetry.refused,
    ),
    {
      name: 'kafabric_throttled_total',
      help: 'Requests and connections that had to wait because their client is over a quota.',
      label: 'quota',
      counter: true,
      read: () => clientQuotas.throttled(),
    },
    { name: 'kafabric_fetch_sessions', help: 'Fetch sessions.', read: () => fetchSessions.size },
  ];
}

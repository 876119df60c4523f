import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What is counted of share groups (KIP-932). */
export function shareMetrics({ groups, sharing }: EmbeddedBroker): MetricSource[] {
  const { states } = sharing;
  const { sessions, shares } = sharing.service;
  const { metrics } = shares;
  return [
    {
      name: 'kafabric_share_groups',
      help: 'Share groups (KIP-932) by state.',
      label: 'state',
      read: () => groups.states('share'),
    },
    {
      name: 'kafabric_share_sessions',
      help: 'Members of share groups that read.',
      read: () => sessions.size,
    },
    {
      name: 'kafabric_share_partitions',
      help: 'Share partitions that have a state.',
      read: () => states.size,
    },
    {
      name: 'kafabric_share_records_in_flight',
      help: 'Records that members of share groups have, and have not acknowledged.',
      read: () => shares.acquiredCount,
    },
    {
      name: 'kafabric_share_acknowledgements_total',
      help: 'Records that members of share groups acknowledged, by type.',
      label: 'type',
      counter: true,
      read: () =>
        new Map([
          ['accept', metrics.accepted],
          ['release', metrics.released],
          ['reject', metrics.rejected],
          ['renew', metrics.renewed],
        ]),
    },
    counter(
      'kafabric_share_records_acquired_total',
      'Deliveries of records to members of share groups.',
      () => metrics.acquired,
    ),
    counter(
      'kafabric_share_record_locks_timed_out_total',
      'Records whose member did not acknowledge them in time.',
      () => metrics.timedOut,
    ),
  ];
}

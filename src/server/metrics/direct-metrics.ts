import type { DirectService } from '../../broker/direct/direct-service.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What direct clients have attached, put and got. */
export function directMetrics({ attachments, gets, puts }: DirectService): MetricSource[] {
  const nothing = { attachments: 0, regions: 0, bytes: 0, mappedBytes: 0, turnedAway: 0 };
  const attached = () => attachments?.stats() ?? nothing;
  return [
    {
      name: 'kafabric_direct_attachments',
      help: 'Connections that move data by shared memory.',
      read: () => attached().attachments,
    },
    {
      name: 'kafabric_direct_region_bytes',
      help: 'Memory that clients have handed over.',
      read: () => attached().bytes,
    },
    {
      name: 'kafabric_direct_mapped_bytes',
      help: 'Memory of the gateway that clients hold mapped.',
      read: () => attached().mappedBytes,
    },
    counter(
      'kafabric_direct_turned_away_total',
      'Processes that were turned away at the socket for shared memory, because of their number or their rate.',
      () => attached().turnedAway,
    ),
    counter(
      'kafabric_direct_put_bytes_total',
      'Batches taken from clients’ memory.',
      () => puts.counters.bytes,
    ),
    counter('kafabric_direct_get_bytes_total', 'Data given to direct clients.', () => gets.counters.bytes),
    counter(
      'kafabric_direct_get_items_total',
      'Values, or parts of them, given to direct clients.',
      () => gets.counters.items,
    ),
    counter(
      'kafabric_direct_get_refused_total',
      'Values that were asked for in vain.',
      () => gets.counters.refused,
    ),
  ];
}

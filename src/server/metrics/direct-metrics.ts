import type { DirectService } from '../../broker/direct/direct-service.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What direct clients have attached, put and got. */
export function directMetrics({ attachments, gets, puts }: DirectService): MetricSource[] {
  const attached = () => attachments?.stats() ?? { attachments: 0, regions: 0, bytes: 0 };
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

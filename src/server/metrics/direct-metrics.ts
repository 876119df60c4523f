import type { DirectService } from '../../broker/direct/direct-service.ts';
import type { FabricAttachments, FabricTotals } from '../../broker/direct/fabric-attachments.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What direct clients have attached, put and got. */
export function directMetrics({ attachments, fabric, gets, puts }: DirectService): MetricSource[] {
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
    ...(fabric === null ? [] : fabricMetrics(fabric)),
  ];
}

/** What moves over libfabric, by provider. */
function fabricMetrics(fabric: FabricAttachments): MetricSource[] {
  const byProvider = (
    name: string,
    help: string,
    value: (totals: FabricTotals) => number,
    isCounter = true,
  ): MetricSource => ({
    name: `kafabric_direct_fabric_${name}`,
    help,
    label: 'provider',
    counter: isCounter,
    read: () => new Map(Array.from(fabric.totals(), ([provider, totals]) => [provider, value(totals)])),
  });
  return [
    byProvider('attachments', 'Connections that move data over it.', (one) => one.attachments, false),
    {
      name: 'kafabric_direct_fabric_region_bytes',
      help: 'Memory that clients have published to the fabric.',
      read: () => fabric.bytes,
    },
    byProvider('read_bytes_total', 'Taken from clients’ memory.', (one) => one.readBytes),
    byProvider('written_bytes_total', 'Put into clients’ memory.', (one) => one.writtenBytes),
    byProvider('failures_total', 'Transfers that failed or took too long.', (one) => one.failures),
    byProvider(
      'recoveries_total',
      'How often everything under way was begun again, to be rid of a client that did not answer.',
      (one) => one.recoveries,
    ),
  ];
}

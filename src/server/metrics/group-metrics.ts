import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import type { MetricSource } from './gateway-metrics.ts';

/** Groups by their type and state; share groups have metrics of their own. */
export function groupMetrics(groups: GroupCoordinator): MetricSource[] {
  return [
    {
      name: 'kafabric_classic_groups',
      help: 'Groups of the classic protocol by state.',
      label: 'state',
      read: () => groups.states('classic'),
    },
    {
      name: 'kafabric_consumer_groups',
      help: 'Groups of the consumer protocol (KIP-848) by state.',
      label: 'state',
      read: () => groups.states('consumer'),
    },
    {
      name: 'kafabric_streams_groups',
      help: 'Streams groups (KIP-1071) by state.',
      label: 'state',
      read: () => groups.states('streams'),
    },
  ];
}

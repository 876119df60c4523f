import type { ConfigDefinition } from './definition.ts';

/** Keys of CLIENT_METRICS resources (KIP-714). */
export const clientMetricsDefinitions: readonly ConfigDefinition[] = [
  {
    name: 'interval.ms',
    type: 'int',
    default: '300000',
    min: 100,
    max: 3600000,
    documentation: 'How often clients push their metrics, in milliseconds.',
  },
  {
    name: 'match',
    type: 'list',
    default: '',
    documentation: 'Which clients a subscription is for, as selector=pattern pairs; empty for all.',
  },
  {
    name: 'metrics',
    type: 'list',
    default: '',
    documentation: 'The prefixes of the metrics that clients push.',
  },
];

/** Keys of GROUP resources. */
export const groupKeyDefinitions: readonly ConfigDefinition[] = [
  {
    name: 'consumer.assignment.interval.ms',
    type: 'int',
    default: '1000',
    min: 0,
    documentation: 'The shortest time between two assignments of a consumer group, in milliseconds.',
  },
  {
    name: 'consumer.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'How often members of a consumer group send heartbeats, in milliseconds.',
  },
  {
    name: 'consumer.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation: 'After how many milliseconds without a heartbeat a member of a consumer group is removed.',
  },
  {
    name: 'direct.data.selector',
    type: 'string',
    default: '',
    documentation:
      'What of the data of events the direct consumers of a group get that do not say it themselves, as JSON; see docs/direct-api.md. Empty: nothing. Those that are at work take it over with the next assignment of partitions.',
  },
  {
    name: 'share.assignment.interval.ms',
    type: 'int',
    default: '1000',
    min: 0,
    documentation: 'The shortest time between two assignments of a share group, in milliseconds.',
  },
  {
    name: 'share.auto.offset.reset',
    type: 'string',
    default: 'latest',
    documentation:
      'Where a new share group starts: latest, earliest, or by_duration:PnDTnHnMn.nS before now.',
  },
  {
    name: 'share.delivery.count.limit',
    type: 'int',
    default: '5',
    min: 2,
    documentation: 'How often a record is delivered to a share group before it is given up.',
  },
  {
    name: 'share.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'How often members of a share group send heartbeats, in milliseconds.',
  },
  {
    name: 'share.isolation.level',
    type: 'string',
    default: 'read_uncommitted',
    values: ['read_committed', 'read_uncommitted'],
    documentation: 'Whether a share group sees records of transactions that are not committed.',
  },
  {
    name: 'share.partition.max.record.locks',
    type: 'int',
    default: '2000',
    min: 100,
    documentation:
      'How many records of one partition a share group may have from the first that is not done with to the last that is delivered.',
  },
  {
    name: 'share.record.lock.duration.ms',
    type: 'int',
    default: '30000',
    min: 1000,
    documentation: 'How long a member of a share group may keep a record, in milliseconds.',
  },
  {
    name: 'share.renew.acknowledge.enable',
    type: 'boolean',
    default: 'true',
    documentation: 'Whether members of a share group may extend the time they keep a record.',
  },
  {
    name: 'share.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation: 'After how many milliseconds without a heartbeat a member of a share group is removed.',
  },
  {
    name: 'streams.assignment.interval.ms',
    type: 'int',
    default: '1000',
    min: 0,
    documentation: 'The shortest time between two assignments of a streams group, in milliseconds.',
  },
  {
    name: 'streams.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'How often members of a streams group send heartbeats, in milliseconds.',
  },
  {
    name: 'streams.initial.rebalance.delay.ms',
    type: 'int',
    default: '3000',
    min: 0,
    documentation:
      'How long the first assignment of a streams group waits for more members, in milliseconds.',
  },
  {
    name: 'streams.num.standby.replicas',
    type: 'int',
    default: '0',
    min: 0,
    documentation: 'Standby copies of each task of a streams group.',
  },
  {
    name: 'streams.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation: 'After how many milliseconds without a heartbeat a member of a streams group is removed.',
  },
];

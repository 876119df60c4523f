import { type ConfigDefinition, INT_MAX } from './definition.ts';

/** Groups of the consumer protocol (KIP-848). */
export const consumerGroupDefinitions = [
  {
    name: 'group.consumer.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation:
      'After how many milliseconds without a heartbeat a member of a consumer group is removed, unless the group has its own consumer.session.timeout.ms.',
  },
  {
    name: 'group.consumer.min.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation: 'The least consumer.session.timeout.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.max.session.timeout.ms',
    type: 'int',
    default: '60000',
    min: 1,
    documentation: 'The greatest consumer.session.timeout.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation:
      'How often members of a consumer group are told to send heartbeats, in milliseconds, unless the group has its own consumer.heartbeat.interval.ms.',
  },
  {
    name: 'group.consumer.min.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'The least consumer.heartbeat.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.max.heartbeat.interval.ms',
    type: 'int',
    default: '15000',
    min: 1,
    documentation: 'The greatest consumer.heartbeat.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.assignment.interval.ms',
    type: 'int',
    default: '1000',
    min: 0,
    update: 'cluster-wide',
    documentation:
      'The shortest time between two assignments of a consumer group, in milliseconds, unless the group has its own consumer.assignment.interval.ms.',
  },
  {
    name: 'group.consumer.min.assignment.interval.ms',
    type: 'int',
    default: '0',
    min: 0,
    documentation: 'The least consumer.assignment.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.max.assignment.interval.ms',
    type: 'int',
    default: '15000',
    min: 0,
    documentation: 'The greatest consumer.assignment.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.consumer.max.size',
    type: 'int',
    default: String(INT_MAX),
    min: 1,
    documentation: 'The most members of one consumer group.',
  },
  {
    name: 'group.consumer.assignors',
    type: 'list',
    default: 'uniform,range',
    values: ['uniform', 'range'],
    filled: true,
    documentation:
      'The assignors that members of a consumer group may ask for. The first is that of groups whose members ask for none.',
  },
  {
    name: 'group.consumer.migration.policy',
    type: 'string',
    default: 'bidirectional',
    values: ['bidirectional', 'upgrade', 'downgrade', 'disabled'],
    documentation:
      'Whether a group with members changes its protocol: from classic to consumer when the first member of that joins (upgrade), back when the last of it leaves (downgrade), both (bidirectional), or neither (disabled).',
  },
  {
    name: 'group.consumer.regex.refresh.interval.ms',
    type: 'int',
    default: '600000',
    min: 10000,
    documentation:
      'How often the regular expressions of subscriptions are matched with the topics again when none was created, in milliseconds.',
  },
] as const satisfies readonly ConfigDefinition[];

import { type ConfigDefinition, INT_MAX } from './definition.ts';

/** Streams groups (KIP-1071). */
export const streamsGroupDefinitions = [
  {
    name: 'group.streams.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation:
      'After how many milliseconds without a heartbeat a member of a streams group is removed, unless the group has its own streams.session.timeout.ms.',
  },
  {
    name: 'group.streams.min.session.timeout.ms',
    type: 'int',
    default: '45000',
    min: 1,
    documentation: 'The least streams.session.timeout.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.max.session.timeout.ms',
    type: 'int',
    default: '60000',
    min: 1,
    documentation: 'The greatest streams.session.timeout.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation:
      'How often members of a streams group are told to send heartbeats, in milliseconds, unless the group has its own streams.heartbeat.interval.ms.',
  },
  {
    name: 'group.streams.min.heartbeat.interval.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'The least streams.heartbeat.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.max.heartbeat.interval.ms',
    type: 'int',
    default: '15000',
    min: 1,
    documentation: 'The greatest streams.heartbeat.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.assignment.interval.ms',
    type: 'int',
    default: '1000',
    min: 0,
    update: 'cluster-wide',
    documentation:
      'The shortest time between two assignments of a streams group, in milliseconds, unless the group has its own streams.assignment.interval.ms.',
  },
  {
    name: 'group.streams.min.assignment.interval.ms',
    type: 'int',
    default: '0',
    min: 0,
    documentation: 'The least streams.assignment.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.max.assignment.interval.ms',
    type: 'int',
    default: '15000',
    min: 0,
    documentation: 'The greatest streams.assignment.interval.ms that a group may have, in milliseconds.',
  },
  {
    name: 'group.streams.initial.rebalance.delay.ms',
    type: 'int',
    default: '3000',
    min: 0,
    documentation:
      'How long the first assignment of a streams group waits for more members, in milliseconds, unless the group has its own streams.initial.rebalance.delay.ms.',
  },
  {
    name: 'group.streams.num.standby.replicas',
    type: 'int',
    default: '0',
    min: 0,
    documentation:
      'Standby copies of each stateful task of a streams group, unless the group has its own streams.num.standby.replicas.',
  },
  {
    name: 'group.streams.max.standby.replicas',
    type: 'int',
    default: '2',
    min: 0,
    documentation: 'The most standby copies that a streams group may have of each task.',
  },
  {
    name: 'group.streams.max.size',
    type: 'int',
    default: String(INT_MAX),
    min: 1,
    documentation: 'The most members of one streams group.',
  },
] as const satisfies readonly ConfigDefinition[];

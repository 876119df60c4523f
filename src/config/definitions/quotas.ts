import { type ConfigDefinition, INT_MAX } from './definition.ts';

/** The windows over which quotas measure (the quotas are set per user, client id and address by kafka-configs), and the limit of clients' metrics. */
export const quotaDefinitions = [
  {
    name: 'quota.window.num',
    type: 'int',
    default: '11',
    min: 1,
    max: INT_MAX,
    documentation:
      'Samples over which produced and fetched bytes, request time and connections are averaged.',
  },
  {
    name: 'quota.window.size.seconds',
    type: 'int',
    default: '1',
    min: 1,
    max: INT_MAX,
    documentation: 'The length of each of these samples, in seconds.',
  },
  {
    name: 'controller.quota.window.num',
    type: 'int',
    default: '11',
    min: 1,
    max: INT_MAX,
    documentation: 'Samples whose allowance of created and deleted partitions may be used at once.',
  },
  {
    name: 'controller.quota.window.size.seconds',
    type: 'int',
    default: '1',
    min: 1,
    max: INT_MAX,
    documentation: 'The length of each of these samples, in seconds.',
  },
  {
    name: 'telemetry.max.bytes',
    type: 'int',
    default: '1048576',
    min: 1,
    max: INT_MAX,
    documentation: 'The largest push of a client’s metrics (KIP-714), as it arrives.',
  },
] as const satisfies readonly ConfigDefinition[];

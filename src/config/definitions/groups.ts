import { type ConfigDefinition, INT_MAX } from './definition.ts';

/** Consumer groups and their offsets. */
export const groupDefinitions = [
  {
    name: 'group.coordinator.rebalance.protocols',
    type: 'list',
    default: 'classic,consumer,streams',
    values: ['classic', 'consumer', 'streams'],
    documentation:
      'The group protocols that are served, besides the classic one, which always is: consumer is that of KIP-848, streams that of KIP-1071.',
  },
  {
    name: 'group.min.session.timeout.ms',
    type: 'int',
    default: '6000',
    documentation: 'The shortest session time-out that a group member may ask for, in milliseconds.',
  },
  {
    name: 'group.max.session.timeout.ms',
    type: 'int',
    default: '1800000',
    documentation: 'The longest session time-out that a group member may ask for, in milliseconds.',
  },
  {
    name: 'group.initial.rebalance.delay.ms',
    type: 'int',
    default: '3000',
    min: 0,
    documentation:
      'How long the first rebalance of an empty group waits for more members, in milliseconds. Shorter starts sooner, longer avoids rebalances.',
  },
  {
    name: 'group.max.size',
    type: 'int',
    default: String(INT_MAX),
    min: 1,
    documentation: 'The most members of one group.',
  },
  {
    name: 'offset.metadata.max.bytes',
    type: 'int',
    default: '4096',
    documentation: 'The longest metadata text that a client may commit with an offset.',
  },
  {
    name: 'offsets.retention.minutes',
    type: 'int',
    default: '10080',
    min: 1,
    documentation: 'How long the offsets of a group without members are kept, in minutes.',
  },
  {
    name: 'offsets.retention.check.interval.ms',
    type: 'long',
    default: '600000',
    min: 1,
    documentation: 'How often expired offsets are looked for, in milliseconds.',
  },
  {
    name: 'offsets.topic.num.partitions',
    type: 'int',
    default: '8',
    min: 1,
    documentation: 'Partitions of __consumer_offsets when it is created. It must not change afterwards.',
    kafkaDefault: { value: '50', reason: 'one node gains nothing from 50 logs' },
  },
  {
    name: 'offsets.topic.replication.factor',
    type: 'short',
    default: '1',
    min: 1,
    documentation: 'Replication factor of __consumer_offsets when it is created.',
    kafkaDefault: { value: '3', reason: 'one node holds one replica' },
  },
  {
    name: 'offsets.topic.segment.bytes',
    type: 'int',
    default: '104857600',
    min: 1,
    documentation: 'Segment size of __consumer_offsets; small segments load and compact faster.',
  },
  {
    name: 'offsets.topic.compression.codec',
    type: 'int',
    default: '0',
    min: 0,
    max: 4,
    documentation:
      'Compression of the records in __consumer_offsets: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. Without effect in this version, which writes them uncompressed.',
  },
  {
    name: 'offsets.load.buffer.size',
    type: 'int',
    default: '5242880',
    min: 1,
    documentation:
      'Bytes that are read at once when offsets are loaded at start. Without effect: 1 MiB is read at once.',
  },
  {
    name: 'offsets.commit.timeout.ms',
    type: 'int',
    default: '5000',
    min: 1,
    documentation: 'How long an offset commit may wait to be written, in milliseconds.',
  },
] as const satisfies readonly ConfigDefinition[];

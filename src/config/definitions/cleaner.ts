import { type ConfigDefinition, LONG_MAX } from './definition.ts';

/** Log compaction: what the cleaner may take, and the defaults of topics. */
export const cleanerDefinitions = [
  {
    name: 'log.cleaner.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether compacted topics are compacted. Without it, those and the internal ones grow for ever.',
  },
  {
    name: 'log.cleaner.threads',
    type: 'int',
    default: '1',
    min: 0,
    update: 'cluster-wide',
    documentation:
      'Logs that are compacted at the same time, each on a thread of its own at low priority; 0 compacts none.',
  },
  {
    name: 'log.cleaner.backoff.ms',
    type: 'long',
    default: '15000',
    min: 0,
    update: 'cluster-wide',
    documentation: 'How long a cleaner waits when there is nothing to compact, in milliseconds.',
  },
  {
    name: 'log.cleaner.dedupe.buffer.size',
    type: 'long',
    default: '134217728',
    min: 1048576,
    update: 'cluster-wide',
    documentation:
      'Memory for finding the latest record of each key, 24 bytes a key, all cleaners together. It is taken as it is used, and given back after each log. What does not fit is compacted in another round.',
  },
  {
    name: 'log.cleaner.io.buffer.size',
    type: 'int',
    default: '524288',
    min: 0,
    update: 'cluster-wide',
    documentation:
      'Memory for reading while compacting, all cleaners together; at least 64 KiB each, and as much as a batch is large.',
  },
  {
    name: 'log.cleaner.io.buffer.load.factor',
    type: 'double',
    default: '0.9',
    min: 0.1,
    max: 0.95,
    update: 'cluster-wide',
    documentation: 'How full the table of keys may become.',
  },
  {
    name: 'log.cleaner.io.max.bytes.per.second',
    type: 'double',
    default: '1.7976931348623157E308',
    update: 'cluster-wide',
    documentation: 'The most bytes per second that cleaners read and write.',
  },
  {
    name: 'log.cleaner.min.cleanable.ratio',
    type: 'double',
    default: '0.5',
    min: 0,
    max: 1,
    update: 'cluster-wide',
    documentation: 'The share of a log that is not yet compacted from which compaction begins.',
  },
  {
    name: 'log.cleaner.delete.retention.ms',
    type: 'long',
    default: '86400000',
    min: 0,
    update: 'cluster-wide',
    documentation: 'How long tombstones stay visible after compaction, in milliseconds.',
  },
  {
    name: 'log.cleaner.min.compaction.lag.ms',
    type: 'long',
    default: '0',
    min: 0,
    update: 'cluster-wide',
    documentation: 'The shortest time that a record stays uncompacted, in milliseconds.',
  },
  {
    name: 'log.cleaner.max.compaction.lag.ms',
    type: 'long',
    default: LONG_MAX,
    min: 1,
    update: 'cluster-wide',
    documentation: 'The longest time that a record may stay uncompacted, in milliseconds.',
  },
  {
    name: 'log.cleaner.compaction.strategy',
    type: 'string',
    default: 'keep-latest',
    values: ['keep-latest', 'time-window', 'hybrid'],
    update: 'cluster-wide',
    documentation: 'Which records of a key compaction keeps, for topics that do not set compaction.strategy.',
  },
  {
    name: 'log.cleaner.compaction.window.ms',
    type: 'long',
    default: '86400000',
    min: 1,
    update: 'cluster-wide',
    documentation:
      'The window of the compaction strategies that have one, in milliseconds, for topics that do not set compaction.window.ms.',
  },
] as const satisfies readonly ConfigDefinition[];

import { LONG_MAX, type TopicConfigDefinition } from './definition.ts';
import { TIER_ORDINALS } from './tiers.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** Topic keys: Apache Kafka 4.3's and ours. A topic without its own value takes the broker's. */
export const topicDefinitions = [
  {
    name: 'cleanup.policy',
    type: 'list',
    default: 'delete',
    values: ['compact', 'delete'],
    repeats: true,
    synonyms: [{ name: 'log.cleanup.policy' }],
    documentation:
      'This config designates the retention policy to use on log segments. "delete" removes them by age and size, "compact" keeps the latest record of each key; both together do both.',
  },
  {
    name: 'compaction.strategy',
    type: 'string',
    default: 'keep-latest',
    values: ['keep-latest', 'time-window', 'hybrid'],
    synonyms: [{ name: 'log.cleaner.compaction.strategy' }],
    documentation:
      'Which records of a key compaction keeps: keep-latest, the latest, as Kafka; time-window, the latest of each window of compaction.window.ms, by the records’ timestamps; hybrid, all that are younger than compaction.window.ms, and the latest of the older ones.',
  },
  {
    name: 'compaction.window.ms',
    type: 'long',
    default: '86400000',
    min: 1,
    synonyms: [{ name: 'log.cleaner.compaction.window.ms' }],
    documentation: 'The window of compaction.strategy, in milliseconds.',
  },
  {
    name: 'compression.type',
    type: 'string',
    default: 'producer',
    values: ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'],
    synonyms: [{ name: 'compression.type' }],
    documentation:
      'The compression of stored batches: a codec, uncompressed, or producer to keep what the producer chose.',
  },
  {
    name: 'compression.gzip.level',
    type: 'int',
    default: '-1',
    min: 1,
    max: 9,
    also: ['-1'],
    synonyms: [{ name: 'compression.gzip.level' }],
    documentation:
      'The gzip level when compression.type is gzip. Without effect in this version, which takes the library’s default.',
  },
  {
    name: 'compression.lz4.level',
    type: 'int',
    default: '9',
    min: 1,
    max: 17,
    synonyms: [{ name: 'compression.lz4.level' }],
    documentation:
      'The lz4 level when compression.type is lz4. Without effect in this version, which takes the library’s default.',
  },
  {
    name: 'compression.zstd.level',
    type: 'int',
    default: '3',
    min: -131072,
    max: 22,
    synonyms: [{ name: 'compression.zstd.level' }],
    documentation:
      'The zstd level when compression.type is zstd. Without effect in this version, which takes the library’s default.',
  },
  {
    name: 'delete.retention.ms',
    type: 'long',
    default: '86400000',
    min: 0,
    synonyms: [{ name: 'log.cleaner.delete.retention.ms' }],
    documentation: 'How long tombstones of a compacted topic stay visible after compaction, in milliseconds.',
  },
  {
    name: 'direct.partition.selector',
    type: 'string',
    default: '',
    synonyms: [],
    documentation:
      'How direct producers choose the partition of an event, as JSON; see docs/direct-api.md. Empty: by the key if there is one, else in turn.',
  },
  {
    name: 'direct.serializer',
    type: 'string',
    default: '',
    synonyms: [],
    documentation:
      'The form of the metadata of direct events, as JSON; see docs/direct-api.md. Empty: JSON. A new value has to begin with the versions of a schema that the old one has.',
  },
  {
    name: 'direct.validator',
    type: 'string',
    default: '',
    synonyms: [],
    documentation:
      'What direct producers require of the metadata of an event, as JSON; see docs/direct-api.md. Empty: nothing.',
  },
  {
    name: 'file.delete.delay.ms',
    type: 'long',
    default: '60000',
    min: 0,
    synonyms: [{ name: 'log.segment.delete.delay.ms' }],
    documentation:
      'How long a deleted segment’s files stay for readers that are still using them, in milliseconds.',
  },
  {
    name: 'flush.messages',
    type: 'long',
    default: LONG_MAX,
    min: 1,
    synonyms: [{ name: 'log.flush.interval.messages' }],
    documentation:
      'Records after which a partition is flushed to the device even if no producer asked for it.',
  },
  {
    name: 'flush.ms',
    type: 'long',
    default: LONG_MAX,
    min: 0,
    synonyms: [{ name: 'log.flush.interval.ms' }, { name: 'log.flush.scheduler.interval.ms' }],
    documentation: 'The longest time that records stay unflushed, in milliseconds.',
  },
  {
    name: 'follower.replication.throttled.replicas',
    type: 'list',
    default: '',
    synonyms: [],
    documentation:
      'Replicas whose replication is throttled as followers, as partition:broker pairs or *. One node replicates nothing.',
  },
  {
    name: 'index.interval.bytes',
    type: 'int',
    default: '4096',
    min: 0,
    synonyms: [{ name: 'log.index.interval.bytes' }],
    documentation: 'Bytes of log between two index entries.',
  },
  {
    name: 'leader.replication.throttled.replicas',
    type: 'list',
    default: '',
    synonyms: [],
    documentation:
      'Replicas whose replication is throttled as leaders, as partition:broker pairs or *. One node replicates nothing.',
  },
  {
    name: 'local.retention.bytes',
    type: 'long',
    default: '-2',
    min: -2,
    synonyms: [{ name: 'log.local.retention.bytes' }],
    documentation:
      'Bytes kept locally of a topic with remote storage; -2 means retention.bytes. Remote storage is not offered.',
  },
  {
    name: 'local.retention.ms',
    type: 'long',
    default: '-2',
    min: -2,
    synonyms: [{ name: 'log.local.retention.ms' }],
    documentation:
      'Milliseconds kept locally of a topic with remote storage; -2 means retention.ms. Remote storage is not offered.',
  },
  {
    name: 'max.compaction.lag.ms',
    type: 'long',
    default: LONG_MAX,
    min: 1,
    synonyms: [{ name: 'log.cleaner.max.compaction.lag.ms' }],
    documentation:
      'The longest time that a record of a compacted topic may stay uncompacted, in milliseconds.',
  },
  {
    name: 'max.message.bytes',
    type: 'int',
    default: '104857600',
    min: 0,
    synonyms: [{ name: 'message.max.bytes' }],
    documentation: 'The largest record batch, as produced.',
    kafkaDefault: { value: '1048588', reason: 'large payloads are what this gateway is for' },
  },
  {
    name: 'message.timestamp.after.max.ms',
    type: 'long',
    default: '3600000',
    min: 0,
    synonyms: [{ name: 'log.message.timestamp.after.max.ms' }],
    documentation: 'How far a producer’s timestamp may lie in the future, in milliseconds.',
  },
  {
    name: 'message.timestamp.before.max.ms',
    type: 'long',
    default: LONG_MAX,
    min: 0,
    synonyms: [{ name: 'log.message.timestamp.before.max.ms' }],
    documentation: 'How far a producer’s timestamp may lie in the past, in milliseconds.',
  },
  {
    name: 'message.timestamp.type',
    type: 'string',
    default: 'CreateTime',
    values: ['CreateTime', 'LogAppendTime'],
    synonyms: [{ name: 'log.message.timestamp.type' }],
    documentation: 'Whether records keep the producer’s time or get the time of their arrival.',
  },
  {
    name: 'min.cleanable.dirty.ratio',
    type: 'double',
    default: '0.5',
    min: 0,
    max: 1,
    synonyms: [{ name: 'log.cleaner.min.cleanable.ratio' }],
    documentation: 'The share of a log that is not yet compacted from which compaction begins.',
  },
  {
    name: 'min.compaction.lag.ms',
    type: 'long',
    default: '0',
    min: 0,
    synonyms: [{ name: 'log.cleaner.min.compaction.lag.ms' }],
    documentation: 'The shortest time that a record of a compacted topic stays uncompacted, in milliseconds.',
  },
  {
    name: 'min.insync.replicas',
    type: 'int',
    default: '1',
    min: 1,
    synonyms: [{ name: 'min.insync.replicas' }],
    documentation: 'In-sync replicas that a produce request with acks=all needs.',
  },
  {
    name: 'log.ack',
    type: 'string',
    default: 'memory',
    values: ['memory', 'disk'],
    synonyms: [{ name: 'log.ack' }],
    documentation:
      'When acks=1, and acks=all with log.durability=os, are answered: memory, from shared memory that outlives the process; disk, when the device has taken the data.',
  },
  {
    name: 'payload.min.bytes',
    type: 'long',
    default: '65536',
    min: -1,
    synonyms: [{ name: 'payload.min.bytes' }],
    documentation:
      'A batch whose mean record size is at least this many bytes goes to the payload store, and its place in the log is taken by a reference. 0 diverts everything, -1 nothing.',
  },
  {
    name: 'payload.min.insync.replicas',
    type: 'int',
    default: '2',
    min: 1,
    max: 8,
    synonyms: [{ name: 'payload.min.insync.replicas' }],
    documentation:
      'How many stores must have an extent before its record is acknowledged, at most payload.replicas; with fewer, Produce is answered with NOT_ENOUGH_REPLICAS.',
  },
  {
    name: 'payload.replicas',
    type: 'int',
    default: '1',
    min: 1,
    max: 8,
    synonyms: [{ name: 'payload.replicas' }],
    documentation:
      'How many stores get each extent (payload.stores), in different zones if there are as many.',
  },
  {
    name: 'payload.segment.bytes',
    type: 'long',
    default: '1073741824',
    min: 1048576,
    synonyms: [{ name: 'payload.segment.bytes' }],
    documentation:
      'Bytes after which a new payload file is started; whole files are deleted, so smaller ones free space sooner.',
  },
  {
    name: 'payload.tier',
    type: 'string',
    default: '',
    values: ['', ...TIER_ORDINALS],
    synonyms: [],
    documentation:
      'The storage tier in which the topic’s payload stays, whatever its age: first, second, ...; empty: where the others’ is, by age. While that tier is full, new payload goes to the next one and moves when there is room. With payload.stores it is a tier of each store that has tiers; one that has fewer takes its last.',
  },
  {
    name: 'preallocate',
    type: 'boolean',
    default: 'false',
    synonyms: [{ name: 'log.preallocate' }],
    documentation:
      'Whether the space of a new segment is reserved on disk at once, of the log and, with log.channel.type=tiered, of payload.',
  },
  {
    name: 'remote.log.copy.disable',
    type: 'boolean',
    default: 'false',
    synonyms: [],
    documentation: 'Whether copying to remote storage is stopped. Remote storage is not offered.',
  },
  {
    name: 'remote.log.delete.on.disable',
    type: 'boolean',
    default: 'false',
    synonyms: [],
    documentation:
      'Whether remote data is deleted when remote storage is switched off. Remote storage is not offered.',
  },
  {
    name: 'remote.storage.enable',
    type: 'boolean',
    default: 'false',
    synonyms: [],
    documentation:
      'Whether segments are copied to Kafka’s remote storage, which is not offered: true is refused.',
  },
  {
    name: 'retention.bytes',
    type: 'long',
    default: '-1',
    synonyms: [{ name: 'log.retention.bytes' }],
    documentation:
      'Bytes that a partition keeps before its oldest segments are deleted; below 0 for no limit.',
  },
  {
    name: 'retention.ms',
    type: 'long',
    default: '604800000',
    min: -1,
    synonyms: [
      { name: 'log.retention.ms' },
      { name: 'log.retention.minutes', factor: MINUTE_MS },
      { name: 'log.retention.hours', factor: HOUR_MS },
    ],
    documentation: 'Milliseconds that records are kept; -1 for ever.',
  },
  {
    name: 'segment.bytes',
    type: 'int',
    default: '1073741824',
    min: 1048576,
    synonyms: [{ name: 'log.segment.bytes' }],
    documentation: 'Bytes after which a new log segment is started.',
  },
  {
    name: 'segment.index.bytes',
    type: 'int',
    default: '10485760',
    min: 4,
    synonyms: [{ name: 'log.index.size.max.bytes' }],
    documentation: 'The largest index of one segment; a full index starts a new segment.',
  },
  {
    name: 'segment.jitter.ms',
    type: 'long',
    default: '0',
    min: 0,
    synonyms: [{ name: 'log.roll.jitter.ms' }, { name: 'log.roll.jitter.hours', factor: HOUR_MS }],
    documentation: 'The most milliseconds by which a segment is started earlier, at random.',
  },
  {
    name: 'segment.ms',
    type: 'long',
    default: '604800000',
    min: 1,
    synonyms: [{ name: 'log.roll.ms' }, { name: 'log.roll.hours', factor: HOUR_MS }],
    documentation: 'Milliseconds after which a new log segment is started even if it is not full.',
  },
  {
    name: 'unclean.leader.election.enable',
    type: 'boolean',
    default: 'false',
    synonyms: [{ name: 'unclean.leader.election.enable' }],
    documentation:
      'Whether a replica that is not in sync may lead. One node has one replica, so nothing depends on it.',
  },
] as const satisfies readonly TopicConfigDefinition[];

import { type CompactionStrategy, defaultLogConfig, type LogConfig } from '../../backend/log/config.ts';
import type { PayloadOptions } from '../../backend/payload/segment-appends.ts';
import { type KafabricConfig, TIER_ORDINALS, type TopicConfig } from '../../config/index.ts';
import { Codec } from '../../native/codec.ts';
import { isInternalTopic } from '../metadata/topic-name.ts';
import type { PartitionConfig } from './config.ts';

const CODECS: Record<string, Codec | undefined> = {
  uncompressed: Codec.NONE,
  gzip: Codec.GZIP,
  snappy: Codec.SNAPPY,
  lz4: Codec.LZ4,
  zstd: Codec.ZSTD,
};

/** What partitions need of their topic's configuration, read once when it changes. */
export function partitionConfigOf(name: string, topic: TopicConfig, broker: KafabricConfig): PartitionConfig {
  const policies = topic.get('cleanup.policy');
  return {
    maxMessageBytes: topic.get('max.message.bytes'),
    compression: CODECS[topic.get('compression.type')] ?? null,
    logAppendTime: topic.get('message.timestamp.type') === 'LogAppendTime',
    timestampBeforeMaxMs: topic.get('message.timestamp.before.max.ms'),
    timestampAfterMaxMs: topic.get('message.timestamp.after.max.ms'),
    compacted: policies.includes('compact'),
    // Coordinators read their records back, however large.
    payloadMinBytes: isInternalTopic(name) ? -1 : topic.get('payload.min.bytes'),
    payloadSegmentBytes: topic.get('payload.segment.bytes'),
    payloadPreallocate: topic.get('preallocate') && broker.resolved.tiers.length > 0,
    payloadTier: tierOf(topic.get('payload.tier')),
    payloadReplicas: topic.get('payload.replicas'),
    payloadMinInsync: topic.get('payload.min.insync.replicas'),
    retentionMs: topic.get('retention.ms'),
    retentionBytes: topic.get('retention.bytes'),
    deletable: policies.includes('delete'),
    flushBeforeAck: broker.get('log.durability') === 'flush',
    ackFromMemory: topic.get('log.ack') === 'memory',
  };
}

function tierOf(ordinal: string): number | null {
  const tier = (TIER_ORDINALS as readonly string[]).indexOf(ordinal);
  return tier < 0 ? null : tier;
}

export function payloadOptionsOf(config: PartitionConfig): PayloadOptions {
  return {
    segmentBytes: config.payloadSegmentBytes,
    preallocate: config.payloadPreallocate,
    tier: config.payloadTier,
    replicas: config.payloadReplicas,
    minInsyncReplicas: config.payloadMinInsync,
  };
}

export function logConfigOf(topic: TopicConfig): LogConfig {
  const policies = topic.get('cleanup.policy');
  const cleanupCompact = policies.includes('compact');
  const maxCompactionLagMs = topic.get('max.compaction.lag.ms');
  return {
    ...defaultLogConfig,
    segmentBytes: topic.get('segment.bytes'),
    // What must be compacted by then must have left the active segment.
    segmentMs: cleanupCompact
      ? Math.min(topic.get('segment.ms'), maxCompactionLagMs)
      : topic.get('segment.ms'),
    segmentJitterMs: topic.get('segment.jitter.ms'),
    segmentIndexBytes: topic.get('segment.index.bytes'),
    indexIntervalBytes: topic.get('index.interval.bytes'),
    retentionMs: topic.get('retention.ms'),
    retentionBytes: topic.get('retention.bytes'),
    fileDeleteDelayMs: topic.get('file.delete.delay.ms'),
    flushMessages: topic.get('flush.messages'),
    flushMs: topic.get('flush.ms'),
    preallocate: topic.get('preallocate'),
    cleanupDelete: policies.includes('delete'),
    cleanupCompact,
    minCleanableDirtyRatio: topic.get('min.cleanable.dirty.ratio'),
    minCompactionLagMs: topic.get('min.compaction.lag.ms'),
    maxCompactionLagMs,
    deleteRetentionMs: topic.get('delete.retention.ms'),
    // One of the values of its definition.
    compactionStrategy: topic.get('compaction.strategy') as CompactionStrategy,
    compactionWindowMs: topic.get('compaction.window.ms'),
  };
}

interface SettingsOfTopic {
  readonly topic: string;
  readonly broker: KafabricConfig;
  readonly log: LogConfig;
  readonly partition: PartitionConfig;
}

/** Has one object of each kind for all partitions of a topic, of which there may be thousands. */
export class TopicSettings {
  readonly #known = new WeakMap<TopicConfig, SettingsOfTopic>();

  of(topic: string, config: TopicConfig, broker: KafabricConfig): SettingsOfTopic {
    const known = this.#known.get(config);
    if (known?.topic === topic && known.broker === broker) return known;
    const settings = {
      topic,
      broker,
      log: logConfigOf(config),
      partition: partitionConfigOf(topic, config, broker),
    };
    this.#known.set(config, settings);
    return settings;
  }
}

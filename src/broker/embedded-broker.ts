import { join } from 'node:path';
import type { LogCleaner } from '../backend/log/compaction/log-cleaner.ts';
import { defaultLogConfig, type LogConfig } from '../backend/log/config.ts';
import { LogManager } from '../backend/log/log-manager.ts';
import type { LogIntervals } from '../backend/log/log-manager-options.ts';
import type { PartitionLog } from '../backend/log/partition-log.ts';
import type { FileSystem } from '../backend/log/ports.ts';
import { storeFileSystem } from '../backend/log/store-file-system.ts';
import { PayloadStores, type PayloadStoresOptions } from '../backend/payload/stores/payload-stores.ts';
import { Bucket } from '../backend/payload/tiers/s3/bucket.ts';
import { TieredStorage } from '../backend/payload/tiers/tiered-storage.ts';
import { isCordoned, type KafabricConfig } from '../config/index.ts';
import { arenaStats } from '../native/arena.ts';
import { Store } from '../native/store.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger, LoggerLevels } from '../util/logger.ts';
import { writeAcknowledged } from './acknowledged-memory.ts';
import { makeCleaner } from './cleaner.ts';
import { ConfigManager } from './configs/config-manager.ts';
import type { CoordinatorTopic } from './coordinator-shards.ts';
import { ScramCredentials } from './credentials/scram-credentials.ts';
import { DirectService } from './direct/direct-service.ts';
import { groupConfig } from './groups/config.ts';
import { consumerConfig } from './groups/consumer/config.ts';
import { GroupCoordinator } from './groups/coordinator.ts';
import { MetadataTopics } from './groups/metadata-topics.ts';
import { PartitionOffsetsLog } from './groups/partition-offsets-log.ts';
import { shareGroupConfig } from './groups/share/config.ts';
import { streamsConfig } from './groups/streams/config.ts';
import { knownPartitions } from './known-partitions.ts';
import { isBusy, makeMoves, moveThreads } from './log-dir-moves.ts';
import { prepareMemoryTiers } from './memory-pools.ts';
import { type BrokerEndpoint, ClusterMetadata } from './metadata/cluster-metadata.ts';
import { PartitionMetadataLog } from './metadata/partition-metadata-log.ts';
import { ResourceType } from './metadata/state.ts';
import { METADATA_TOPIC_ID, randomUuid } from './metadata/topic-id.ts';
import { TopicManager } from './metadata/topic-manager.ts';
import {
  METADATA_TOPIC,
  OFFSETS_TOPIC,
  SHARE_STATE_TOPIC,
  TRANSACTION_TOPIC,
} from './metadata/topic-name.ts';
import { FetchService } from './partitions/fetch-service.ts';
import { FetchSessions } from './partitions/fetch-session.ts';
import { MemoryBudget, type MemoryGauge } from './partitions/memory-budget.ts';
import type { LogDirMoves } from './partitions/moves/log-dir-moves.ts';
import { PartitionManager } from './partitions/partition-manager.ts';
import { ProducerIds } from './producers/producer-ids.ts';
import { ClientQuotas } from './quotas/client-quotas.ts';
import { QuotaManager } from './quotas/quota-manager.ts';
import { openSharing, type Sharing } from './share/sharing.ts';
import type { ShareStateCoordinator } from './share/state-coordinator.ts';
import { ClientTelemetry } from './telemetry/client-telemetry.ts';
import { transactionConfig } from './transactions/config.ts';
import { TransactionCoordinator } from './transactions/coordinator.ts';
import { PartitionMarkers } from './transactions/partition-markers.ts';
import { PartitionTransactionLog } from './transactions/partition-transaction-log.ts';
import type { TransactionPartitions } from './transactions/ports.ts';

export interface EmbeddedBrokerOptions {
  readonly config: KafabricConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The levels of `logger` and its children, for those who alter them. */
  readonly loggers?: LoggerLevels;
  /** What clients are told to connect to, one for each listener. */
  readonly endpoints: readonly BrokerEndpoint[];
  /** How payload reaches the stores of `payload.stores`; without it there are none. */
  readonly storeAccess?: Pick<PayloadStoresOptions, 'fabric' | 'secret' | 'tls'>;
}

/** Answers to fetches may take arena memory while no more than this share of it is in use: the rest is for what is produced. */
const FETCH_MEMORY_SHARE = 0.5;
/** The same for what direct clients put. */
const PUT_MEMORY_SHARE = 0.75;
const FETCH_SESSION_EVICTION_MS = 120_000;
/** For the metadata log, which only snapshots shorten, and for every log whose topic's configuration is not known yet. */
const KEEP_ALL: LogConfig = {
  ...defaultLogConfig,
  retentionMs: -1,
  retentionBytes: -1,
  cleanupDelete: false,
};

/** What is only cached gives way to whatever is asked for. */
function memoryInUse(store: Store): MemoryGauge {
  const { capacityBytes, usedBytes } = arenaStats();
  return { capacityBytes, usedBytes: Math.max(0, usedBytes - store.stats().cachedBytes) };
}

/**
 * Everything that is the cluster on one machine: logs, payload, topics, groups, offsets. `open` recovers it from disk; `close` leaves it so
 * that the next start is quick.
 */
export class EmbeddedBroker {
  readonly store: Store;
  readonly logs: LogManager;
  readonly tiers: TieredStorage;
  readonly cleaner: LogCleaner;
  readonly stores: PayloadStores;
  readonly metadata: ClusterMetadata;
  readonly topics: TopicManager;
  readonly configs: ConfigManager;
  readonly quotas: QuotaManager;
  readonly scram: ScramCredentials;
  readonly clientQuotas: ClientQuotas;
  readonly telemetry: ClientTelemetry;
  readonly partitions: PartitionManager;
  readonly moves: LogDirMoves;
  readonly producerIds: ProducerIds;
  readonly fetches: FetchService;
  readonly fetchSessions: FetchSessions;
  readonly direct: DirectService;
  readonly sharing: Sharing;
  readonly groups: GroupCoordinator;
  readonly transactions: TransactionCoordinator;
  readonly markers: TransactionPartitions;
  readonly clock: Clock;

  private constructor(parts: {
    options: EmbeddedBrokerOptions;
    store: Store;
    logs: LogManager;
    tiers: TieredStorage;
    stores: PayloadStores;
    metadata: ClusterMetadata;
  }) {
    const { options, store, logs, tiers, stores, metadata } = parts;
    const { config, clock } = options;
    const loggerOf = (component: string) => options.logger.child({ component });
    this.clock = clock;
    this.store = store;
    this.logs = logs;
    this.tiers = tiers;
    this.stores = stores;
    this.cleaner = makeCleaner({
      logs,
      store,
      config: () => metadata.config,
      clock,
      logger: loggerOf('cleaner'),
    });
    this.metadata = metadata;
    this.topics = new TopicManager(metadata, randomUuid);
    this.configs = new ConfigManager(metadata, options.loggers);
    this.quotas = new QuotaManager(metadata);
    this.scram = new ScramCredentials(metadata);
    this.clientQuotas = new ClientQuotas(config, clock);
    this.telemetry = new ClientTelemetry(clock, config.get('telemetry.max.bytes'));
    this.partitions = new PartitionManager({
      ...{ logs, files: store, tiers, stores, config, clock },
      logger: loggerOf('partitions'),
    });
    this.moves = makeMoves({ ...parts, partitions: this.partitions, logger: loggerOf('moves') });
    this.producerIds = new ProducerIds(() => metadata.allocateProducerIds(), loggerOf('transactions'));
    const memory = new MemoryBudget(() => memoryInUse(store), FETCH_MEMORY_SHARE, clock);
    this.fetches = new FetchService({ maxBytes: config.get('fetch.max.bytes') }, memory, clock);
    this.direct = new DirectService({
      config,
      partitions: this.partitions,
      topicId: (name) => metadata.topicByName(name)?.id ?? null,
      memory: { reads: memory, writes: new MemoryBudget(() => memoryInUse(store), PUT_MEMORY_SHARE, clock) },
      fabric: options.storeAccess?.fabric,
      clock,
      logger: loggerOf('direct'),
    });
    const slots = config.get('max.incremental.fetch.session.cache.slots');
    this.fetchSessions = new FetchSessions({ slots, evictionMs: FETCH_SESSION_EVICTION_MS }, clock);
    const groupConfigs = (groupId: string) => metadata.state.configs(ResourceType.GROUP, groupId);
    this.sharing = openSharing({
      ...{ config, clock, groupConfigs },
      logger: loggerOf('share'),
      partitions: this.partitions,
      fetches: this.fetches,
      topic: this.#coordinatorTopic(SHARE_STATE_TOPIC),
    });
    const { states, service } = this.sharing;
    this.groups = new GroupCoordinator({
      clock,
      config: groupConfig(config),
      logger: loggerOf('groups'),
      log: new PartitionOffsetsLog(this.partitions, clock),
      topic: this.#coordinatorTopic(OFFSETS_TOPIC),
      consumer: consumerConfig(() => metadata.config, groupConfigs),
      streams: streamsConfig(() => metadata.config, groupConfigs),
      topics: new MetadataTopics(metadata),
      createTopics: (topics) => this.topics.createTopics(topics),
      share: {
        config: shareGroupConfig(() => metadata.config, groupConfigs),
        states,
        endOffset: (topicId, partition) =>
          this.partitions.findById(topicId, partition)?.highWatermark ?? null,
        forget: (groupId) => service.forget(groupId),
      },
      randomId: () => crypto.randomUUID(),
    });
    this.markers = new PartitionMarkers(this.partitions, this.groups, clock);
    this.transactions = new TransactionCoordinator({
      clock,
      config: transactionConfig(() => metadata.config),
      logger: loggerOf('transactions'),
      log: new PartitionTransactionLog(this.partitions, clock),
      topic: this.#coordinatorTopic(TRANSACTION_TOPIC),
      partitions: this.markers,
      newProducerId: () => this.producerIds.next(),
    });
  }

  /** Rejects with an error for people when a directory is locked, belongs to another cluster, or cannot be used. */
  static async open(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const { config } = options;
    const store = new Store({
      threads: config.get('num.io.threads'),
      direct: config.get('log.direct.io.enable'),
      copyThreads: copyThreads(config),
    });
    const fileSystem = storeFileSystem(store);
    const logs = makeLogs(fileSystem, options);
    let tiers: TieredStorage | null = null;
    let stores: PayloadStores | null = null;
    try {
      await logs.open();
      await reportBufferedDirectories(store, options);
      const metadata = await openMetadata(logs, fileSystem, options);
      tiers = await openTiers({ store, logs, metadata, options });
      await keepRemovedSpace(store, logs, tiers, config);
      await prepareMemoryTiers(store, tiers, config, options.logger);
      stores = await openStores(logs, metadata, options);
      const broker = new EmbeddedBroker({ options, store, logs, tiers, stores, metadata });
      await broker.#start();
      return broker;
    } catch (error) {
      await stores?.stop();
      await stores?.close();
      tiers?.close();
      await logs.close();
      await store.shutdown();
      throw error;
    }
  }

  #coordinatorTopic(name: string): CoordinatorTopic {
    return {
      name,
      partitionCount: () => this.metadata.topicByName(name)?.partitions.length ?? null,
      isOffline: (partition) => this.partitions.isOffline(name, partition),
      ensure: async () => (await this.topics.ensureTopic(name)).partitions.length,
    };
  }

  async #start(): Promise<void> {
    const { metadata, partitions, groups, transactions } = this;
    this.logs.isCordoned = (directory) => isCordoned(metadata.config, directory);
    await partitions.open(metadata.topics(), (topic) => metadata.topicConfig(topic));
    metadata.addListener({ topicDeleted: ({ name }) => this.moves.forget(name) });
    metadata.addListener(partitions);
    const brokerConfigChanged = (config: KafabricConfig) => {
      this.logs.producerIdExpirationMs = config.get('producer.id.expiration.ms');
    };
    metadata.addListener({ brokerConfigChanged });
    brokerConfigChanged(metadata.config);
    const quotasChanged = () => this.clientQuotas.update(metadata.state.quotas.entries());
    const clientMetricsChanged = () => this.telemetry.update(clientMetricsOf(metadata));
    metadata.addListener({ quotasChanged, clientMetricsChanged });
    quotasChanged();
    clientMetricsChanged();
    this.tiers.start();
    this.stores.start(knownPartitions(metadata, this.logs, this.clock));
    partitions.startRetention(metadata.config.get('log.retention.check.interval.ms'));
    this.cleaner.start();
    await this.moves.resume();
    metadata.addListener({
      partitionsCreated: async ({ name }) => {
        groups.topicChanged(name);
        await this.#coordinatorOf(name)?.topicCreated();
      },
      topicDeleted: ({ name }) => groups.topicDeleted(name),
    });
    this.logs.onOffline = (_, logs) => this.#resign(logs);
    // Clients are told that groups and transactions are loading; nothing else waits for them.
    void this.sharing.states.start();
    void groups.start();
    void transactions.start();
  }

  /** Coordinators have their state in logs. */
  #resign(logs: readonly PartitionLog[]): void {
    for (const { topic, partition } of logs) this.#coordinatorOf(topic)?.resign(partition);
  }

  /** Whose state is in the topic. */
  #coordinatorOf(topic: string): GroupCoordinator | TransactionCoordinator | ShareStateCoordinator | null {
    if (topic === OFFSETS_TOPIC) return this.groups;
    if (topic === TRANSACTION_TOPIC) return this.transactions;
    return topic === SHARE_STATE_TOPIC ? this.sharing.states : null;
  }

  /** Flushes and marks the directories as cleanly closed. Requests must have ended. */
  async close(): Promise<void> {
    await this.moves.stop();
    await this.direct.close();
    this.transactions.close();
    this.groups.close();
    this.sharing.close();
    await this.metadata.close();
    await this.cleaner.stop();
    if (this.tiers.hasPayloadInMemory) {
      await this.partitions.completePayload();
      await this.tiers.drain();
    }
    await this.tiers.stop();
    await this.stores.stop();
    await this.partitions.close();
    await this.stores.close();
    this.tiers.close();
    await this.logs.close();
    await this.store.shutdown();
    this.direct.takeBack();
  }
}

/** Threads that copy files from tier to tier, and from one data directory to another. */
function copyThreads(config: KafabricConfig): number {
  const { tiers, logDirs } = config.resolved;
  return (
    (tiers.length > 0 ? config.get('storage.migrate.threads') : 0) +
    (logDirs.length > 1 ? moveThreads(config) : 0)
  );
}

/** The configured subscriptions to clients' metrics. */
function clientMetricsOf({ state }: ClusterMetadata): ReadonlyMap<string, string>[] {
  const type = ResourceType.CLIENT_METRICS;
  return state.configuredResources(type).map((name) => state.configs(type, name));
}

/** Says which data directories are on file systems that cannot bypass the page cache. */
async function reportBufferedDirectories(
  store: Store,
  { config, logger }: EmbeddedBrokerOptions,
): Promise<void> {
  if (!config.get('log.direct.io.enable')) return;
  for (const directory of config.resolved.logDirs) {
    // One that cannot be used has been reported.
    const file = await store.open(join(directory, 'meta.properties'), { readOnly: true }).catch(() => null);
    if (file && !file.direct)
      logger.warn({ directory }, 'its file system has no direct I/O: reads and writes use the page cache');
    await file?.close();
  }
}

export async function openTiers(parts: {
  store: Store;
  logs: LogManager;
  metadata: ClusterMetadata;
  options: EmbeddedBrokerOptions;
}): Promise<TieredStorage> {
  const { store, logs, metadata, options } = parts;
  const { config, clock } = options;
  const { s3, tiers } = config.resolved;
  const logger = options.logger.child({ component: 'tiers' });
  return TieredStorage.open({
    tiers,
    bucket: s3 && (await Bucket.open({ config: s3, files: store, logger })),
    logDirectories: logs.directories.filter(({ error }) => error === null).map(({ path }) => path),
    owner: { clusterId: logs.clusterId, nodeId: config.resolved.nodeId },
    files: store,
    clock,
    logger,
    settings: () => ({
      threshold: metadata.config.get('storage.migrate.threshold'),
      bytesPerSecond: metadata.config.get('storage.migrate.bytes.per.second'),
      tierBytesPerSecond: (tier) => {
        const ordinal = tiers[tier]?.ordinal;
        if (ordinal === undefined) return -1; // a partition's own directory
        return metadata.config.get(`storage.tiers.${ordinal}.migrate.bytes.per.second`);
      },
    }),
    scrub: () => ({
      bytesPerSecond: metadata.config.get('storage.s3.scrub.bytes.per.second'),
      intervalMs: metadata.config.get('storage.s3.scrub.interval.ms'),
    }),
    memory: () => ({
      mayLose: metadata.config.get('log.durability') === 'os',
      maxAgeMs: metadata.config.get('storage.memory.max.age.ms'),
    }),
    threads: config.get('storage.migrate.threads'),
    isBusy: () => isBusy(store),
  });
}

const NO_ACCESS: NonNullable<EmbeddedBrokerOptions['storeAccess']> = {
  secret: '',
  fabric: { wish: { provider: '', domain: '' }, options: { library: '', pieceBytes: 1, window: 1 } },
};

export function openStores(
  logs: LogManager,
  metadata: ClusterMetadata,
  { config, clock, logger, storeAccess = NO_ACCESS }: EmbeddedBrokerOptions,
): Promise<PayloadStores> {
  return PayloadStores.open({
    ...storeAccess,
    stores: storeAccess === NO_ACCESS ? [] : config.get('payload.stores'),
    owner: { clusterId: logs.clusterId, nodeId: config.resolved.nodeId },
    zone: config.get('broker.rack') ?? '',
    requestTimeoutMs: config.get('payload.stores.request.timeout.ms'),
    lostAfterMs: config.get('payload.stores.lost.after.ms'),
    orphanGraceMs: config.get('payload.stores.orphan.grace.ms'),
    givenUp: config.get('payload.stores.given.up'),
    scrubBytesPerSecond: () => metadata.config.get('payload.stores.scrub.bytes.per.second'),
    repairBytesPerSecond: () => metadata.config.get('payload.stores.repair.bytes.per.second'),
    clock,
    logger: logger.child({ component: 'stores' }),
  });
}

/** Space of removed segments that a tier's path keeps is this part of it at most: its room is counted without it. */
const RECYCLED_TIER_SHARE = 20;

/** New segments begin with space of removed ones; not in paths with a size of their own, of which that would be a part. */
async function keepRemovedSpace(
  store: Store,
  logs: LogManager,
  tiers: TieredStorage,
  config: KafabricConfig,
): Promise<void> {
  const bytes = config.get('log.direct.io.enable') ? config.get('log.recycle.bytes') : 0;
  for (const { error, path, isLimited, capacityBytes } of tiers.paths)
    if (error === null && !isLimited)
      await store.recycleIn(path, Math.min(bytes, Math.floor(capacityBytes / RECYCLED_TIER_SHARE)));
  const prepare = {
    bytes: config.get('log.recycle.prepare.bytes'),
    fileBytes: Math.min(config.get('log.segment.bytes'), config.get('payload.segment.bytes')),
  };
  for (const { path, error } of logs.directories)
    if (error === null) await store.recycleIn(path, bytes, prepare);
}

export function makeLogs(
  fileSystem: FileSystem,
  { config, clock, logger }: EmbeddedBrokerOptions,
): LogManager {
  return new LogManager({
    fileSystem,
    clock,
    logger: logger.child({ component: 'log' }),
    directories: config.resolved.logDirs,
    nodeId: config.resolved.nodeId,
    clusterId: config.get('cluster.id'),
    defaultConfig: KEEP_ALL,
    recoveryThreads: config.get('num.recovery.threads.per.data.dir'),
    producerIdExpirationMs: config.get('producer.id.expiration.ms'),
    intervals: logIntervals(config),
    beforeLoading: () => writeAcknowledged(config, logger),
  });
}

/** The cluster's metadata, of logs that are open. Rejects with an error for people when it is not there but should be. */
export async function openMetadata(
  logs: LogManager,
  fileSystem: FileSystem,
  { config, clock, logger, endpoints }: EmbeddedBrokerOptions,
): Promise<ClusterMetadata> {
  if (logs.get(METADATA_TOPIC, 0) === undefined) assertNew(logs);
  const log = await logs.create(METADATA_TOPIC, 0, { topicId: METADATA_TOPIC_ID, config: KEEP_ALL });
  return ClusterMetadata.open({
    log: new PartitionMetadataLog(log, clock, fileSystem),
    config,
    clusterId: logs.clusterId,
    endpoints,
    directories: logs.directories.flatMap(({ id }) => id ?? []),
    randomUuid,
    logger: logger.child({ component: 'metadata' }),
  });
}

/** Without its metadata a cluster would look empty, and its topics would be lost to whoever makes them anew. */
function assertNew(logs: LogManager): void {
  const unusable = logs.directories.filter(({ error }) => error !== null).map(({ path }) => path);
  const [found] = logs.logs();
  if (unusable.length === 0 && found === undefined) return;
  const reason =
    unusable.length > 0
      ? `${unusable.join(', ')} cannot be used and may hold it; make it usable again, or remove it from log.dirs if it never held any`
      : `there are logs of topics, such as ${found!.topic}-${found!.partition}; put back the directory ${METADATA_TOPIC}-0`;
  throw new Error(`the cluster's metadata, ${METADATA_TOPIC}-0, is in none of log.dirs, but ${reason}`);
}

function logIntervals(config: KafabricConfig): Partial<LogIntervals> {
  return {
    initialDelayMs: config.get('log.initial.task.delay.ms'),
    retentionCheckMs: config.get('log.retention.check.interval.ms'),
    flushCheckMs: config.get('log.flush.scheduler.interval.ms'),
    recoveryPointCheckpointMs: config.get('log.flush.offset.checkpoint.interval.ms'),
    logStartOffsetCheckpointMs: config.get('log.flush.start.offset.checkpoint.interval.ms'),
    producerExpirationCheckMs: config.get('producer.id.expiration.check.interval.ms'),
    highWatermarkCheckpointMs: config.get('replica.high.watermark.checkpoint.interval.ms'),
  };
}

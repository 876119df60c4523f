import type { LogCleaner } from '../backend/log/compaction/log-cleaner.ts';
import type { LogManager } from '../backend/log/log-manager.ts';
import type { PartitionLog } from '../backend/log/partition-log.ts';
import type { PayloadStores } from '../backend/payload/stores/payload-stores.ts';
import type { TieredStorage } from '../backend/payload/tiers/tiered-storage.ts';
import { isCordoned, type KafabricConfig } from '../config/index.ts';
import { arenaStats } from '../native/arena.ts';
import type { Store } from '../native/store.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger, LoggerLevels } from '../util/logger.ts';
import { takeAll } from '../util/shutdown-steps.ts';
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
import { makeMoves, moveThreads } from './log-dir-moves.ts';
import type { ClusterMetadata } from './metadata/cluster-metadata.ts';
import { ResourceType } from './metadata/state.ts';
import { randomUuid } from './metadata/topic-id.ts';
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
import { findRemovedSpace, prepareToWrite } from './storage/preparation.ts';
import { openStorage, type Storage, type StorageOptions } from './storage/storage.ts';
import { ClientTelemetry } from './telemetry/client-telemetry.ts';
import { transactionConfig } from './transactions/config.ts';
import { TransactionCoordinator } from './transactions/coordinator.ts';
import { PartitionMarkers } from './transactions/partition-markers.ts';
import { PartitionTransactionLog } from './transactions/partition-transaction-log.ts';
import type { TransactionPartitions } from './transactions/ports.ts';

export interface EmbeddedBrokerOptions extends StorageOptions {
  /** The levels of `logger` and its children, for those who alter them. */
  readonly loggers?: LoggerLevels;
}

/** Answers to fetches may take arena memory while no more than this share of it is in use: the rest is for what is produced. */
const FETCH_MEMORY_SHARE = 0.5;
/** The same for what direct clients put. */
const PUT_MEMORY_SHARE = 0.75;
const FETCH_SESSION_LIMITS = { evictionMs: 120_000, maxPartitions: 500_000 };

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
  readonly #storage: Storage;
  readonly #logger: Logger;
  /** The values that a group has of its own, by key. */
  readonly #groupConfigs = (groupId: string) => this.metadata.state.configs(ResourceType.GROUP, groupId);

  private constructor(options: EmbeddedBrokerOptions, storage: Storage) {
    const { store, logs, tiers, stores, metadata } = storage;
    const { config, clock } = options;
    const loggerOf = (component: string) => options.logger.child({ component });
    this.#storage = storage;
    this.#logger = options.logger;
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
      ...{ logs, files: store, tiers, stores, config: metadata.config, clock },
      logger: loggerOf('partitions'),
    });
    this.moves = makeMoves({ ...storage, options, partitions: this.partitions, logger: loggerOf('moves') });
    this.producerIds = new ProducerIds(() => metadata.allocateProducerIds(), loggerOf('transactions'));
    const memory = new MemoryBudget(() => memoryInUse(store), FETCH_MEMORY_SHARE, clock);
    this.fetches = new FetchService({ maxBytes: config.get('fetch.max.bytes') }, memory, clock);
    this.direct = this.#makeDirect(options, memory);
    const slots = config.get('max.incremental.fetch.session.cache.slots');
    this.fetchSessions = new FetchSessions({ slots, ...FETCH_SESSION_LIMITS }, clock);
    this.sharing = openSharing({
      ...{ config, clock, groupConfigs: this.#groupConfigs },
      logger: loggerOf('share'),
      partitions: this.partitions,
      fetches: this.fetches,
      topic: this.#coordinatorTopic(SHARE_STATE_TOPIC),
    });
    this.groups = this.#makeGroups(options);
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
    const { config, logger } = options;
    const storage = await openStorage(options, {
      copyThreads: copyThreads(config),
      beforeWriting: (store, logs) => findRemovedSpace(store, logs, config),
    });
    let broker: EmbeddedBroker | null = null;
    try {
      await prepareToWrite(storage, config, logger);
      broker = new EmbeddedBroker(options, storage);
      await broker.#start();
      return broker;
    } catch (error) {
      await (broker ?? storage).close();
      throw error;
    }
  }

  #makeDirect(
    { config, clock, logger, storeAccess }: EmbeddedBrokerOptions,
    reads: MemoryBudget,
  ): DirectService {
    const { store, partitions } = this;
    return new DirectService({
      ...{ config, partitions, clock },
      memory: { reads, writes: new MemoryBudget(() => memoryInUse(store), PUT_MEMORY_SHARE, clock) },
      fabric: storeAccess?.fabric,
      logger: logger.child({ component: 'direct' }),
    });
  }

  #makeGroups({ config, clock, logger }: EmbeddedBrokerOptions): GroupCoordinator {
    const { metadata, partitions, sharing } = this;
    const configNow = () => metadata.config;
    return new GroupCoordinator({
      clock,
      config: groupConfig(config),
      logger: logger.child({ component: 'groups' }),
      log: new PartitionOffsetsLog(partitions, clock),
      topic: this.#coordinatorTopic(OFFSETS_TOPIC),
      consumer: consumerConfig(configNow, this.#groupConfigs),
      streams: streamsConfig(configNow, this.#groupConfigs),
      topics: new MetadataTopics(metadata),
      createTopics: (topics) => this.topics.createTopics(topics),
      share: {
        config: shareGroupConfig(configNow, this.#groupConfigs),
        states: sharing.states,
        endOffset: (topicId, partition) => partitions.findById(topicId, partition)?.highWatermark ?? null,
        forget: (groupId, topicIds) => sharing.service.forget(groupId, topicIds),
      },
      randomId: () => crypto.randomUUID(),
    });
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
    await partitions.open(
      metadata.topics(),
      (topic) => metadata.topicConfig(topic),
      (topic) => metadata.state.firstLeaderEpoch(topic) > 0,
    );
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
    this.logs.onOffline = (directory, logs) => {
      if (logs.some(({ topic }) => topic === METADATA_TOPIC))
        this.#logger.error(
          { directory },
          'the cluster’s metadata is in it: the gateway is not ready, and no topic or setting can be changed, until it is started again with that directory in order',
        );
      this.#resign(logs);
    };
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

  /** Flushes and marks the directories as cleanly closed. Requests must have ended. What cannot be closed keeps nothing else from it: see `takeAll`. */
  async close(): Promise<void> {
    this.stores.leave();
    await takeAll(this.#logger, [
      () => this.moves.stop(),
      () => this.direct.close(),
      async () => {
        this.transactions.close();
        this.groups.close();
        this.sharing.close();
        await this.metadata.close();
      },
      () => this.cleaner.stop(),
      () => this.#drainMemory(),
      () => this.tiers.stop(),
      () => this.stores.stop(),
      () => this.partitions.close(),
      () => this.#storage.close(),
      async () => this.direct.takeBack(),
    ]);
  }

  async #drainMemory(): Promise<void> {
    if (!this.tiers.hasPayloadInMemory) return;
    await this.partitions.completePayload();
    await this.tiers.drain();
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

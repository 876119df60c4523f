import { type KafabricConfig, TopicConfig } from '../../config/index.ts';
import { speaksTls } from '../../config/listeners.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { Logger } from '../../util/logger.ts';
import { type SupportedFeature, supportedFeatures } from './features.ts';
import { KeptRecords } from './kept-records.ts';
import type { MetadataLog } from './metadata-log.ts';
import {
  decodeMetadataRecord,
  encodeMetadataRecord,
  type MetadataRecord,
  metadataRecord,
} from './records.ts';
import { MetadataState, type PartitionMetadata, ResourceType, type Topic } from './state.ts';

/** Is told of changes after they are durable, one change at a time and in order. Must not start changes itself. */
export interface MetadataListener {
  /** Resolves when the partitions can serve; the creation is answered after that, or undone if it rejects. */
  partitionsCreated?(
    topic: Topic,
    partitions: readonly PartitionMetadata[],
    config: TopicConfig,
  ): Promise<void>;
  topicDeleted?(topic: Topic): Promise<void>;
  topicConfigChanged?(topic: Topic, config: TopicConfig): void;
  brokerConfigChanged?(config: KafabricConfig): void;
  quotasChanged?(): void;
  clientMetricsChanged?(): void;
}

export interface BrokerEndpoint {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

export interface ClusterMetadataOptions {
  readonly log: MetadataLog;
  readonly config: KafabricConfig;
  readonly clusterId: string;
  /** What clients are told to connect to, one for each listener. */
  readonly endpoints: readonly BrokerEndpoint[];
  /** The ids of the log directories, of meta.properties. */
  readonly directories: readonly Uuid[];
  readonly randomUuid: () => Uuid;
  readonly logger: Logger;
}

/** What a change consists of. */
export interface Change<T> {
  readonly records: readonly MetadataRecord[];
  readonly result: T;
  /** Runs when the records are durable and applied. */
  readonly applied?: () => Promise<void>;
}

export interface ProducerIdBlock {
  readonly first: bigint;
  readonly size: number;
}

const PRODUCER_ID_BLOCK_SIZE = 1000;
const RECORDS_PER_APPEND_MAX = 1000;
const PRODUCER_ID_MAX = 2n ** 63n - 1n;
/** Kafka's numbers. */
const PLAINTEXT_PROTOCOL = 0;
const SSL_PROTOCOL = 1;

/**
 * The cluster's topics, configurations, features and producer ids: Kafka's KRaft records in `__cluster_metadata-0`,
 * replayed at start. Changes run one after the other; everybody reads what is durable.
 */
export class ClusterMetadata {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly #options: ClusterMetadataOptions;
  readonly #state = new MetadataState();
  readonly #kept = new KeptRecords();
  readonly #listeners: MetadataListener[] = [];
  readonly #topicConfigs = new Map<string, TopicConfig>();
  #config: KafabricConfig;
  #brokerEpoch = -1n;
  #lastChange: Promise<unknown> = Promise.resolve();
  /** Ids of topics to which the running change adds partitions that cannot serve yet. */
  readonly #opening = new Set<Uuid>();
  #closed = false;

  private constructor(options: ClusterMetadataOptions) {
    this.#options = options;
    this.#config = options.config;
    this.clusterId = options.clusterId;
    this.nodeId = options.config.resolved.nodeId;
  }

  /** Replays the log, registers this broker, and gives every partition a new leader epoch. */
  static async open(options: ClusterMetadataOptions): Promise<ClusterMetadata> {
    const metadata = new ClusterMetadata(options);
    await metadata.#replay();
    await metadata.#appendInParts(metadata.#startRecords());
    await metadata.#snapshotIfDue();
    metadata.refreshConfig();
    return metadata;
  }

  /** The durable state. Read only: changes go through `change`. */
  get state(): MetadataState {
    return this.#state;
  }

  /** The broker's configuration with the dynamic settings. */
  get config(): KafabricConfig {
    return this.#config;
  }

  /** The offset of this start's registration record. */
  get brokerEpoch(): bigint {
    return this.#brokerEpoch;
  }

  /** Rises with every change: the offset behind the last record. */
  get version(): bigint {
    return this.#options.log.endOffset;
  }

  /** The metadata log as its quorum of one. */
  get quorum(): { readonly leaderEpoch: number; readonly endOffset: bigint } {
    const { leaderEpoch, endOffset } = this.#options.log;
    return { leaderEpoch, endOffset };
  }

  get finalizedFeatures(): ReadonlyMap<string, number> {
    return this.#state.features;
  }

  get supportedFeatures(): readonly SupportedFeature[] {
    return supportedFeatures;
  }

  topicByName(name: string): Topic | undefined {
    return this.#state.topicByName(name);
  }

  topicById(id: Uuid): Topic | undefined {
    return this.#state.topicById(id);
  }

  topics(): IterableIterator<Topic> {
    return this.#state.topics();
  }

  /** The effective configuration of a topic; that of the broker's defaults for an unknown one. */
  topicConfig(name: string): TopicConfig {
    let config = this.#topicConfigs.get(name);
    if (config === undefined) {
      config = new TopicConfig(this.#config, this.#state.configs(ResourceType.TOPIC, name));
      if (this.#state.topicByName(name) !== undefined) this.#topicConfigs.set(name, config);
    }
    return config;
  }

  addListener(listener: MetadataListener): void {
    this.#listeners.push(listener);
  }

  /** Notes that a partition is in another log directory now, if it is still there. */
  async assignDirectory(topic: string, partition: number, directory: Uuid): Promise<void> {
    await this.change((state) => {
      const { id: topicId, partitions } = state.topicByName(topic) ?? { id: '', partitions: [] };
      const before = partitions[partition];
      const isKnown = before === undefined || before.directories[0] === directory;
      const directories = [directory];
      return {
        records: isKnown
          ? []
          : [metadataRecord('partitionChange', { topicId, partitionId: partition, directories })],
        result: null,
      };
    });
  }

  /** A block of producer ids that nobody else gets, also after a crash. */
  allocateProducerIds(): Promise<ProducerIdBlock> {
    return this.change((state) => {
      const first = state.nextProducerId;
      const nextProducerId = first + BigInt(PRODUCER_ID_BLOCK_SIZE);
      if (nextProducerId > PRODUCER_ID_MAX) {
        throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, 'Exhausted all producer ids.');
      }
      return {
        records: [
          metadataRecord('producerIds', {
            brokerId: this.nodeId,
            brokerEpoch: this.#brokerEpoch,
            nextProducerId,
          }),
        ],
        result: { first, size: PRODUCER_ID_BLOCK_SIZE },
      };
    });
  }

  /**
   * Runs one change when those before it are done: plans it on the current state, makes its records durable, applies
   * them, and runs its effect. Rejects with the planner's error, which changes nothing.
   * @throws ApiError KAFKA_STORAGE_ERROR if the records cannot be written
   */
  change<T>(plan: (state: MetadataState) => Change<T>): Promise<T> {
    const result = this.#lastChange.then(async () => {
      if (this.#closed) throw new ApiError(ErrorCode.BROKER_NOT_AVAILABLE, 'The broker is shutting down.');
      const change = plan(this.#state);
      await this.#commit(change.records);
      try {
        await change.applied?.();
      } finally {
        this.#opening.clear();
      }
      await this.#snapshotIfDue();
      return change.result;
    });
    this.#lastChange = result.catch(() => undefined);
    return result;
  }

  /** Resolves when every partition of the topic that is in the state can serve, or has failed to. */
  async whenOpen(name: string): Promise<void> {
    for (;;) {
      const topic = this.#state.topicByName(name);
      if (topic === undefined || !this.#opening.has(topic.id)) return;
      await this.#lastChange;
    }
  }

  /** Resolves when the change that is running is done; those that wait, and later ones, are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#lastChange;
  }

  /** For the effect of a change: its own follow-up records. */
  async followUp(records: readonly MetadataRecord[]): Promise<void> {
    await this.#commit(records);
  }

  async notifyPartitionsCreated(topic: Topic, partitions: readonly PartitionMetadata[]): Promise<void> {
    const config = this.topicConfig(topic.name);
    for (const listener of this.#listeners) await listener.partitionsCreated?.(topic, partitions, config);
    this.#opening.delete(topic.id);
  }

  /** A listener that fails leaves files behind, which the next start removes. */
  async notifyTopicDeleted(topic: Topic): Promise<void> {
    this.#topicConfigs.delete(topic.name);
    for (const listener of this.#listeners) {
      try {
        await listener.topicDeleted?.(topic);
      } catch (error) {
        this.#options.logger.error(
          { error, topic: topic.name },
          'could not remove everything of a deleted topic',
        );
      }
    }
  }

  notifyTopicConfigChanged(name: string): void {
    this.#topicConfigs.delete(name);
    const topic = this.#state.topicByName(name);
    if (topic === undefined) return;
    const config = this.topicConfig(name);
    for (const listener of this.#listeners) listener.topicConfigChanged?.(topic, config);
  }

  notifyQuotasChanged(): void {
    for (const listener of this.#listeners) listener.quotasChanged?.();
  }

  notifyClientMetricsChanged(): void {
    for (const listener of this.#listeners) listener.clientMetricsChanged?.();
  }

  /** Takes over the dynamic broker settings of the state; topics get their defaults from them. */
  refreshConfig(): void {
    this.#config = this.#options.config.withDynamic(
      this.#state.configs(ResourceType.BROKER, ''),
      this.#state.configs(ResourceType.BROKER, String(this.nodeId)),
    );
    this.#topicConfigs.clear();
    for (const listener of this.#listeners) listener.brokerConfigChanged?.(this.#config);
    for (const topic of this.#state.topics()) this.notifyTopicConfigChanged(topic.name);
  }

  async #replay(): Promise<void> {
    let index = 0;
    await this.#options.log.replay((value) => {
      try {
        const record = decodeMetadataRecord(value);
        if (record !== null) this.#state.apply(record);
        else this.#kept.take(value);
      } catch (error) {
        throw new Error(
          `record ${index} of the cluster metadata cannot be used: ${(error as Error).message}`,
          {
            cause: error,
          },
        );
      }
      index++;
    });
    this.#options.logger.info(
      { records: index, topics: this.#state.topicCount },
      'replayed the cluster metadata',
    );
  }

  #startRecords(): MetadataRecord[] {
    const records = this.#featureRecords();
    this.#brokerEpoch = this.#options.log.endOffset + BigInt(records.length);
    records.push(this.#registration());
    for (const { id, partitions } of this.#state.topics()) {
      for (const partition of partitions) records.push(this.#newLeaderEpoch(id, partition));
    }
    return records;
  }

  /** Also makes what Apache Kafka left of a partition fit for the only replica. */
  #newLeaderEpoch(topicId: Uuid, { index, isr, hasEligibleLeaders }: PartitionMetadata): MetadataRecord {
    const { nodeId } = this;
    return metadataRecord('partitionChange', {
      partitionId: index,
      topicId,
      leader: nodeId,
      isr: isr.includes(nodeId) ? null : [nodeId],
      eligibleLeaderReplicas: hasEligibleLeaders ? [] : null,
      lastKnownElr: hasEligibleLeaders ? [] : null,
    });
  }

  /** Raises every feature to what is served; a log that Kafka wrote may also have some that are not. */
  #featureRecords(): MetadataRecord[] {
    const supported = new Map(supportedFeatures.map(({ name, maxLevel }) => [name, maxLevel]));
    const names = new Set([...supported.keys(), ...this.#state.features.keys()]);
    return [...names]
      .map((name) => ({ name, featureLevel: supported.get(name) ?? 0 }))
      .filter(({ name, featureLevel }) => (this.#state.features.get(name) ?? 0) !== featureLevel)
      .map((level) => metadataRecord('featureLevel', level));
  }

  #registration(): MetadataRecord {
    const { endpoints, directories, randomUuid, config } = this.#options;
    const encrypted = new Set(config.resolved.listeners.filter(speaksTls).map(({ name }) => name));
    return metadataRecord('registerBroker', {
      brokerId: this.nodeId,
      brokerEpoch: this.#brokerEpoch,
      incarnationId: randomUuid(),
      endPoints: endpoints.map(({ name, host, port }) => ({
        name,
        host,
        port,
        securityProtocol: encrypted.has(name) ? SSL_PROTOCOL : PLAINTEXT_PROTOCOL,
      })),
      features: supportedFeatures.map(({ name, minLevel, maxLevel }) => ({
        name,
        minSupportedVersion: minLevel,
        maxSupportedVersion: maxLevel,
      })),
      rack: config.get('broker.rack'),
      fenced: false,
      logDirs: [...directories],
    });
  }

  async #appendInParts(records: readonly MetadataRecord[]): Promise<void> {
    for (let start = 0; start < records.length; start += RECORDS_PER_APPEND_MAX) {
      await this.#commit(records.slice(start, start + RECORDS_PER_APPEND_MAX));
    }
  }

  /** A snapshot that fails is no harm: the log only stays longer. */
  async #snapshotIfDue(): Promise<void> {
    const { log, logger, config } = this.#options;
    if (log.bytesSinceSnapshot < config.get('metadata.log.max.record.bytes.between.snapshots')) return;
    try {
      const values = [...this.#state.records()].map(encodeMetadataRecord);
      await log.snapshot([...values, ...this.#kept.values()]);
      logger.info({ endOffset: log.endOffset }, 'wrote a snapshot of the cluster metadata');
    } catch (error) {
      logger.warn({ error }, 'could not write a snapshot of the cluster metadata');
    }
  }

  async #commit(records: readonly MetadataRecord[]): Promise<void> {
    if (records.length === 0) return;
    try {
      await this.#options.log.append(records.map(encodeMetadataRecord));
    } catch (error) {
      this.#options.logger.error({ error }, 'could not write the cluster metadata');
      throw new ApiError(
        ErrorCode.KAFKA_STORAGE_ERROR,
        `The cluster metadata could not be written: ${(error as Error).message}`,
      );
    }
    for (const record of records) {
      this.#state.apply(record);
      if (record.kind === 'partition') this.#opening.add(record.value.topicId);
    }
  }
}

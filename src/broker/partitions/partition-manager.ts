import { partitionKey } from '../../backend/log/checkpoint-files.ts';
import type { LogManager } from '../../backend/log/log-manager.ts';
import type { PartitionLog } from '../../backend/log/partition-log.ts';
import { forEachParallel } from '../../backend/log/serial.ts';
import { payloadDirectory } from '../../backend/payload/home-places.ts';
import { OpenFiles } from '../../backend/payload/open-files.ts';
import { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import { PayloadUnreachable } from '../../backend/payload/payload-recovery.ts';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import type { TieredStorage } from '../../backend/payload/tiers/tiered-storage.ts';
import type { KafabricConfig, TopicConfig } from '../../config/index.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { LaterOpens } from './later-opens.ts';
import { Partition, type PartitionMetrics } from './partition.ts';
import { cleanPayload, enforcePayloadRetention } from './payload-retention.ts';
import { ReferencesOfLog, recoverPayloads } from './recovery.ts';
import { payloadOptionsOf, TopicSettings } from './topic-settings.ts';

/** Payload files that are kept open beyond those being written. */
const OPEN_PAYLOAD_FILES_MAX = 256;

/** Topics, and partitions of one topic, that are opened at the same time at the start. */
const PARALLEL_OPENS = 8;

/** Partitions of one topic that are made or removed at the same time: their flushes share the file system's commits. */
const PARALLEL_CHANGES = 32;

export interface PartitionDescription {
  readonly index: number;
  readonly leaderEpoch: number;
}

/** A topic as the metadata has it. */
export interface TopicDescription {
  readonly name: string;
  readonly id: Uuid;
  readonly partitions: readonly PartitionDescription[];
}

export interface PartitionManagerOptions {
  logs: LogManager;
  /** The native store. */
  files: PayloadFiles;
  /** Where payload lies. */
  tiers: TieredStorage;
  /** Where new payload goes instead; null: nowhere. */
  stores: PayloadStores | null;
  config: KafabricConfig;
  clock: Clock;
  logger: Logger;
}

interface OpenTopic {
  readonly name: string;
  readonly id: Uuid;
  readonly partitions: Map<number, Partition>;
}

/**
 * The partitions that this broker serves. It follows the cluster metadata: it is a listener of its changes, and `open` catches up
 * with what it says at the start.
 */
export class PartitionManager {
  readonly metrics: PartitionMetrics = {
    divertedRecords: 0,
    divertedBytes: 0,
    payloadErrors: 0,
    unreachablePayloads: 0,
    cleanedSegments: 0,
    cleanedBytes: 0,
  };
  readonly #options: PartitionManagerOptions;
  readonly #openFiles: OpenFiles;
  readonly #byName = new Map<string, OpenTopic>();
  readonly #byId = new Map<Uuid, OpenTopic>();
  /** Partitions that the metadata has and that could not be opened. */
  readonly #offline = new Set<string>();
  /** Those of them whose payload is where nobody answers now. */
  readonly #later: LaterOpens;
  /** Partitions that the metadata has, and that are being opened for the first time. */
  readonly #opening = new Set<string>();
  #config: KafabricConfig;
  readonly #settings = new TopicSettings();
  #timer: Timer | null = null;

  constructor(options: PartitionManagerOptions) {
    this.#options = options;
    this.#config = options.config;
    const { files, stores, tiers } = options;
    this.#openFiles = new OpenFiles(tiers.over(stores?.over(files) ?? files), OPEN_PAYLOAD_FILES_MAX);
    this.#later = new LaterOpens(options.clock);
  }

  /**
   * Opens the partitions of all topics, and removes logs that belong to none: a crash interrupted their deletion. Where there is no topic at all, only
   * logs of which `wasDeleted` says that the metadata knows it.
   */
  async open(
    topics: Iterable<TopicDescription>,
    configOf: (topic: string) => TopicConfig,
    wasDeleted: (topic: string) => boolean = () => false,
  ): Promise<void> {
    const known = new Map<string, TopicDescription>();
    for (const topic of topics) known.set(topic.name, topic);
    for (const log of [...this.#options.logs.logs()]) {
      const topic = known.get(log.topic);
      // One from before topic ids is the topic's of that name, if there is one.
      const gone = log.topicId !== null && topic?.id !== log.topicId;
      if (gone && !isOwnedElsewhere(log) && (known.size > 0 || wasDeleted(log.topic))) {
        this.#options.logger.warn(
          { topic: log.topic, partition: log.partition },
          'Removing the log of a deleted topic',
        );
        await this.#removeLeft(log);
      }
    }
    for (const { name, id } of known.values()) this.#topic(name, id);
    if (known.size > 0) await this.#options.tiers.removeDeleted((id) => this.#byId.has(id));
    await forEachParallel([...known.values()], PARALLEL_OPENS, async (topic) => {
      const config = configOf(topic.name);
      await forEachParallel(topic.partitions, PARALLEL_OPENS, (partition) =>
        this.#reopen(topic, partition, () => configOf(topic.name), config),
      );
    });
    this.#options.logs.compared();
  }

  /** One that cannot be removed keeps nobody from the others. The next start tries again. */
  async #removeLeft(log: PartitionLog): Promise<void> {
    try {
      await this.#options.logs.delete(log.topic, log.partition, log.topicId);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'The log of a deleted topic could not be removed');
    }
  }

  /** Opens a partition that was there before. One that cannot be opened is left offline; the others serve. */
  async #reopen(
    topic: TopicDescription,
    partition: PartitionDescription,
    configNow: () => TopicConfig,
    config: TopicConfig,
  ): Promise<void> {
    const { logs, logger } = this.#options;
    const fields = { topic: topic.name, partition: partition.index };
    const log = logs.get(topic.name, partition.index);
    const found = log !== undefined && (log.topicId === null || log.topicId === topic.id);
    if (!found && logs.directories.some(({ error }) => error !== null)) {
      logger.error(fields, 'A partition is offline: its log may be in a directory that cannot be used');
      this.#offline.add(`${topic.name}-${partition.index}`);
      return;
    }
    try {
      await this.partitionsCreated(topic, [partition], config);
    } catch (error) {
      this.#offline.add(`${topic.name}-${partition.index}`);
      if (error instanceof PayloadUnreachable) {
        logger.error(
          { ...fields, reason: error.message },
          'A partition is offline until its payload can be read',
        );
        this.#later.add(`${topic.name}-${partition.index}`, () =>
          this.#openLater(topic, partition, configNow),
        );
      } else logger.error({ ...fields, err: error }, 'A partition could not be opened');
    }
  }

  /** Whether the partition is settled, and need not be tried again. */
  async #openLater(
    topic: TopicDescription,
    partition: PartitionDescription,
    configNow: () => TopicConfig,
  ): Promise<boolean> {
    const { logs, logger } = this.#options;
    if (!this.#byId.has(topic.id) || logs.get(topic.name, partition.index) === undefined) return true;
    const fields = { topic: topic.name, partition: partition.index };
    const config = configNow();
    try {
      const opened = await this.#create(topic, partition, config);
      const served = this.#byId.get(topic.id);
      if (served === undefined) opened.abandon();
      else served.partitions.set(partition.index, opened);
    } catch (error) {
      if (error instanceof PayloadUnreachable) return false;
      logger.error({ ...fields, err: error }, 'A partition could not be opened');
      return true;
    }
    this.#offline.delete(`${topic.name}-${partition.index}`);
    // That may have taken long.
    if (configNow() !== config) this.topicConfigChanged(topic, configNow());
    logger.info(fields, 'A partition is online: its payload can be read');
    return true;
  }

  /** The partition, or null if there is none. */
  find(topic: string, index: number): Partition | null {
    return this.#byName.get(topic)?.partitions.get(index) ?? null;
  }

  findById(topicId: Uuid, index: number): Partition | null {
    return this.#byId.get(topicId)?.partitions.get(index) ?? null;
  }

  /** Whether the log of a partition could not be opened, or has failed. Not of one that is still being made. */
  isOffline(topic: string, index: number): boolean {
    const partition = this.find(topic, index);
    return partition === null ? this.#offline.has(`${topic}-${index}`) : partition.log.isClosed;
  }

  /** The ErrorCode with which to answer for a partition that was not found. */
  errorOfMissing(topic: string, index: number): number {
    const key = `${topic}-${index}`;
    if (this.#offline.has(key)) return ErrorCode.KAFKA_STORAGE_ERROR;
    // As Kafka: clients that know it from the metadata try again.
    return this.#opening.has(key) ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  }

  errorOfMissingById(topicId: Uuid, index: number): number {
    const topic = this.#byId.get(topicId);
    return topic === undefined ? ErrorCode.UNKNOWN_TOPIC_ID : this.errorOfMissing(topic.name, index);
  }

  *all(): Iterable<Partition> {
    for (const topic of this.#byName.values()) yield* topic.partitions.values();
  }

  /** Rejects when some cannot be opened: they are offline until the next start, the others serve. */
  async partitionsCreated(
    { name, id }: Pick<TopicDescription, 'name' | 'id'>,
    partitions: TopicDescription['partitions'],
    config: TopicConfig,
  ): Promise<void> {
    const topic = this.#topic(name, id);
    const opened = new Map<number, Partition>();
    const keyOf = ({ index }: PartitionDescription) => `${name}-${index}`;
    for (const partition of partitions) this.#opening.add(keyOf(partition));
    try {
      await forEachParallel(partitions, PARALLEL_CHANGES, async (partition) => {
        opened.set(partition.index, await this.#create({ name, id }, partition, config));
      });
    } finally {
      for (const [index, partition] of opened) topic.partitions.set(index, partition);
      for (const partition of partitions) {
        this.#opening.delete(keyOf(partition));
        if (!opened.has(partition.index)) this.#offline.add(keyOf(partition));
      }
    }
  }

  async #create(
    { name, id }: Pick<TopicDescription, 'name' | 'id'>,
    { index, leaderEpoch }: PartitionDescription,
    config: TopicConfig,
  ): Promise<Partition> {
    const { log: logConfig } = this.#settings.of(name, config, this.#config);
    const log = await this.#options.logs.create(name, index, { topicId: id, config: logConfig });
    // One that was there already was opened before its topic's configuration was known.
    log.updateConfig(logConfig);
    log.becomeLeader(leaderEpoch);
    return this.#openPartition(log, id, config);
  }

  #topic(name: string, id: Uuid): OpenTopic {
    let topic = this.#byName.get(name);
    if (topic === undefined) {
      topic = { name, id, partitions: new Map() };
      this.#byName.set(name, topic);
      this.#byId.set(id, topic);
    }
    return topic;
  }

  async #openPartition(log: PartitionLog, topicId: Uuid, topicConfig: TopicConfig): Promise<Partition> {
    const { clock, tiers, stores } = this.#options;
    const { partition: config } = this.#settings.of(log.topic, topicConfig, this.#config);
    const logger = this.#options.logger;
    const directory = payloadDirectory(log.directory);
    const home = tiers.placesOf(log.topic, topicId, log.partition, directory);
    const payloads = new PartitionPayloads(
      log.directory,
      this.#openFiles,
      payloadOptionsOf(config),
      logger,
      stores?.placesOf(
        log.topic,
        topicId,
        log.partition,
        { directory, directoryId: this.#directoryIdOf(log) },
        home,
      ) ?? home,
    );
    await recoverPayloads(log, payloads, logger);
    const references = new ReferencesOfLog(log);
    home.opened?.(references);
    stores?.opened(log.topic, topicId, log.partition, references);
    // The only replica is in sync with itself: all that survived is visible.
    log.highWatermark = log.writtenEndOffset;
    return new Partition({ topicId, log, payloads, config, clock, logger, metrics: this.metrics });
  }

  #directoryIdOf(log: PartitionLog): string {
    const key = partitionKey(log.topic, log.partition);
    return this.#options.logs.directories.find(({ logs }) => logs.get(key) === log)?.id ?? '';
  }

  /** Also removes logs that were never served: those of a creation that failed, and of offline partitions. */
  async topicDeleted({ name, id, partitions }: TopicDescription): Promise<void> {
    const { logs } = this.#options;
    const topic = this.#byId.get(id);
    if (topic !== undefined) {
      this.#byName.delete(name);
      this.#byId.delete(id);
      for (const { index } of partitions) this.#offline.delete(`${name}-${index}`);
      for (const partition of topic.partitions.values()) await partition.close();
    }
    // One that is being opened now is closed again.
    await this.#later.forget(new Set(partitions.map(({ index }) => `${name}-${index}`)));
    const gone = Array.from(logs.logs()).filter((log) => log.topic === name && log.topicId === id);
    const failures: unknown[] = [];
    await forEachParallel(gone, PARALLEL_CHANGES, async ({ partition }) => {
      // One on a disk that has failed keeps nobody from the others. The next start removes it.
      await logs.delete(name, partition, id).catch((error: unknown) => failures.push(error));
      await this.#options.tiers.removePartition(name, id, partition);
      await this.#options.stores?.removePartition(name, id, partition);
    });
    if (failures.length > 0) throw failures[0];
  }

  topicConfigChanged({ name }: Pick<TopicDescription, 'name'>, config: TopicConfig): void {
    const topic = this.#byName.get(name);
    if (topic === undefined) return;
    const { log: logConfig, partition: partitionConfig } = this.#settings.of(name, config, this.#config);
    for (const partition of topic.partitions.values()) {
      partition.log.updateConfig(logConfig);
      partition.configure(partitionConfig);
    }
  }

  /** Topics are told one by one of what changes for them; see `topicConfigChanged`. */
  brokerConfigChanged(config: KafabricConfig): void {
    this.#config = config;
  }

  /** Applies retention to payload from time to time, until `close`. */
  startRetention(intervalMs: number): void {
    this.#timer = this.#options.clock.setTimer(intervalMs, () => {
      void this.#enforceRetention().finally(() => {
        if (this.#timer !== null) this.startRetention(intervalMs);
      });
    });
  }

  async #enforceRetention(): Promise<void> {
    for (const partition of this.all()) {
      try {
        await enforcePayloadRetention(partition, this.#options.clock.now());
        await cleanPayload(partition, this.#config.get('payload.cleaner.min.live.ratio'));
      } catch (error) {
        const fields = { topic: partition.topic, partition: partition.index, err: error };
        this.#options.logger.warn(
          fields,
          'Retention could not be applied to payload, or space not be given back',
        );
      }
    }
  }

  /** Ends the payload segments that are being written; resolves when they are complete, or could not be. Nothing may be appended meanwhile. */
  async completePayload(): Promise<void> {
    await Promise.all(
      Array.from(this.all(), ({ payloads }) => {
        payloads.endSegment();
        return payloads.settled();
      }),
    );
  }

  /** Partitions that could not be opened yet are not tried again. */
  stopOpening(): Promise<void> {
    return this.#later.stop();
  }

  /** Ends waiting fetches and completes the payload. The log manager is closed after it. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await this.stopOpening();
    await Promise.all(Array.from(this.all(), (partition) => partition.close()));
  }
}

/** The log of the cluster metadata is no topic. */
function isOwnedElsewhere(log: PartitionLog): boolean {
  return log.topic === '__cluster_metadata';
}

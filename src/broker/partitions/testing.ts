import assert from 'node:assert/strict';
import { LogManager } from '../../backend/log/log-manager.ts';
import type { FileSystem } from '../../backend/log/ports.ts';
import { storeFileSystem } from '../../backend/log/store-file-system.ts';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import { TieredStorage, type TieredStorageOptions } from '../../backend/payload/tiers/tiered-storage.ts';
import { type KafabricConfig, loadConfig, TopicConfig } from '../../config/index.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { MemoryPiece, type Piece } from '../../native/pieces.ts';
import { Store, type StoreOptions } from '../../native/store.ts';
import type { StoreFile } from '../../native/store-file.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { type FetchedPartition, FetchService } from './fetch-service.ts';
import type { FetchRequestPartition } from './fetch-session.ts';
import type { Isolation } from './fetch-wait.ts';
import { MemoryBudget } from './memory-budget.ts';
import { LogDirMoves } from './moves/log-dir-moves.ts';
import { PartitionManager, type TopicDescription } from './partition-manager.ts';
import { logConfigOf } from './topic-settings.ts';

const CONFIG_INPUT = { environment: {}, host: { isRoot: false, homeDirectory: '/nowhere' } };

/** A topic's configuration for tests: Kafka's keys and values. */
export function topicConfig(values: Record<string, string> = {}): TopicConfig {
  return new TopicConfig(brokerConfig(), new Map(Object.entries(values)));
}

function brokerConfig(): KafabricConfig {
  return loadConfig({ ...CONFIG_INPUT, overrides: ['log.dirs=/nowhere'] });
}

/** What a broker has below its handlers: logs, partitions and fetches over a directory, which can be left as a crash leaves it. */
export class TestBroker {
  readonly logs: LogManager;
  readonly partitions: PartitionManager;
  readonly tiers: TieredStorage;
  readonly fetches: FetchService;
  readonly store: Store;
  readonly stores: PayloadStores | null;
  readonly moves: LogDirMoves;
  readonly #locks: { release(): void }[];

  private constructor(parts: {
    store: Store;
    logs: LogManager;
    tiers: TieredStorage;
    locks: { release(): void }[];
    wrap: (store: Store) => PayloadFiles;
    stores: PayloadStores | null;
    fileSystem: FileSystem;
    mayCopy: () => boolean;
  }) {
    const { store, logs, tiers, locks, wrap, stores, fileSystem, mayCopy } = parts;
    this.stores = stores;
    this.store = store;
    this.logs = logs;
    this.tiers = tiers;
    this.#locks = locks;
    this.partitions = new PartitionManager({
      logs,
      files: wrap(store),
      tiers,
      stores,
      config: brokerConfig(),
      clock: systemClock,
      logger: silentLogger,
    });
    this.moves = new LogDirMoves({
      ...{ logs, fileSystem, mayCopy },
      clock: systemClock,
      logger: silentLogger,
      find: (topic, index) => this.partitions.find(topic, index),
      errorOfMissing: (topic, index) => this.partitions.errorOfMissing(topic, index),
      threads: 2,
      isCordoned: (path) => logs.isCordoned(path),
      spent: () => {},
      moved: async () => {},
    });
    const memory = new MemoryBudget(arenaStats, 0.75, systemClock);
    this.fetches = new FetchService({ maxBytes: 1 << 26 }, memory, systemClock);
  }

  static async start(
    directory: string,
    topics: readonly TopicDescription[],
    config: TopicConfig,
    wrap = (store: Store): PayloadFiles => store,
    options: StoreOptions & {
      tiers?: (store: Store) => Partial<TieredStorageOptions>;
      /** See LogManagerOptions. */
      beforeLoading?: () => Promise<void>;
      stores?: PayloadStores;
      /** Beside the first. */
      otherDirectories?: readonly string[];
      /** The file system of the logs, with faults. */
      faulty?: (fileSystem: FileSystem) => FileSystem;
      /** See LogDirMoves; always by default. */
      mayCopy?: () => boolean;
    } = {},
  ): Promise<TestBroker> {
    const store = new Store(options);
    const plain = storeFileSystem(store);
    const fileSystem = options.faulty?.(plain) ?? plain;
    const locks: { release(): void }[] = [];
    const lockDirectory = (path: string) => {
      const lock = fileSystem.lockDirectory(path);
      locks.push(lock);
      return lock;
    };
    const logs = new LogManager({
      fileSystem: { ...fileSystem, lockDirectory },
      clock: systemClock,
      logger: silentLogger,
      directories: [directory, ...(options.otherDirectories ?? [])],
      nodeId: 1,
      defaultConfig: logConfigOf(config),
      ...(options.beforeLoading && { beforeLoading: options.beforeLoading }),
    });
    await logs.open();
    const tiers = await TieredStorage.open({
      tiers: [],
      logDirectories: [directory],
      owner: { clusterId: logs.clusterId, nodeId: 1 },
      files: store,
      clock: systemClock,
      logger: silentLogger,
      settings: () => ({ threshold: 0.5, bytesPerSecond: -1 }),
      threads: 1,
      isBusy: () => false,
      ...options.tiers?.(store),
    });
    const { stores = null, mayCopy = () => true } = options;
    const broker = new TestBroker({ store, logs, tiers, locks, wrap, stores, fileSystem, mayCopy });
    await broker.partitions.open(topics, () => config);
    await broker.moves.resume();
    return broker;
  }

  async stop(): Promise<void> {
    await this.moves.stop();
    if (this.tiers.hasPayloadInMemory) {
      await this.partitions.completePayload();
      await this.tiers.drain();
    }
    await this.tiers.stop();
    await this.stores?.stop();
    await this.partitions.close();
    await this.stores?.close();
    this.tiers.close();
    await this.logs.close();
    await this.store.shutdown();
  }

  /** Leaves the files as they are, as a killed process does. `inMove`: in the middle of a step of a move that never ends. */
  async crash(inMove = false): Promise<void> {
    if (!inMove) await this.moves.stop();
    await this.partitions.stopOpening();
    await this.tiers.stop();
    await this.stores?.stop();
    await this.stores?.close();
    await this.store.shutdown();
    this.tiers.close();
    for (const lock of this.#locks) lock.release();
  }

  /** Fetches from one partition without waiting; `bytes` is what would go out. */
  async fetch(
    topic: string,
    partition: number,
    offset: bigint,
    { maxBytes = 1 << 26, maxWaitMs = 0, minBytes = 1, isolation = 'read_uncommitted' as Isolation } = {},
  ): Promise<{ result: FetchedPartition; bytes: Buffer }> {
    const request: FetchRequestPartition = {
      topic,
      partition,
      currentLeaderEpoch: -1,
      fetchOffset: offset,
      lastFetchedEpoch: -1,
      logStartOffset: -1n,
      maxBytes,
    };
    const target = { request, partition: this.partitions.find(topic, partition), errorCode: 0 };
    const parameters = { minBytes, maxBytes, maxWaitMs, isolation, onClosed: () => () => undefined };
    const [result] = await this.fetches.fetch([target], parameters);
    return { result: result!, bytes: await gather(result!.records) };
  }
}

/** The bytes of pieces as the network would send them; releases their memory. */
export async function gather(pieces: readonly Piece[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      parts.push(piece);
    } else if (piece instanceof MemoryPiece) {
      parts.push(piece.bytes().slice());
      piece.memory.release();
    } else {
      const memory = await (piece.file as StoreFile).read(piece.position, piece.byteLength);
      parts.push(memory.bytes().slice());
      memory.release();
    }
  }
  return Buffer.concat(parts);
}

/** Bytes as the network hands over a large frame; the caller releases them. */
export function inNativeMemory(bytes: Uint8Array): NativeMemory {
  const memory = NativeMemory.allocate(bytes.byteLength);
  assert.ok(memory !== null);
  memory.bytes().set(bytes);
  return memory;
}

/** What consumers see of batches that only the broker may change: everything but base offset and leader epoch. */
export function withoutPlace(batch: Uint8Array): Buffer {
  const copy = Buffer.from(batch);
  copy.fill(0, 0, 8);
  copy.fill(0, 12, 16);
  return copy;
}

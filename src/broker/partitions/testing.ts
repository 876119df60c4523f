import assert from 'node:assert/strict';
import { LogManager } from '../../backend/log/log-manager.ts';
import { storeFileSystem } from '../../backend/log/store-file-system.ts';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import { type KafabricConfig, loadConfig, TopicConfig } from '../../config/index.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { MemoryPiece, type Piece } from '../../native/pieces.ts';
import { Store, type StoreFile, type StoreOptions } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { type FetchedPartition, FetchService } from './fetch-service.ts';
import type { FetchRequestPartition } from './fetch-session.ts';
import type { Isolation } from './fetch-wait.ts';
import { MemoryBudget } from './memory-budget.ts';
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
  readonly fetches: FetchService;
  readonly store: Store;
  readonly #locks: { release(): void }[] = [];

  private constructor(
    directory: string,
    wrap: (store: Store) => PayloadFiles,
    config: TopicConfig,
    options: StoreOptions,
  ) {
    this.store = new Store(options);
    const fileSystem = storeFileSystem(this.store);
    const lockDirectory = (path: string) => {
      const lock = fileSystem.lockDirectory(path);
      this.#locks.push(lock);
      return lock;
    };
    this.logs = new LogManager({
      fileSystem: { ...fileSystem, lockDirectory },
      clock: systemClock,
      logger: silentLogger,
      directories: [directory],
      nodeId: 1,
      defaultConfig: logConfigOf(config),
    });
    this.partitions = new PartitionManager({
      logs: this.logs,
      files: wrap(this.store),
      config: brokerConfig(),
      clock: systemClock,
      logger: silentLogger,
    });
    const memory = new MemoryBudget(arenaStats, 0.75, systemClock);
    this.fetches = new FetchService({ maxBytes: 1 << 26 }, memory, systemClock);
  }

  static async start(
    directory: string,
    topics: readonly TopicDescription[],
    config: TopicConfig,
    wrap = (store: Store): PayloadFiles => store,
    options: StoreOptions = {},
  ): Promise<TestBroker> {
    const broker = new TestBroker(directory, wrap, config, options);
    await broker.logs.open();
    await broker.partitions.open(topics, () => config);
    return broker;
  }

  async stop(): Promise<void> {
    await this.partitions.close();
    await this.logs.close();
    await this.store.shutdown();
  }

  /** Leaves the files as they are, as a killed process does. */
  async crash(): Promise<void> {
    await this.store.shutdown();
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

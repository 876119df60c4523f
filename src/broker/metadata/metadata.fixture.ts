import { type ConfigInput, loadConfig } from '../../config/index.ts';
import { silentLogger } from '../../util/logger.ts';
import { ClusterMetadata, type MetadataListener } from './cluster-metadata.ts';
import type { MetadataLog } from './metadata-log.ts';
import { randomUuid } from './topic-id.ts';
import { TopicManager } from './topic-manager.ts';

/** A metadata log in memory that outlives the broker, for tests. */
export class MemoryMetadataLog implements MetadataLog {
  readonly values: Uint8Array[] = [];
  /** The error of the next append. */
  failure: Error | null = null;

  snapshots = 0;
  readonly leaderEpoch = 1;
  bytesSinceSnapshot = 0;
  #before = 0n;

  get endOffset(): bigint {
    return this.#before + BigInt(this.values.length);
  }

  async append(values: readonly Uint8Array[]): Promise<void> {
    await Promise.resolve();
    const failure = this.failure;
    this.failure = null;
    if (failure !== null) throw failure;
    this.values.push(...values);
    for (const value of values) this.bytesSinceSnapshot += value.byteLength;
  }

  async snapshot(values: readonly Uint8Array[]): Promise<void> {
    this.#before = this.endOffset - BigInt(values.length);
    this.values.splice(0, this.values.length, ...values);
    this.bytesSinceSnapshot = 0;
    this.snapshots++;
  }

  async replay(sink: (value: Uint8Array) => void): Promise<void> {
    for (const value of this.values) sink(value);
  }
}

/** A seeded source of numbers in [0, 1): the same seed, the same run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface TestBroker {
  readonly metadata: ClusterMetadata;
  readonly topics: TopicManager;
}

/** A broker's metadata over a log, as it is after a start. */
export async function startBroker(
  log: MetadataLog,
  options: { overrides?: string[]; seed?: number; listener?: MetadataListener } = {},
): Promise<TestBroker> {
  const input: ConfigInput = {
    environment: {},
    overrides: ['log.dirs=/nowhere', ...(options.overrides ?? [])],
    host: { isRoot: false, homeDirectory: '/nowhere' },
  };
  const random = seededRandom(options.seed ?? 1);
  const uuid = () =>
    randomUuid((size) => Uint8Array.from({ length: size }, () => Math.floor(random() * 256)));
  const metadata = await ClusterMetadata.open({
    log,
    config: loadConfig(input),
    clusterId: 'kVdgkfw_SdyUA3zHhc8yFA',
    endpoints: [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }],
    directories: [],
    randomUuid: uuid,
    logger: silentLogger,
  });
  if (options.listener !== undefined) metadata.addListener(options.listener);
  return { metadata, topics: new TopicManager(metadata, uuid) };
}

/** A topic of a CreateTopics request. */
export function newTopic(name: string, numPartitions = 1, configs: Record<string, string> = {}) {
  return {
    name,
    numPartitions,
    replicationFactor: 1,
    assignments: [],
    configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
  };
}

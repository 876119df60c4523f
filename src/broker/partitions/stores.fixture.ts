import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PayloadStores, type PayloadStoresOptions } from '../../backend/payload/stores/payload-stores.ts';
import { StoreDirectory, type Surroundings } from '../../backend/payload/stores/process/store-directory.ts';
import type { StoreServer, StoreServerOptions } from '../../backend/payload/stores/process/store-server.ts';
import type { ReplicatedSegment } from '../../backend/payload/stores/replicated-segment.ts';
import { fabricOf, SECRET, startServer } from '../../backend/payload/stores/testing.ts';
import { arenaStats } from '../../native/arena.ts';
import { Store } from '../../native/store.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { filesBelow } from '../../util/testing/files-below.ts';
import { inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

export const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAABQ';
export const TOPIC = { name: 't', id: TOPIC_ID, partitions: [{ index: 0, leaderEpoch: 0 }] };
/** Three batches fill a segment. */
export const BATCH_BYTES = 300_000;
export const SETTINGS = { 'payload.min.bytes': '1000', 'payload.segment.bytes': '1048576' };

/** A store in this process, at one port and over one directory, also when it is started again. */
export class TestStore {
  readonly path: string;
  readonly zone: string;
  port = 0;
  server: StoreServer | null = null;
  /** Its tiers from the next start on; none by default. */
  openTiers: Surroundings['openTiers'] | null = null;
  #directory: StoreDirectory | null = null;
  #store: Store | null = null;

  constructor(path: string, zone: string) {
    this.path = path;
    this.zone = zone;
  }

  get id(): string {
    return this.#directory!.id;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The names of what it has for all gateways, and their suffixes. */
  get files(): string[] {
    return this.paths.map((path) => basename(path));
  }

  /** The same, from its directory on. */
  get paths(): string[] {
    const paths = filesBelow(this.path).filter((path) => /\.(open|payload)$/.test(path));
    return paths.map((path) => relative(this.path, path)).sort();
  }

  async start(options: Partial<StoreServerOptions> = {}): Promise<void> {
    this.#store = new Store({ threads: 1 });
    const { openTiers } = this;
    this.#directory = await StoreDirectory.open(this.path, this.#store, async () => undefined, {
      ...(openTiers !== null && { openTiers }),
    });
    const own = { zone: this.zone, port: this.port, heartbeatMs: 1000 };
    this.server = await startServer(this.#directory, { ...own, ...options });
    this.port = this.server.port;
  }

  /** `killed`: what it leaves looks as if it had been. */
  async stop({ killed = false } = {}): Promise<void> {
    if (this.server === null) return;
    await this.server.stop();
    await this.#directory!.close();
    await this.#store!.shutdown();
    // Space that was allocated ahead stays behind what files have.
    if (killed)
      for (const name of readdirSync(this.path, { recursive: true, encoding: 'utf8' }))
        if (name.endsWith('.open')) truncateSync(join(this.path, name), 64 << 20);
    this.server = null;
  }
}

export interface GatewaySetup {
  config?: Record<string, string>;
  stores?: Partial<PayloadStoresOptions>;
  topics?: (typeof TOPIC)[];
  /** Data directories beside the first. */
  otherDirectories?: readonly string[];
}

/** Stores, and a broker whose payload they keep. */
export class StoresFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'stores-'));
  readonly stores: TestStore[] = [];
  readonly logs = join(this.root, 'logs');
  broker: TestBroker | null = null;
  readonly produced: Uint8Array[] = [];
  /** Of the metadata. */
  partitions = new Set<string>();

  async startStores(count: number, zones: readonly string[] = []): Promise<void> {
    for (let i = 0; i < count; i++) {
      const store = new TestStore(join(this.root, `store-${this.stores.length}`), zones[i] ?? '');
      await store.start();
      this.stores.push(store);
    }
  }

  async start(setup: GatewaySetup = {}): Promise<TestBroker> {
    const { config = {}, stores = {}, topics = [TOPIC], otherDirectories = [] } = setup;
    mkdirSync(this.logs, { recursive: true });
    const payloadStores = await PayloadStores.open({
      stores: this.stores.map(({ address }) => address),
      secret: SECRET,
      owner: { clusterId: 'cluster', nodeId: 1 },
      zone: '',
      fabric: fabricOf(),
      requestTimeoutMs: 60_000,
      lostAfterMs: 200,
      orphanGraceMs: 0,
      givenUp: [],
      repairBytesPerSecond: () => -1,
      scrubBytesPerSecond: () => -1,
      clock: systemClock,
      logger: silentLogger,
      ...stores,
    });
    this.broker = await TestBroker.start(
      this.logs,
      topics,
      topicConfig({ ...SETTINGS, ...config }),
      undefined,
      { stores: payloadStores, otherDirectories, copyThreads: otherDirectories.length },
    );
    this.partitions = new Set(topics.map(({ name, id }) => `${name}-0.${id}`));
    const { partitions } = this;
    payloadStores.start({
      has: (name) => partitions.has(name),
      get isEmpty() {
        return partitions.size === 0;
      },
      directoryIds: this.broker.logs.directories.flatMap(({ id }) => id ?? []),
    });
    return this.broker;
  }

  async stop(): Promise<void> {
    await this.broker?.stop();
    this.broker = null;
  }

  async crash(): Promise<void> {
    await this.broker?.crash();
    this.broker = null;
  }

  /** Appends one batch of one record of `BATCH_BYTES`, different from all others. */
  async produceOne(): Promise<void> {
    const value = Buffer.alloc(BATCH_BYTES, this.produced.length + 1);
    const batch = buildBatch([{ key: null, value }], { timestamp: BigInt(Date.now()) });
    const frame = inNativeMemory(batch);
    try {
      await this.broker!.partitions.find('t', 0)!.produce(frame.bytes(), frame, true);
      this.produced.push(batch);
    } finally {
      frame.release();
    }
  }

  async produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.produceOne();
  }

  /** The stores of the gateway that runs. */
  get access(): PayloadStores {
    return this.broker!.stores!;
  }

  get segments(): ReplicatedSegment[] {
    return [...this.access.segments];
  }

  /** Path of a store's copy. */
  pathAt(store: number, name: string): string {
    const { path } = this.stores[store]!;
    const directory = join(path, 'cluster.1', `t-0.${TOPIC_ID}`);
    const found = [`${name}.open`, `${name}.payload`].find((file) => existsSync(join(directory, file)));
    assert.ok(found !== undefined, `store ${store} has no ${name}`);
    return join(directory, found);
  }

  /** All stores were asked what they have, and it was compared with what the gateway refers to. */
  async compared(): Promise<void> {
    const { peers, repairs } = this.access;
    // One that is under way may have begun too early.
    for (let i = 0; i < 2; i++) await Promise.all(peers.map((peer) => peer.isUp && repairs.compare(peer)));
  }

  /** Nothing lacks a copy, and no copy is in doubt. */
  async healed(): Promise<void> {
    await this.until('stores are in', () => this.access.peers.every(({ isUp }) => isUp));
    await this.compared();
    await this.until('the partition is online', () => this.broker!.partitions.find('t', 0) !== null);
    const { payloads } = this.broker!.partitions.find('t', 0)!;
    payloads.endSegment();
    payloads.completeAll();
    this.access.repairs.lookAtAll();
    await this.until('it is repaired', () =>
      this.segments.every(
        ({ copies, isComplete, isBusy, replicas }) =>
          isComplete && !isBusy && copies.length === replicas && copies.every(({ doubtful }) => !doubtful),
      ),
    );
  }

  /** What was produced is there from `offset` on. */
  async check(offset = 0): Promise<void> {
    for (let next = offset; next < this.produced.length; ) {
      const { result, bytes } = await this.broker!.fetch('t', 0, BigInt(next), { maxBytes: 1 << 20 });
      assert.equal(result.errorCode, 0, `offset ${next}`);
      const size = this.produced[0]!.byteLength;
      assert.ok(bytes.byteLength >= size, `offset ${next}`);
      for (let at = 0; at < bytes.byteLength; at += size, next++) {
        const wanted = withoutPlace(this.produced[next]!);
        assert.ok(withoutPlace(bytes.subarray(at, at + size)).equals(wanted), `offset ${next}`);
      }
    }
  }

  /** Files of all stores by name without suffix, with the stores that have them. */
  placement(): Map<string, number[]> {
    const found = new Map<string, number[]>();
    for (const [i, store] of this.stores.entries()) {
      if (!existsSync(store.path)) continue;
      for (const name of store.files) {
        const file = name.slice(0, name.lastIndexOf('.'));
        found.set(file, [...(found.get(file) ?? []), i]);
      }
    }
    return found;
  }

  /** For one gateway: the stores that have a copy of each segment, whatever its name. */
  copies(): Map<string, number[]> {
    const found = new Map<string, number[]>();
    for (const [name, stores] of this.placement()) {
      const segment = name.slice(0, name.indexOf('-'));
      found.set(segment, [...(found.get(segment) ?? []), ...stores].sort());
    }
    return found;
  }

  async until(what: string, probe: () => boolean): Promise<void> {
    for (let i = 0; !probe(); i++) {
      if (i > 3000) assert.fail(`not within 30 s: ${what}: ${JSON.stringify([...this.placement()])}`);
      await setTimeout(10);
    }
  }

  async end(): Promise<void> {
    await this.stop();
    for (const store of this.stores) await store.stop();
    rmSync(this.root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  }
}

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import type { MemorySettings } from '../../backend/payload/tiers/memory-tiers.ts';
import type { MigrationSettings } from '../../backend/payload/tiers/migrator.ts';
import type { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import type { TieredStorageOptions, TierFiles } from '../../backend/payload/tiers/tiered-storage.ts';
import type { TopicConfig } from '../../config/index.ts';
import { arenaStats } from '../../native/arena.ts';
import type { Store } from '../../native/store.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Clock } from '../../util/clock.ts';
import { inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

export const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAABQ';
export const TOPIC = { name: 't', id: TOPIC_ID, partitions: [{ index: 0, leaderEpoch: 0 }] };
/** Three batches fill a segment. */
export const BATCH_BYTES = 300_000;
const SETTINGS = { 'payload.min.bytes': '1000', 'payload.segment.bytes': '1048576' };

/** Faults of what the tiers do with files: what is set fails with this code. */
export class TierFaults {
  copy: string | null = null;
  /** So many steps succeed first. */
  goodCopies = 0;
  publish: string | null = null;
  remove: string | null = null;
  /** What is removed waits for this. */
  beforeRemove: (path: string) => Promise<void> = async () => undefined;
  /** Copies wait for this. */
  gate: Promise<void> = Promise.resolve();
  copies = 0;

  files(store: Store): TierFiles {
    const fail = (code: string, path: string): never => {
      throw Object.assign(new Error(`cannot do it to ${path}: fault`), { code });
    };
    return {
      lockDirectory: (path) => store.lockDirectory(path),
      remove: async (path) => {
        await this.beforeRemove(path);
        return this.remove === null ? store.remove(path) : fail(this.remove, path);
      },
      copyRange: async (from, to, position, length) => {
        await this.gate;
        this.copies++;
        if (this.copy !== null && this.goodCopies-- <= 0) fail(this.copy, to);
        return store.copyRange(from, to, position, length);
      },
      publishCopy: async (from, copy, to) => {
        if (this.publish !== null) fail(this.publish, copy);
        return store.publishCopy(from, copy, to);
      },
    };
  }
}

export interface TierSetup {
  /** By tier: the size of each path. */
  sizes: readonly (readonly number[])[];
  threshold?: number;
  config?: Record<string, string>;
  topics?: (typeof TOPIC)[];
  faults?: TierFaults;
  wrap?: (store: Store) => PayloadFiles;
  /** Asked again and again. */
  settings?: () => MigrationSettings;
  memory?: () => MemorySettings;
  beforeLoading?: () => Promise<void>;
  /** Is the last tier, behind those of `sizes`. */
  bucket?: Bucket;
  clock?: Clock;
}

/** A broker whose payload lies in tiers, in directories that a test may interfere with. */
export class TierFixture {
  readonly root: string;
  readonly logs: string;
  /** Where the first tier is, of the type MEMORY; null: there is none. */
  readonly memory: string | null;
  broker: TestBroker | null = null;
  readonly produced: Uint8Array[] = [];

  /** `root`: of an earlier fixture; a new directory otherwise. `memory`: a directory for a first tier in memory. */
  constructor(root = mkdtempSync(join(tmpdir(), 'tiers-')), memory: string | null = null) {
    this.root = root;
    this.memory = memory;
    this.logs = join(root, 'logs');
    mkdirSync(this.logs, { recursive: true });
  }

  path(tier: number, index = 0): string {
    return join(tier === 0 && this.memory !== null ? this.memory : this.root, `tier-${tier}-${index}`);
  }

  /** Names of the payload files of the partition in a path. */
  payload(tier: number, index = 0): string[] {
    const directory = join(this.path(tier, index), `t-0.${TOPIC_ID}`);
    return existsSync(directory) ? readdirSync(directory).sort() : [];
  }

  file(tier: number, segment: number, index = 0): string {
    return join(this.path(tier, index), `t-0.${TOPIC_ID}`, `${String(segment).padStart(20, '0')}.payload`);
  }

  async start(setup: TierSetup): Promise<TestBroker> {
    const { sizes, threshold = 0.5, faults = new TierFaults(), config = {} } = setup;
    const types = [this.memory === null ? 'NVME' : 'MEMORY', 'SSD', 'HDD'];
    const ordinals = ['first', 'second', 'third'];
    const { bucket, clock } = setup;
    const directories: TieredStorageOptions['tiers'] = sizes.map((ofTier, tier) => ({
      ordinal: ordinals[tier]!,
      type: types[tier]!,
      paths: ofTier.map((sizeBytes, index) => ({
        path: this.path(tier, index),
        sizeBytes,
      })),
    }));
    const inBucket = { ordinal: 'last', type: 'S3', paths: [{ path: bucket?.url ?? '', sizeBytes: -1 }] };
    const tiers = bucket === undefined ? directories : [...directories, inBucket];
    this.broker = await TestBroker.start(
      this.logs,
      setup.topics ?? [TOPIC],
      this.config(config),
      setup.wrap,
      {
        copyThreads: 2,
        ...(setup.beforeLoading && { beforeLoading: setup.beforeLoading }),
        tiers: (store) => ({
          tiers,
          files: faults.files(store),
          ...(bucket && { bucket, scrub: () => ({ bytesPerSecond: -1, intervalMs: 60_000 }) }),
          ...(clock && { clock }),
          settings: setup.settings ?? (() => ({ threshold, bytesPerSecond: -1 })),
          ...(setup.memory && { memory: setup.memory }),
        }),
      },
    );
    return this.broker;
  }

  config(values: Record<string, string> = {}): TopicConfig {
    return topicConfig({ ...SETTINGS, ...values });
  }

  async stop(): Promise<void> {
    await this.broker?.stop();
    this.broker = null;
  }

  /** Appends batches of one record of `BATCH_BYTES`, each different. */
  async produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const value = Buffer.alloc(BATCH_BYTES, this.produced.length + 1);
      const batch = buildBatch([{ key: null, value }], { timestamp: BigInt(Date.now()) });
      const frame = inNativeMemory(batch);
      try {
        await this.broker!.partitions.find('t', 0)!.produce(frame.bytes(), frame, true);
      } finally {
        frame.release();
      }
      this.produced.push(batch);
    }
  }

  /** Makes all moves that the policy wants, of what is complete. */
  async settle(): Promise<void> {
    const { partitions, tiers } = this.broker!;
    // Behind the segments that are being completed.
    for (const { payloads } of partitions.all()) await payloads.reclaimBefore(0n);
    tiers.migrator.look();
    while (tiers.migrator.running > 0) await setTimeout(1);
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

  /** The bytes that each tier believes to have are those of its files. */
  checkSpace(): void {
    for (const { paths } of this.broker!.tiers.tiers) {
      for (const { path, usedBytes, files, bucket } of paths) {
        if (bucket !== null) continue;
        const found = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) =>
          entry.name.endsWith('.payload'),
        );
        assert.equal(files.size, found.length, path);
        let sum = 0;
        for (const file of files) sum += file.bytes;
        assert.equal(usedBytes, sum, path);
        for (const file of files)
          if (file.state === 'complete') assert.equal(statSync(file.path).size, file.length);
      }
    }
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.root, { recursive: true });
    if (this.memory !== null) rmSync(this.memory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  }
}

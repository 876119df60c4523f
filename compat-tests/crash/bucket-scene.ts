import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeededRandom } from '../../src/util/testing/seeded-random.ts';
import { type Broker, makeBroker } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { runGatewayCommand } from '../harness/command-line.ts';
import { readMetric } from '../harness/metrics.ts';
import { S3Server } from '../harness/s3-server.ts';
import { type LoadOptions, Loads } from './load.ts';

export const PATIENCE_MS = 120_000;
/** Several parts of an object. */
export const SEGMENT_BYTES = 12 << 20;

/** What `kafabric payload verify --json` says. */
interface VerifyReport {
  readonly extents: number;
  readonly payloadBytes: number;
  readonly problems: readonly object[];
  readonly outage: string | null;
}

/** A gateway whose last tier is a bucket, under load, and what may happen to both. */
export class BucketScene {
  readonly dir: string;
  readonly server: S3Server;
  readonly settings: Record<string, string>;
  readonly loads: Loads;
  readonly broker: Broker;
  readonly #lastTier: string;
  readonly #topics: string[] = [];

  private constructor(parts: {
    dir: string;
    server: S3Server;
    settings: Record<string, string>;
    broker: Broker;
  }) {
    this.dir = parts.dir;
    this.server = parts.server;
    this.settings = parts.settings;
    this.broker = parts.broker;
    this.#lastTier = parts.settings['storage.tiers.types']!.split(',').length === 2 ? 'second' : 'third';
    this.loads = new Loads(parts.broker.bootstrap);
  }

  /** Skips a suite where there cannot be one. */
  static require(context: Mocha.Context): void {
    requireToolchain(context, 'go');
    requireToolchain(context, S3Server.setup);
  }

  /** `tiers`: their settings, in the directory given; `endpoint`: by what the gateway reaches the object store, if not directly. */
  static async start(
    tiers: (dir: string) => Record<string, string>,
    endpoint: (server: S3Server) => Promise<string> = async (server) => server.endpoint,
  ): Promise<BucketScene> {
    const dir = mkdtempSync(join(tmpdir(), 'kafabric-bucket-crash-'));
    const server = await S3Server.start(join(dir, 's3'));
    const settings = {
      'log.channel.type': 'tiered',
      ...server.settings(join(dir, 'cache')),
      'storage.s3.endpoint': await endpoint(server),
      'storage.s3.request.timeout.ms': '3000',
      'storage.migrate.bytes.per.second': '33554432',
      'storage.migrate.threads': '2',
      'payload.segment.bytes': String(SEGMENT_BYTES),
      ...tiers(dir),
    };
    const broker = await makeBroker({ dir, overrides: settings });
    await broker.start();
    return new BucketScene({ dir, server, settings, broker });
  }

  /** Ends everything. `keep`: the files stay, for people. */
  async end(keep: boolean): Promise<void> {
    await this.loads.close();
    await this.broker.stop();
    this.server.freeze(false);
    await this.server.kill();
    if (keep) console.log(`      the files are kept in ${this.dir}`);
    else rmSync(this.dir, { recursive: true, force: true });
  }

  /** Creates a topic and begins a load of it. */
  async load(topic: string, options: Omit<LoadOptions, 'topic'>): Promise<void> {
    await this.loads.client.call('create', { topic, partitions: options.partitions, configs: {} });
    await this.loads.start(topic, { topic, ...options });
    this.#topics.push(topic);
  }

  /** What has come since the last call, or everything, is there. No new records meanwhile, or a slow machine has more to compare each time. */
  async verify(fromStart: boolean): Promise<void> {
    for (const topic of this.#topics) await this.loads.pause(topic, true);
    for (const topic of this.#topics) await this.verifyTopic(topic, fromStart);
    for (const topic of this.#topics) await this.loads.pause(topic, false);
  }

  async verifyTopic(topic: string, fromStart: boolean): Promise<void> {
    const { problems, acknowledged } = await this.loads.verify(topic, fromStart);
    assert.deepEqual(problems, [], topic);
    assert.ok(acknowledged > 0, `${topic}: nothing was acknowledged`);
  }

  async stopLoads(): Promise<void> {
    for (const topic of this.#topics) await this.loads.stop(topic);
  }

  /** `name`: behind `kafabric_`, with its labels. */
  metric(name: string): Promise<number> {
    return readMetric(this.broker.metricsUrl!, `kafabric_${name}`);
  }

  /** Of the bucket. */
  tierMetric(name: string): Promise<number> {
    return this.metric(`tier_${name}{tier="${this.#lastTier}"}`);
  }

  inUse(): Promise<void> {
    return until(
      'the bucket is in use',
      PATIENCE_MS,
      async () => (await this.tierMetric('paths_out_of_use')) === 0,
    );
  }

  /** Nothing moves, nor has to. */
  atRest(): Promise<void> {
    const tiers = this.#lastTier === 'second' ? ['first'] : ['first', 'second'];
    const names = [
      ...tiers.map((tier) => `tier_backlog_bytes{tier="${tier}"}`),
      'tier_moves_running',
      's3_pending_removals',
    ];
    return until('nothing is to move', PATIENCE_MS, async () => {
      const left = await Promise.all(names.map((name) => this.metric(name)));
      return left.every((value) => value === 0);
    });
  }

  /** Stops the gateway; `kafabric payload verify` finds what logs refer to, and nothing else. */
  async verifyOnDisk(): Promise<VerifyReport> {
    await this.broker.kill('SIGTERM');
    assert.equal(this.server.contents().parts, 0, 'parts of uploads are left');
    const settings = { ...this.settings, 'log.dirs': this.broker.dataDir };
    const output = await runGatewayCommand(['payload', 'verify', '--json'], settings, 3 * PATIENCE_MS);
    // Behind how far it got.
    const report = JSON.parse(output.slice(output.indexOf('{\n'))) as VerifyReport;
    assert.deepEqual([report.problems, report.outage], [[], null]);
    return report;
  }

  /** Kills of the gateway and the object store, each of which ends when both serve again. */
  events(random: SeededRandom): Record<string, () => Promise<void>> {
    const { broker, server } = this;
    return {
      'the gateway is killed': async () => {
        await broker.kill('SIGKILL');
        await broker.start();
      },
      'the gateway is killed, and again while it starts': async () => {
        await broker.kill('SIGKILL');
        await broker.startAndKill(random.integer(100, 1500));
        await broker.start();
      },
      'the object store is killed': async () => {
        await server.kill();
        await sleep(random.integer(0, 3000));
        await server.start();
      },
      'the object store is stopped in its tracks': async () => {
        server.freeze(true);
        await sleep(random.integer(500, 5000));
        server.freeze(false);
      },
      'both are killed, and the object store is back first': async () => {
        await Promise.all([server.kill(), broker.kill('SIGKILL')]);
        await server.start();
        await broker.start();
      },
      'both are killed, and the gateway is back first': async () => {
        await Promise.all([server.kill(), broker.kill('SIGKILL')]);
        await broker.start();
        await sleep(random.integer(0, 2000));
        await server.start();
      },
    };
  }
}

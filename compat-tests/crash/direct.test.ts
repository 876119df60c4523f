import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  Client,
  DirectError,
  Path,
  Producer,
  RegisteredBuffer,
  TopicHandle,
} from '../../src/client/index.ts';
import { content, type DirectGateway, FABRIC, hasFabric, startDirectGateway } from '../direct/fixture.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import { verifyPayload } from './on-disk.ts';

const rounds = Number(process.env.KAFABRIC_CRASH_ROUNDS ?? 4);
const PULL = { timeoutMs: 30_000 };
const MAX_UNDER_WAY = 16;
const hasProvider = await hasFabric();

interface Load {
  readonly topic: string;
  readonly path: Path;
  readonly minBytes: number;
  readonly maxBytes: number;
  /** Between pushes. */
  readonly pauseMs: number;
}

const loads: readonly Load[] = [
  { topic: 'small-tcp', path: 'tcp', minBytes: 10, maxBytes: 2000, pauseMs: 1 },
  { topic: 'mixed-tcp', path: 'tcp', minBytes: 100, maxBytes: 150_000, pauseMs: 10 },
  { topic: 'large-shared', path: 'shared-memory', minBytes: 70_000, maxBytes: 200_000, pauseMs: 10 },
  { topic: 'mixed-shared', path: 'shared-memory', minBytes: 100, maxBytes: 150_000, pauseMs: 10 },
  { topic: 'large-mapped', path: 'mapped', minBytes: 70_000, maxBytes: 200_000, pauseMs: 10 },
  ...(hasProvider
    ? [{ topic: 'large-fabric', path: 'fabric' as const, minBytes: 70_000, maxBytes: 200_000, pauseMs: 10 }]
    : []),
];

/** Pushes numbered events without waiting for each, and compares what is stored with what was acknowledged. */
class Pushes {
  readonly #load: Load;
  readonly #client: Client;
  readonly #topic: TopicHandle;
  readonly #producer: Producer;
  readonly #acknowledged = new Map<number, bigint>();
  readonly #failures: unknown[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #next = 0;
  #running: Promise<void> | null = null;
  #isPaused = false;
  /** What has been compared already. */
  #seen = { offset: 0n, last: -1 };

  private constructor(load: Load, client: Client, topic: TopicHandle) {
    this.#load = load;
    this.#client = client;
    this.#topic = topic;
    this.#producer = topic.producer();
  }

  static async start(load: Load, gateway: DirectGateway): Promise<Pushes> {
    const client = await gateway.connect({ path: load.path, fabric: load.path === 'fabric' ? FABRIC : {} });
    assert.equal(client.path, load.path);
    const configs = { 'segment.bytes': '1048576' };
    const pushes = new Pushes(load, client, await client.createTopic(load.topic, { configs }));
    pushes.resume();
    return pushes;
  }

  resume(): void {
    this.#isPaused = false;
    this.#running = this.#run();
  }

  /** Resolves when everything that was pushed is settled. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
    await Promise.all(this.#underWay);
  }

  /** Reads what has come since the last time; returns how many events that were. */
  async verify(): Promise<number> {
    assert.deepEqual(
      this.#failures,
      [],
      `${this.#load.topic}: pushes are tried again until they are through`,
    );
    const end = (await this.#producer.push({ mark: true })).offset;
    const consumer = this.#topic.consumer({ select: 'all', from: { offset: this.#seen.offset } });
    const stored = new Set<number>();
    let { last } = this.#seen;
    for (;;) {
      const event = (await consumer.pull(PULL))!;
      assert.notEqual(event, null, `${this.#load.topic}: ${stored.size} events came, the last is at ${end}`);
      if (event.offset === end) break;
      const { n } = event.metadata as { n?: number };
      if (n === undefined) continue;
      assert.ok(n > last, `${this.#load.topic}: ${n} behind ${last}: twice, or out of order`);
      // -1: the gateway had it already from an attempt whose answer was lost, and no longer knew where.
      const offset = this.#acknowledged.get(n);
      assert.ok(
        offset === event.offset || offset === -1n,
        `${this.#load.topic}: ${n} at ${event.offset}, not ${offset}`,
      );
      const expected = content(this.#sizeOf(n), n);
      assert.equal(Buffer.compare(event.selected!, expected), 0, `${this.#load.topic}: data of ${n}`);
      stored.add(n);
      last = n;
    }
    await consumer.close();
    for (const n of this.#acknowledged.keys())
      assert.ok(
        n <= this.#seen.last || stored.has(n),
        `${this.#load.topic}: ${n} was acknowledged and is lost`,
      );
    this.#seen = { offset: end, last };
    return stored.size;
  }

  async close(): Promise<void> {
    await this.pause();
    await this.#producer.close();
    this.#client.close();
  }

  #sizeOf(n: number): number {
    const { minBytes, maxBytes } = this.#load;
    return minBytes + ((n * 7919) % (maxBytes - minBytes));
  }

  /** Where memory can be mapped, what is pushed is handed over: memory of the gateway, once it is there. */
  async #dataOf(n: number): Promise<RegisteredBuffer> {
    const data = content(this.#sizeOf(n), n);
    if (this.#load.path !== 'mapped') return { bytes: data, release() {} };
    for (;;) {
      try {
        const buffer = await this.#client.allocate(data.byteLength);
        buffer.bytes.set(data);
        return buffer;
      } catch (error) {
        if (!(error as DirectError).retriable) throw error;
        await sleep(20);
      }
    }
  }

  async #run(): Promise<void> {
    while (!this.#isPaused) {
      if (this.#underWay.size >= MAX_UNDER_WAY) {
        await Promise.race(this.#underWay);
        continue;
      }
      const n = this.#next++;
      const data = await this.#dataOf(n);
      const pushed = this.#producer.push({ n }, data.bytes).then(
        ({ offset }) => {
          data.release();
          this.#acknowledged.set(n, offset);
        },
        (error: unknown) => {
          this.#failures.push(error);
        },
      );
      this.#underWay.add(pushed);
      void pushed.finally(() => this.#underWay.delete(pushed));
      await sleep(this.#load.pauseMs);
    }
  }
}

describe(`kill -9 under direct pushes, ${rounds} rounds`, () => {
  if (targetIsKafka) return;
  let dir: string;
  let gateway: DirectGateway;
  const pushes: Pushes[] = [];
  let failed = false;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-direct-crash-'));
    const settings = {
      'payload.segment.bytes': '4194304',
      'direct.mapped.listeners': 'DIRECT',
      ...(hasProvider ? { 'fabric.provider': FABRIC.provider } : {}),
    };
    gateway = await startDirectGateway(settings, dir);
    for (const load of loads) pushes.push(await Pushes.start(load, gateway));
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    if (!failed) await Promise.all(pushes.map((one) => one.close()));
    await gateway?.broker.stop();
    if (failed) console.log(`      the gateway's files are kept in ${dir}`);
    else if (dir) rmSync(dir, { recursive: true, force: true });
  });

  for (let round = 1; round <= rounds; round++) {
    it(`round ${round}: what was acknowledged is there, once and in order`, async () => {
      await sleep(300 + ((round * 7919) % 700));
      await gateway.broker.kill('SIGKILL');
      if (round % 2 === 0) await gateway.broker.startAndKill(100 + ((round * 4801) % 400));
      await gateway.broker.start();
      await Promise.all(pushes.map((one) => one.pause()));
      for (const one of pushes) assert.ok((await one.verify()) > 0, 'nothing was pushed');
      for (const one of pushes) one.resume();
    });
  }

  it('the files are in order', async () => {
    await Promise.all(pushes.map((one) => one.pause()));
    for (const one of pushes) await one.verify();
    await gateway.broker.kill('SIGTERM');
    await verifyPayload(gateway.broker.dataDir);
    await gateway.broker.start();
  });
});

import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../src/util/testing/seeded-random.ts';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { patience, sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { runGatewayCommand } from '../harness/command-line.ts';
import { readMetrics } from '../harness/metrics.ts';
import { anonymousBytes } from '../harness/process-memory.ts';
import { SmallDisk } from '../harness/small-disk.ts';
import { STORES_SECRET, StoreUnderTest } from '../harness/store.ts';
import { TcpProxy } from '../harness/tcp-proxy.ts';
import { Loads } from './load.ts';
import { TurningLoad } from './turning-load.ts';

const seconds = Number(process.env.KAFABRIC_STORE_CRASH_SECONDS ?? 60);
const seed = Number(process.env.KAFABRIC_STORE_CRASH_SEED ?? 1);
/** What nobody reads is found by scrubbing, which begins a round every minute. */
const isLong = seconds >= 60;
const pauseMicros = isLong ? 100_000 : 20_000;
const sizes = { minBytes: 70_000, maxBytes: 200_000, pauseMicros };
const diskMegabytes = 2000;
/** Records in a topic, some 80 MB, after which another one is begun: what there is fits on a small disk, and is soon read again. */
const enoughRecords = 600;
/** By how topics' names begin. */
const acksOf = { 'stored-all': -1, 'stored-leader': 1 } as const;
/** Beside its arena a process takes so much more, at most, in the second half of a long loop than in the first. */
const moreMemoryBytes = 64 << 20;
/** On a slow machine, too: heaps have their size after some. */
const leastEvents = 6;

/** Of the last store; the first is small, so that copies move all the time. */
const tiersIn = (directory: string) => ({
  'log.channel.type': 'tiered',
  'storage.tiers.types': 'NVME,HDD',
  'storage.tiers.first.paths': join(directory, 'fast'),
  'storage.tiers.first.sizes': '33554432',
  'storage.tiers.second.paths': join(directory, 'slow'),
});

interface LoadedGateway {
  broker: Broker;
  loads: Loads;
  topics: TurningLoad[];
  settings: Record<string, string>;
}

/** Two gateways over three stores, of which one has tiers, two copies of each extent; one thing at a time goes wrong. */
describe(`stores and gateways killed, cut off and damaged for ${seconds} s`, function () {
  if (targetIsKafka) return;
  this.timeout((seconds + 600) * 1000);
  const random = new SeededRandom(seed);
  const stores: StoreUnderTest[] = [];
  /** Before each store, for the gateways. */
  const proxies: TcpProxy[] = [];
  /** Of the first store, where one can be mounted. */
  let disk: SmallDisk | null = null;
  const gateways: LoadedGateway[] = [];
  let dir: string;
  let failed = false;

  before(async function () {
    requireToolchain(this, 'go');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-stores-crash-'));
    if (SmallDisk.isPossible) disk = await SmallDisk.mount(join(dir, 'disk'), diskMegabytes);
    for (let i = 0; i < 3; i++) {
      const directory = i === 0 && disk !== null ? disk.directory : dir;
      // A slow machine is not to be taken for a dead one.
      const heartbeat = { 'payload.store.heartbeat.ms': String(1000 * patience) };
      const settings = { ...heartbeat, ...(i === 2 && tiersIn(directory)) };
      const store = await StoreUnderTest.make(join(directory, `store-${i}`), settings);
      await store.start();
      stores.push(store);
      proxies.push(await TcpProxy.start(Number(store.address.split(':')[1])));
    }
    for (let node = 1; node <= 2; node++) gateways.push(await startGateway(node));
  });

  async function startGateway(node: number): Promise<LoadedGateway> {
    const settings = {
      'node.id': String(node),
      'payload.stores': proxies.map(({ address }) => address).join(),
      'payload.stores.secret': STORES_SECRET,
      'payload.stores.lost.after.ms': String(2000 * patience),
      'payload.stores.orphan.grace.ms': '0',
      'payload.stores.scrub.bytes.per.second': isLong ? '-1' : '0',
      'payload.replicas': '2',
      'payload.segment.bytes': '4194304',
      'log.segment.delete.delay.ms': '1000',
      'arena.bytes': '134217728',
    };
    const broker = await makeBroker({ dir: join(dir, `gateway-${node}`), overrides: settings });
    await broker.start();
    const loads = new Loads(broker.bootstrap);
    const topics = Object.entries(acksOf).map(
      ([name, acks]) => new TurningLoad(loads, name, { partitions: 2, acks, codec: 'none', ...sizes }),
    );
    for (const topic of topics) await topic.start();
    return { broker, loads, topics, settings };
  }

  const allTopics = () => gateways.flatMap(({ topics }) => topics);

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    for (const { loads, broker } of gateways) {
      await loads.close();
      await broker.stop();
    }
    for (const store of stores) {
      store.freeze(false);
      await store.kill();
    }
    for (const proxy of proxies) await proxy.stop();
    await disk?.unmount();
    if (failed) console.log(`      the files are kept in ${dir}, but for those of the first store`);
    else if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function verify(fromStart: boolean): Promise<void> {
    for (const topic of allTopics()) await topic.verify(fromStart);
  }

  /** As `verify` for what has come; who has much begins anew. */
  async function verifyAndTurn(): Promise<void> {
    for (const topic of allTopics()) if ((await topic.verify(false)) >= enoughRecords) await topic.turn();
  }

  /** Every store is there for every gateway, and no segment lacks a copy. */
  async function healed(): Promise<void> {
    for (const { broker } of gateways) {
      await until('all copies are there', 240_000, async () => {
        const text = await readMetrics(broker.metricsUrl!);
        const up = [...text.matchAll(/^kafabric_stores_up\{.*\} (\d)$/gm)].map(([, value]) => value);
        const lacking = /^kafabric_stores_lacking_bytes (\d+)$/m.exec(text)?.[1];
        return up.length === stores.length && up.every((value) => value === '1') && lacking === '0';
      });
    }
  }

  const events: Record<string, () => Promise<void>> = {
    'a store is killed': async () => {
      const store = random.pick(stores);
      await store.kill('SIGKILL');
      await sleep(random.integer(0, 4000));
      await store.start();
    },
    'a store is stopped in its tracks': async () => {
      const store = random.pick(stores);
      store.freeze(true);
      await sleep(random.integer(100, 4000));
      store.freeze(false);
    },
    'a store is restarted': async () => {
      const store = random.pick(stores);
      await store.kill('SIGTERM');
      await store.start();
    },
    'a gateway is killed': async () => {
      const { broker } = random.pick(gateways);
      await broker.kill('SIGKILL');
      await broker.start();
    },
    'a gateway is stopped in its tracks': async () => {
      const { broker } = random.pick(gateways);
      process.kill(broker.pid!, 'SIGSTOP');
      await sleep(random.integer(100, 4000));
      process.kill(broker.pid!, 'SIGCONT');
    },
    'a gateway is killed while a store is away': async () => {
      const store = random.pick(stores);
      await store.kill('SIGKILL');
      const { broker } = random.pick(gateways);
      await broker.kill('SIGKILL');
      await broker.start();
      await store.start();
    },
    'connections to a store are dropped': async () => {
      const proxy = random.pick(proxies);
      for (let times = random.integer(1, 4); times > 0; times--) {
        proxy.drop();
        await sleep(random.integer(0, 1000));
      }
    },
    'a store cannot be reached': async () => {
      const proxy = random.pick(proxies);
      proxy.stall(true);
      await sleep(random.integer(100, 4000));
      proxy.stall(false);
    },
    ...(SmallDisk.isPossible && {
      'the disk of a store is full': async () => {
        disk!.fill(random.integer(0, 8 << 20));
        await sleep(random.integer(1000, 4000));
        disk!.empty();
      },
    }),
    ...(isLong && { 'a copy is damaged': () => damageCopy(random) }),
  };

  /** All bytes of a complete copy change; it is made anew, and goes. Not of one that may move meanwhile. */
  async function damageCopy(random: SeededRandom): Promise<void> {
    const unmoved = stores.slice(0, 2).flatMap((store) => store.files());
    const copies = unmoved.filter((file) => file.endsWith('.payload'));
    if (copies.length === 0) return;
    const file = random.pick(copies);
    flipBytes(file);
    await until(`the damaged copy ${file} is made anew`, 240_000, () => !existsSync(file));
  }

  /** Of the largest process, beside its arena. */
  function largestBytes(): number {
    const pids = [...gateways.map(({ broker }) => broker.pid!), ...stores.map(({ pid }) => pid!)];
    return Math.max(...pids.map(anonymousBytes));
  }

  it('what was acknowledged is there, once and in order', async () => {
    const from = Date.now();
    const happened = new Map<string, number>();
    /** After each event. */
    const measured: number[] = [];
    while (measured.length < leastEvents || Date.now() - from < seconds * 1000) {
      const event = random.pick(Object.keys(events));
      await sleep(random.integer(200, 1500));
      await events[event]!().catch((error: Error) => {
        throw new Error(`${event}: ${error.message}`);
      });
      happened.set(event, (happened.get(event) ?? 0) + 1);
      // The next one may hit the other copy.
      await healed();
      await verifyAndTurn();
      measured.push(largestBytes());
    }
    for (const topic of allTopics()) await topic.stop();
    await verify(true);
    if (!isLong) return;
    const records = allTopics().reduce((sum, { verified }) => sum + verified, 0);
    const half = measured.length / 2;
    const memory = [measured.slice(0, half), measured.slice(half)].map((bytes) => Math.max(...bytes));
    console.log(`      ${[...happened].map(([event, times]) => `${event}: ${times}`).join(', ')}`);
    console.log(
      `      records of deleted topics: ${records}; memory beside arenas: ${memory.join(', then ')} bytes`,
    );
    assert.ok(memory[1]! < memory[0]! + moreMemoryBytes, `memory grew from ${memory.join(' to ')} bytes`);
  });

  it('each store alone may be missing', async () => {
    await healed();
    for (const store of stores) {
      await store.kill('SIGKILL');
      await verify(true);
      await store.start();
      await healed();
    }
  });

  it('stores have two copies of what is referred to, and nothing else', async () => {
    for (const { topics } of gateways) await topics[1]!.delete();
    await until('what was deleted is gone', 240_000, () =>
      stores.every((store) => !store.files().some((file) => file.includes('/stored-leader-'))),
    );
    for (const { broker, topics } of gateways) {
      await topics[0]!.verify(true);
      await broker.restart();
    }
    await until('there are two copies of every segment', 240_000, () => {
      const copies = new Map<string, number>();
      for (const file of stores.flatMap((store) => store.files())) {
        const name = file
          .split('/')
          .slice(-3)
          .join('/')
          // A copy that was made anew has a name of its own behind the segment's.
          .replace(/-[0-9a-f]+\.\w+$/, '');
        copies.set(name, (copies.get(name) ?? 0) + 1);
      }
      return copies.size > 0 && [...copies.values()].every((count) => count === 2);
    });
    for (const { broker, settings, topics } of gateways) {
      await broker.kill('SIGTERM');
      const places = { ...settings, 'log.dirs': broker.dataDir };
      assert.match(await runGatewayCommand(['payload', 'verify'], places, 240_000), /: in order/);
      await broker.start();
      await topics[0]!.delete();
    }
    await until('stores are empty', 240_000, () => stores.every((store) => store.files().length === 0));
  });
});

/** All of them: nobody misses what lies between extents, as what was sent again after a gateway was killed, and may be large. */
function flipBytes(file: string): void {
  const descriptor = openSync(file, 'r+');
  try {
    const bytes = readFileSync(descriptor);
    writeSync(descriptor, Buffer.from(bytes.map((byte) => byte ^ 0x5a)), 0, bytes.byteLength, 0);
  } finally {
    closeSync(descriptor);
  }
}

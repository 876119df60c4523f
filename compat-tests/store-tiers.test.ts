import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../src/util/testing/files-below.ts';
import { until } from './harness/child.ts';
import { runGatewayCommand } from './harness/command-line.ts';
import { PayloadScene } from './harness/payload-scene.ts';
import { STORES_SECRET, StoreUnderTest } from './harness/store.ts';

const size = 400_000;
const sizes = (count: number): number[] => Array(count).fill(size);
const FIRST_BYTES = 8 << 20;
const SEGMENT_BYTES = 1 << 20;

const filesIn = (directory: string) =>
  existsSync(directory) ? filesBelow(directory).filter((path) => /\.(payload|open)$/.test(path)).length : 0;

/** A store with two tiers, and the gateway of the scene before it. */
async function startWithTiers(
  scene: PayloadScene,
  settings: Record<string, string> = {},
): Promise<StoreUnderTest> {
  const store = await StoreUnderTest.make(join(scene.dir, 'store'), {
    'log.channel.type': 'tiered',
    'storage.tiers.types': 'NVME,HDD',
    'storage.tiers.first.paths': join(scene.dir, 'fast'),
    'storage.tiers.second.paths': join(scene.dir, 'slow'),
    ...settings,
  });
  await store.start();
  await scene.start({
    'payload.stores': store.address,
    'payload.stores.secret': STORES_SECRET,
    'payload.segment.bytes': String(SEGMENT_BYTES),
  });
  return store;
}

describe('storage tiers of a payload store', () => {
  let scene: PayloadScene;
  let store: StoreUnderTest;

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('tiers-of-a-store');
    store = await startWithTiers(scene, { 'storage.tiers.first.sizes': String(FIRST_BYTES) });
    await scene.createTopic();
  });

  after(async () => {
    await scene?.stop();
    await store?.kill();
    await scene?.end();
  });

  const used = (tier: string) => store.metric(`tier_used_bytes{tier="${tier}"}`);
  const settled = () =>
    until('the first tier is below its threshold', 30_000, async () => {
      const moves = await store.metric('tier_moves_running');
      return moves === 0 && (await used('first')) <= FIRST_BYTES / 2;
    });

  it('take what is new, and move the oldest down while a client that knows of none of it reads', async () => {
    await scene.produce(sizes(10));
    assert.ok(filesIn(join(scene.dir, 'fast')) > 0);
    assert.equal(filesIn(join(scene.dir, 'store')), 0);
    const producing = scene.produce(sizes(30));
    const moved = () => store.metric('tier_moved_in_bytes_total{tier="second"}');
    await until('something has moved', 30_000, async () => (await moved()) > 0);
    await producing;
    await scene.consume();
    await settled();
    assert.equal(await store.metric('tier_move_failures_total{tier="second"}'), 0);
    assert.ok(filesIn(join(scene.dir, 'slow')) > 0);
    await scene.consume();
    const health = (await (await fetch(`${store.metricsUrl}/health/live`)).json()) as { tiers: object[] };
    assert.deepEqual(health.tiers, [
      { tier: 'first', path: join(scene.dir, 'fast'), error: null },
      { tier: 'second', path: join(scene.dir, 'slow'), error: null },
    ]);
  });

  it('have what was acknowledged when the store is killed while it moves', async () => {
    for (let round = 0; round < 3; round++) {
      await scene.produce(sizes(12));
      await store.kill('SIGKILL');
      await store.start();
      await until('the store is back', 30_000, async () => {
        return (await scene.metric(`stores_up{store="${store.address}"}`)) === 1;
      });
      await scene.consume();
    }
    await settled();
    await scene.consume();
    const left = filesBelow(scene.dir);
    assert.deepEqual(
      left.filter((name) => name.endsWith('.moving')),
      [],
    );
    const names = left.filter((name) => name.endsWith('.payload')).map((name) => name.split('/').at(-1));
    assert.equal(new Set(names).size, names.length, 'a segment is there twice');
  });

  it('are verified, and nothing is lost by a clean stop', async () => {
    await scene.broker.kill('SIGTERM');
    await store.kill('SIGTERM');
    await store.start();
    await scene.verify();
    await scene.broker.start();
    await scene.consume();
  });

  it('lose what topics lose, in every tier', async () => {
    await scene.deleteTopic();
    await until(
      'all of it is gone',
      30_000,
      async () => filesIn(scene.dir) === filesIn(scene.broker.dataDir) && (await used('second')) === 0,
    );
  });
});

describe('a topic that is pinned to a tier of a payload store', () => {
  let scene: PayloadScene;
  let store: StoreUnderTest;

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('pinned-at-a-store');
    store = await startWithTiers(scene);
  });

  after(async () => {
    await scene?.stop();
    await store?.kill();
    await scene?.end();
  });

  it('has its payload there, also after restarts, and nothing of it moves up', async () => {
    await scene.createTopic({ 'payload.tier': 'second' });
    await scene.produce(sizes(8));
    await store.kill('SIGKILL');
    await store.start();
    await scene.broker.kill('SIGTERM');
    await scene.broker.start();
    await scene.produce(sizes(4));
    assert.equal(filesIn(join(scene.dir, 'fast')), 0);
    assert.ok(filesIn(join(scene.dir, 'slow')) >= 4);
    assert.equal(await store.metric('tier_backlog_bytes{tier="second"}'), 0);
    await scene.consume();
  });
});

describe('a storage tier in memory, of a payload store', () => {
  let scene: PayloadScene;
  let store: StoreUnderTest;
  let memory: string;

  before(async function () {
    PayloadScene.require(this);
    memory = mkdtempSync('/dev/shm/kafabric-store-memory-');
    scene = new PayloadScene('memory-of-a-store');
    store = await StoreUnderTest.make(join(scene.dir, 'store'), {
      'log.durability': 'os',
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'MEMORY,HDD',
      'storage.tiers.first.paths': join(memory, 'tier'),
      'storage.tiers.first.sizes': '67108864',
      'storage.tiers.second.paths': join(scene.dir, 'disk'),
      'storage.migrate.threshold': '-1',
    });
    await store.start();
    await start('os');
    await scene.createTopic();
  });

  after(async () => {
    await scene?.stop();
    await store?.kill();
    await scene?.end();
    if (memory) rmSync(memory, { recursive: true });
  });

  const start = (durability: string) =>
    scene.start({
      'log.durability': durability,
      'payload.stores': store.address,
      'payload.stores.secret': STORES_SECRET,
      'payload.segment.bytes': String(SEGMENT_BYTES),
    });
  const disk = () => join(scene.dir, 'disk');

  it('holds what is new, outlasts kill -9, and is empty after a clean stop', async () => {
    await scene.produce(sizes(11));
    assert.ok(filesIn(memory) > 0);
    assert.equal(filesIn(disk()), 0);
    await store.kill('SIGKILL');
    await store.start();
    await scene.consume();
    await scene.produce(sizes(2));
    await store.kill('SIGTERM');
    assert.equal(filesIn(memory), 0);
    rmSync(join(memory, 'tier'), { recursive: true });
    await store.start();
    await scene.consume();
  });

  it('gets nothing from a gateway that promises that machines may restart', async () => {
    await start('flush');
    await scene.produce(sizes(5));
    assert.equal(filesIn(memory), 0);
    await scene.consume();
  });
});

describe('a payload store one of whose tiers is on a disk that is gone', () => {
  let scene: PayloadScene;
  let stores: StoreUnderTest[];
  const settings = { 'payload.replicas': '2', 'payload.min.insync.replicas': '1' };

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('dead-disk-of-a-store');
    stores = [
      await StoreUnderTest.make(join(scene.dir, 'store-0'), tiers()),
      await StoreUnderTest.make(join(scene.dir, 'store-1')),
    ];
    for (const store of stores) await store.start();
    await scene.start({
      'payload.stores': stores.map(({ address }) => address).join(','),
      'payload.stores.secret': STORES_SECRET,
      'payload.segment.bytes': String(SEGMENT_BYTES),
      ...settings,
    });
    await scene.createTopic();
    await scene.produce(sizes(6));
  });

  after(async () => {
    await scene?.stop();
    for (const store of stores ?? []) await store.kill();
    await scene?.end();
  });

  const pathOf = (tier: string) => join(scene.dir, tier);
  const tiers = () => ({
    'log.channel.type': 'tiered',
    'storage.tiers.types': 'NVME,HDD',
    'storage.tiers.first.paths': pathOf('fast'),
    'storage.tiers.second.paths': pathOf('slow'),
    'storage.migrate.threshold': '-1',
  });
  const forget = () =>
    runGatewayCommand(['store', 'forget-tier', pathOf('fast')], {
      'payload.store.dir': stores[0]!.directory,
      ...tiers(),
    });
  const areIn = () =>
    until('the stores are in', 30_000, async () => {
      const up = stores.map(({ address }) => scene.metric(`stores_up{store="${address}"}`));
      return (await Promise.all(up)).every((one) => one === 1);
    });

  it('starts, says so, and takes payload, while others are read', async () => {
    assert.ok(filesIn(pathOf('fast')) > 0);
    const [store] = stores;
    await store!.kill('SIGTERM');
    renameSync(pathOf('fast'), pathOf('dead'));
    await store!.start();
    assert.match(store!.logs(), /kafabric store forget-tier \S+fast/);
    const health = (await (await fetch(`${store!.metricsUrl}/health/ready`)).json()) as {
      tiers: { error: string | null }[];
    };
    assert.deepEqual(
      health.tiers.map(({ error }) => error !== null),
      [true, false],
    );
    assert.equal(await store!.metric('tier_paths_out_of_use{tier="first"}'), 1);
    await areIn();
    await scene.consume();
    await scene.produce(sizes(6));
    assert.ok(filesIn(pathOf('slow')) > 0);
    await scene.consume();
    await assert.rejects(forget(), /is using this directory/);
  });

  it('gets copies of what was there when that is given up', async () => {
    const [store] = stores;
    await store!.kill('SIGTERM');
    assert.match(await forget(), /is given up: gateways make what was there anew/);
    await store!.start();
    assert.equal(await store!.metric('tier_paths_out_of_use{tier="first"}'), 0);
    await areIn();
    const toRepair = () => scene.metric('stores_segments_to_repair');
    const lacking = () => scene.metric('stores_lacking_bytes');
    await until('a copy was made', 60_000, async () => (await scene.metric('stores_copies_made_total')) > 0);
    await until('all is repaired', 60_000, async () => (await toRepair()) + (await lacking()) === 0);
    await scene.broker.kill('SIGTERM');
    await scene.verify();
    await scene.broker.start();
    await stores[1]!.kill('SIGKILL');
    await scene.consume();
  });
});

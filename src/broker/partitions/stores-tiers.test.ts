import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { forgetStoreTier } from '../../backend/payload/stores/process/store-directory.ts';
import { filesOf, testTiers } from '../../backend/payload/stores/process/testing.ts';
import { Store } from '../../native/store.ts';
import { BATCH_BYTES, SETTINGS, StoresFixture, TOPIC } from './stores.fixture.ts';
import { topicConfig } from './testing.ts';

describe('A segment at a store with tiers', () => {
  let fixture: StoresFixture;
  let native: Store;

  beforeEach(async () => {
    fixture = new StoresFixture();
    native = new Store({ threads: 1, copyThreads: 1 });
    await fixture.startStores(1);
    const [store] = fixture.stores;
    await store!.stop();
    store!.openTiers = testTiers(store!.path, native, [
      { type: 'NVME', path: pathOf(0), sizeBytes: BATCH_BYTES + 100_000 },
      { type: 'HDD', path: pathOf(1), sizeBytes: -1 },
    ]);
    await store!.start();
    await fixture.start();
  });
  afterEach(async () => {
    await fixture.end();
    await native.shutdown();
  });

  const pathOf = (tier: number) => join(fixture.root, `tier-${tier}`);
  const inTier = (tier: number, suffix: string) => filesOf(pathOf(tier), suffix).length;

  it('is ended when its tier has no room for more, and no producer sees that', async () => {
    await fixture.produceOne();
    assert.deepEqual([inTier(0, '.open'), inTier(0, '.payload')], [1, 0]);
    await fixture.produceOne();
    while (inTier(0, '.payload') === 0) await setTimeout(10);
    await fixture.produceOne();
    assert.deepEqual([inTier(0, '.open'), inTier(1, '.open')], [0, 1]);
    await fixture.check();
  });
});

describe('A topic that is pinned to a tier of its stores', () => {
  let fixture: StoresFixture;
  let native: Store;

  beforeEach(async () => {
    fixture = new StoresFixture();
    native = new Store({ threads: 1, copyThreads: 1 });
    await fixture.startStores(2);
    for (const [i, store] of fixture.stores.entries()) {
      await store.stop();
      const tiers = ['NVME', 'HDD'].map((type) => ({ type, path: pathOf(i, type), sizeBytes: -1 }));
      store.openTiers = testTiers(store.path, native, tiers);
    }
    await fixture.stores[0]!.start();
  });
  afterEach(async () => {
    await fixture.end();
    await native.shutdown();
  });

  const pathOf = (store: number, type: string) => join(fixture.root, `${type}-${store}`);
  const config = (tier: string) => ({ 'payload.tier': tier, 'payload.replicas': '2' });
  const start = (tier: string) =>
    fixture.start({ config: { ...config(tier), 'payload.min.insync.replicas': '1' } });
  const pinsAt = (store: number) => {
    const file = join(fixture.stores[store]!.path, 'cluster.1', 'pins.json');
    if (!existsSync(file)) return [];
    const text = readFileSync(file, 'utf8');
    return Object.values((JSON.parse(text) as { pins: Record<string, number> }).pins);
  };

  it('begins segments there, and so do copies that are made later', async () => {
    await start('second');
    await fixture.produceOne();
    assert.deepEqual(
      [filesOf(pathOf(0, 'NVME'), '.open').length, filesOf(pathOf(0, 'HDD'), '.open').length],
      [0, 1],
    );
    await fixture.stores[1]!.start();
    await fixture.stop();
    await start('second');
    await fixture.healed();
    assert.deepEqual(
      [filesOf(pathOf(1, 'NVME'), '.payload').length, filesOf(pathOf(1, 'HDD'), '.payload').length],
      [0, 1],
    );
    await fixture.check();
  });

  it('is another one for stores when that is changed, also for one that was away', async () => {
    await fixture.stores[1]!.start();
    await start('second');
    await fixture.produceOne();
    await fixture.until('both know', () => pinsAt(0)[0] === 1 && pinsAt(1)[0] === 1);
    await fixture.stores[1]!.stop();
    const { partitions } = fixture.broker!;
    partitions.topicConfigChanged(TOPIC, topicConfig({ ...SETTINGS, ...config('first') }));
    await fixture.until('a store has heard', () => pinsAt(0)[0] === 0);
    assert.deepEqual(pinsAt(1), [1]);
    await fixture.stores[1]!.start();
    await fixture.until('the other one has heard', () => pinsAt(1)[0] === 0);
    partitions.topicConfigChanged(TOPIC, topicConfig({ ...SETTINGS, ...config('') }));
    await fixture.until('both have heard', () => pinsAt(0).length + pinsAt(1).length === 0);
  });
});

describe('A store that lacks a directory of its tiers', () => {
  const config = { 'payload.replicas': '2', 'payload.min.insync.replicas': '1' };
  let fixture: StoresFixture;
  let native: Store;

  const pathOf = (type: string) => join(fixture.root, type);
  const tiersOf = (...types: string[]) => {
    const tiers = types.map((type) => ({ type, path: pathOf(type), sizeBytes: -1 }));
    return testTiers(fixture.stores[0]!.path, native, tiers);
  };
  const restart = async (between: () => unknown) => {
    const [store] = fixture.stores;
    await store!.stop();
    await between();
    await store!.start();
  };
  const areIn = () => fixture.until('stores are in', () => fixture.access.peers.every(({ isUp }) => isUp));

  beforeEach(async () => {
    fixture = new StoresFixture();
    native = new Store({ threads: 1, copyThreads: 1 });
    await fixture.startStores(2);
    await restart(() => {
      fixture.stores[0]!.openTiers = tiersOf('NVME', 'HDD');
    });
    await fixture.start({ config });
    await fixture.produce(3);
    await fixture.healed();
    assert.equal(filesOf(pathOf('NVME'), '.payload').length, 1);
    await restart(() => renameSync(pathOf('NVME'), pathOf('away')));
    await areIn();
  });
  afterEach(async () => {
    await fixture.end();
    await native.shutdown();
  });

  it('takes new segments, says what it lacks, and others are read', async () => {
    assert.match(fixture.access.outage ?? '', /NVME is out of use/);
    await fixture.produce(3);
    await fixture.check();
    await fixture.healed();
    assert.ok(filesOf(pathOf('HDD'), '.payload').length > 0);
    await fixture.check();
  });

  it('lets no log be cut that refers to what is there', async () => {
    await restart(() => renameSync(pathOf('away'), pathOf('NVME')));
    await areIn();
    await fixture.produceOne();
    await fixture.crash();
    await restart(() => renameSync(pathOf('NVME'), pathOf('away')));
    await fixture.stores[1]!.stop();
    await fixture.start({ config });
    const online = () => fixture.broker!.partitions.find('t', 0) !== null;
    assert.ok(!online());
    await fixture.stores[1]!.start();
    await fixture.until('the partition is online', online);
    await fixture.check();
  });

  it('has all again when the directory is back', async () => {
    await restart(() => renameSync(pathOf('away'), pathOf('NVME')));
    await areIn();
    assert.equal(fixture.access.outage, null);
    await fixture.healed();
    await fixture.stores[1]!.stop();
    await fixture.check();
  });

  it('gets copies of what was there when that is given up', async () => {
    await restart(async () => {
      await forgetStoreTier(fixture.stores[0]!.path, native, pathOf('NVME'));
      fixture.stores[0]!.openTiers = tiersOf('HDD');
    });
    await areIn();
    assert.equal(fixture.access.outage, null);
    await fixture.healed();
    await fixture.stores[1]!.stop();
    await fixture.check();
  });
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { filesOf, testTiers } from '../../backend/payload/stores/process/testing.ts';
import { Store } from '../../native/store.ts';
import { BATCH_BYTES, StoresFixture } from './stores.fixture.ts';

describe('A segment at a store with tiers', function () {
  this.timeout(60_000);
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

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './harness/child.ts';
import { PayloadScene } from './harness/payload-scene.ts';
import { STORES_SECRET, StoreUnderTest } from './harness/store.ts';

const size = 400_000;
const sizes = (count: number): number[] => Array(count).fill(size);

describe('payload stores', () => {
  let scene: PayloadScene;
  const stores: StoreUnderTest[] = [];

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('stored');
    const addresses = `${join(scene.dir, 'addresses')}/`;
    for (const zone of ['a', 'b', 'c']) {
      const store = await StoreUnderTest.make(join(scene.dir, `store-${zone}`), {
        'payload.store.zone': zone,
        'payload.store.address.file': addresses,
      });
      await store.start();
      stores.push(store);
    }
    await scene.start({
      'payload.stores': addresses,
      'payload.stores.secret': STORES_SECRET,
      'payload.stores.lost.after.ms': '1000',
      'payload.stores.orphan.grace.ms': '0',
      'payload.replicas': '2',
      'payload.segment.bytes': '2097152',
    });
    await scene.createTopic();
  });

  after(async () => {
    await scene?.stop();
    for (const store of stores) {
      store.freeze(false);
      await store.kill();
    }
    await scene?.end();
  });

  it('keep payload for a client that does not know of them', async () => {
    await scene.produce(sizes(12));
    await scene.consume();
    for (const { metricsUrl } of stores) assert.ok((await fetch(`${metricsUrl}/health/live`)).ok);
    assert.equal(readdirSync(join(scene.dir, 'addresses')).length, 3);
    const expected = stores.map(({ address }) => `${address} closed`).sort();
    let known: string[] = [];
    await until('all are reached', 30_000, async () => {
      const ready = await fetch(`${scene.broker.metricsUrl}/health/ready`);
      const health = (await ready.json()) as { stores: { address: string; circuit: string }[] };
      known = health.stores.map(({ address, circuit }) => `${address} ${circuit}`).sort();
      return !known.some((one) => !expected.includes(one));
    });
    assert.deepEqual(known, expected);
    const copies = await Promise.all(stores.map((store) => store.metric('store_written_bytes_total')));
    assert.ok(copies.reduce((sum, bytes) => sum + bytes) >= 2 * 12 * size);
  });

  it('may be killed, and stopped in their tracks, while clients go on', async () => {
    await stores[0]!.kill('SIGKILL');
    await scene.produce(sizes(8));
    await scene.consume();
    await stores[0]!.start();
    stores[1]!.freeze(true);
    await scene.produce(sizes(8));
    await scene.consume();
    stores[1]!.freeze(false);
    await until('all copies are there again', 60_000, async () => {
      const up = await scene.metric(`stores_up{store="${stores[1]!.address}"}`);
      return up === 1 && (await scene.metric('stores_lacking_bytes')) === 0;
    });
    await scene.produce(sizes(2));
    await scene.consume();
  });

  it('are verified', async () => {
    await scene.broker.kill('SIGTERM');
    await scene.verify();
    await scene.broker.start();
    await scene.consume();
  });

  it('are emptied by draining, and their payload is still there', async () => {
    await scene.command('store', 'drain', stores[2]!.address, '--wait');
    assert.deepEqual(stores[2]!.files(), []);
    await stores[2]!.kill('SIGTERM');
    await scene.consume();
    await stores[2]!.start();
    await scene.command('store', 'drain', stores[2]!.address, '--off');
  });

  it('lose what topics lose', async () => {
    await scene.deleteTopic();
    await until('all of it is gone', 30_000, () => stores.every((store) => store.files().length === 0));
  });
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { StoresFixture } from './stores.fixture.ts';

const SETUP = {
  config: { 'payload.replicas': '3', 'payload.min.insync.replicas': '2' },
  stores: { copySource: 'store' as const },
};
const NOT_ENOUGH_REPLICAS = 19;

describe('Payload that the first store passes on to the others', () => {
  let fixture: StoresFixture;

  beforeEach(async () => {
    fixture = new StoresFixture();
    await fixture.startStores(4);
    await fixture.start(SETUP);
  });
  afterEach(() => fixture.end());

  /** Bytes that stores took, from the gateway and from other stores. */
  function taken(): { fromGateway: number; fromStores: number } {
    const bytes = { fromGateway: 0, fromStores: 0 };
    for (const { server } of fixture.stores)
      for (const { peers } of server?.transfers() ?? [])
        for (const [name, { bytesRead }] of peers)
          bytes[name.includes(' by ') ? 'fromStores' : 'fromGateway'] += bytesRead;
    return bytes;
  }

  /** Whoever produces tries again, as Kafka's clients do. */
  async function produceInTheEnd(): Promise<void> {
    for (;;) {
      try {
        await fixture.produceOne();
        return;
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, NOT_ENOUGH_REPLICAS, String(error));
        await setTimeout(5);
      }
    }
  }

  /** The stores of the segment that takes extents; the head is the first. */
  function holders(): number[] {
    const { copies } = fixture.segments.at(-1)!;
    const reached = fixture.access.byDistance(copies.map(({ store }) => fixture.access.peer(store)!));
    return reached.map(({ id }) => fixture.stores.findIndex((store) => store.id === id));
  }

  it('leaves the gateway once, and is the same everywhere', async () => {
    await fixture.produce(7);
    const total = fixture.produced.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const { fromGateway, fromStores } = taken();
    assert.ok(fromGateway > 0.99 * total && fromGateway < 1.1 * total, `${fromGateway} of ${total}`);
    assert.ok(fromStores > 1.98 * total && fromStores < 2.2 * total, `${fromStores} of ${total}`);
    await fixture.healed();
    assert.equal(fixture.access.repairs.counters.copies, 0);
    for (const [name, stores] of fixture.placement()) {
      const [first, ...others] = stores.map((store) => readFileSync(fixture.pathAt(store, name)));
      assert.equal(others.length, 2);
      for (const other of others) assert.ok(other.equals(first!));
    }
    await fixture.check();
  });

  for (const which of ['first', 'last'] as const)
    it(`goes on when the ${which} store dies`, async () => {
      await fixture.produce(1);
      const stores = holders();
      await fixture.stores[stores.at(which === 'first' ? 0 : -1)!]!.stop({ killed: true });
      for (let i = 0; i < 5; i++) await produceInTheEnd();
      await fixture.check();
      for (const store of fixture.stores) if (store.server === null) await store.start();
      await fixture.healed();
      await fixture.check();
    });

  it('is sent to each by the gateway where the first one does not reach another', async () => {
    for (const peer of fixture.access.peers) {
      const request = peer.request.bind(peer);
      peer.request = (operation) =>
        operation.op === 'relay' ? Promise.reject(new Error('no way there')) : request(operation);
    }
    await fixture.produce(3);
    const { fromGateway, fromStores } = taken();
    const total = fixture.produced.reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(fromGateway > 2.97 * total);
    assert.equal(fromStores, 0);
    await fixture.healed();
    await fixture.check();
  });

  it('is not passed on by a gateway that is gone', async () => {
    await fixture.produce(2);
    await fixture.crash();
    await fixture.start(SETUP);
    await fixture.check();
    for (let i = 0; i < 3; i++) await produceInTheEnd();
    await fixture.healed();
    await fixture.check();
  });
});

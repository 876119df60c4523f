import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import { fabricOf, SECRET } from '../../backend/payload/stores/testing.ts';
import { Store } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { checkPayload } from '../verify/payload-check.ts';
import { BATCH_BYTES, StoresFixture, type TestStore, TOPIC, TOPIC_ID } from './stores.fixture.ts';

const TWO = { 'payload.replicas': '2' };

/** One store at a time is away, short, stale or damaged. */
describe('What was acknowledged at two stores', () => {
  let fixture: StoresFixture;

  beforeEach(async () => {
    fixture = new StoresFixture();
    await fixture.startStores(2);
    await fixture.start({ config: TWO });
  });
  afterEach(() => fixture.end());

  const names = () => [...fixture.placement().keys()].sort();
  const start = () => fixture.start({ config: TWO });
  const stopStores = async (killed: boolean) => {
    for (const store of fixture.stores) await store.stop({ killed });
  };
  const startStores = async () => {
    for (const store of fixture.stores) await store.start();
  };

  /** Overwrites the begin of the nth extent of a copy: an extent is somewhat larger than the batch's value. */
  function damage(store: number, name: string, extent: number): void {
    const path = fixture.pathAt(store, name);
    const bytes = readFileSync(path);
    bytes.fill(0xee, extent * BATCH_BYTES + 20_000, extent * BATCH_BYTES + 21_000);
    writeFileSync(path, bytes);
  }

  const shorten = (store: number, name: string) =>
    writeFileSync(fixture.pathAt(store, name), Buffer.alloc(1000));

  it('is not cut off while the store with the good copy is away', async () => {
    await fixture.produce(2);
    await fixture.crash();
    await stopStores(true);
    shorten(0, names()[0]!);
    await fixture.stores[0]!.start();
    await start();
    const { partitions } = fixture.broker!;
    assert.equal(partitions.find('t', 0), null);
    assert.equal(partitions.errorOfMissing('t', 0), 56);
    // Also not by a start after a clean end.
    await fixture.stop();
    await start();
    assert.equal(fixture.broker!.partitions.find('t', 0), null);
    await fixture.stores[1]!.start();
    await fixture.until('the partition is online', () => fixture.broker!.partitions.find('t', 0) !== null);
    await fixture.check();
    await fixture.produce(2);
    await fixture.healed();
    await fixture.stores[1]!.stop();
    await fixture.check();
  });

  it('is cut off when all stores say that they do not have it', async () => {
    await fixture.produce(2);
    await fixture.crash();
    await stopStores(true);
    for (const store of [0, 1]) shorten(store, names()[0]!);
    await startStores();
    await start();
    assert.equal(fixture.broker!.partitions.find('t', 0)!.log.logEndOffset, 0n);
  });

  it('goes on without a store that was given up', async () => {
    await fixture.produce(2);
    await fixture.crash();
    const lost = fixture.stores[1]!.id;
    await stopStores(true);
    shorten(0, names()[0]!);
    await fixture.stores[0]!.start();
    await fixture.start({ config: TWO, stores: { givenUp: [lost] } });
    assert.equal(fixture.broker!.partitions.find('t', 0)!.log.logEndOffset, 0n);
  });

  it('is not judged by a store that was killed while the other one is away', async () => {
    await fixture.produce(2);
    await fixture.stores[1]!.stop();
    await fixture.stores[0]!.stop({ killed: true });
    damage(0, names()[0]!, 0);
    await fixture.stores[0]!.start();
    await fixture.until('the store is in', () => fixture.access.peers[0]!.isUp);
    const { payloads } = fixture.broker!.partitions.find('t', 0)!;
    payloads.endSegment();
    // Everything before it is done by then.
    await payloads.reclaimBefore(0n);
    const [{ id }] = fixture.stores as [TestStore];
    for (const { copies } of fixture.segments)
      assert.ok(copies.some(({ store, doubtful }) => store === id && doubtful));
    assert.equal(fixture.access.repairs.counters.copies, 0);
    await fixture.stores[1]!.start();
    await fixture.healed();
    await fixture.check();
    await fixture.stores[1]!.stop();
    await fixture.check();
  });

  it('is completed at a store that was killed, when it has all that the log refers to', async () => {
    await fixture.produce(2);
    await fixture.stores[1]!.stop();
    await fixture.stores[0]!.stop({ killed: true });
    await fixture.stores[0]!.start();
    await fixture.until('it is completed', () => {
      fixture.broker!.partitions.find('t', 0)!.payloads.endSegment();
      return fixture.segments.every(({ isComplete }) => isComplete);
    });
    await fixture.check();
  });

  it('is put together from copies of which none is whole', async () => {
    await fixture.produce(4);
    await fixture.stop();
    const [name] = names();
    await stopStores(false);
    damage(0, name!, 0);
    damage(1, name!, 1);
    await startStores();
    await start();
    // The first one is known to be damaged, the second one is taken for good.
    const [segment] = fixture.segments;
    await segment!.setDoubt(fixture.stores[0]!.id, true);
    fixture.access.repairs.lookAgain(segment!);
    await fixture.healed();
    await fixture.access.scrubber.round();
    assert.equal(fixture.access.scrubber.counters.damaged, 0);
    await fixture.until('what was damaged is gone', () => !fixture.placement().has(name!));
    await fixture.check();
    for (const [away, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      await fixture.stores[away]!.stop();
      await fixture.check();
      await fixture.stores[away]!.start();
      await fixture.until('it is in', () => fixture.access.peers.every(({ isUp }) => isUp));
      await fixture.until('it has what it had', () => fixture.stores[other]!.files.length === 2);
    }
  });

  it('stays where it is when nobody has all of it', async () => {
    await fixture.produce(4);
    await fixture.stop();
    const [name] = names();
    const before = fixture.placement();
    await stopStores(false);
    for (const store of [0, 1]) damage(store, name!, 1);
    await startStores();
    await start();
    await fixture.access.scrubber.round();
    assert.equal(fixture.access.scrubber.counters.lost, 1);
    await fixture.until('it is found to be lost', () => fixture.access.repairs.counters.lost > 0);
    assert.deepEqual(fixture.placement(), before);
    const { result } = await fixture.broker!.fetch('t', 0, 1n);
    assert.equal(result.errorCode, 56);
    const first = await fixture.broker!.fetch('t', 0, 0n, { maxBytes: 1 });
    assert.equal(first.result.errorCode, 0);
    assert.ok(first.bytes.byteLength > BATCH_BYTES);
  });

  it('outlives a gateway that starts without its log directory', async () => {
    await fixture.produce(7);
    await fixture.stop();
    const before = fixture.placement();
    renameSync(fixture.logs, `${fixture.logs}-away`);
    await start();
    await fixture.compared();
    assert.equal(fixture.access.repairs.comparison.foreignFiles, 2 * before.size);
    assert.equal(fixture.access.repairs.counters.removed, 0);
    assert.deepEqual(fixture.placement(), before);
    await fixture.stop();
    rmSync(fixture.logs, { recursive: true });
    renameSync(`${fixture.logs}-away`, fixture.logs);
    await start();
    await fixture.check();
  });

  it('stays at stores that come back as others', async () => {
    await fixture.produce(4);
    await fixture.stop();
    const before = fixture.placement();
    await stopStores(false);
    const properties = fixture.stores.map(({ path }) => join(path, 'store.properties'));
    const contents = properties.map((path) => readFileSync(path, 'utf8'));
    for (const [i, path] of properties.entries())
      writeFileSync(path, contents[i]!.replace(/^id=.*$/m, `id=another-${i}`));
    await startStores();
    await start();
    await fixture.compared();
    assert.deepEqual(fixture.placement(), before);
    await fixture.stop();
    await stopStores(false);
    for (const [i, path] of properties.entries()) writeFileSync(path, contents[i]!);
    await startStores();
    await start();
    await fixture.check();
  });

  it('is not given up for a copy that turns out to be damaged when fewer are wanted', async () => {
    await fixture.produce(3);
    await fixture.healed();
    const kept = fixture.segments[0]!.copies[0]!.store;
    const damaged = fixture.stores.findIndex(({ id }) => id === kept);
    await fixture.stop();
    await stopStores(false);
    damage(damaged, names()[0]!, 0);
    await startStores();
    await fixture.start();
    await fixture.until('one copy is left', () =>
      fixture.segments.every(({ copies }) => copies.length === 1),
    );
    await fixture.check();
  });

  it('leaves nothing behind where a segment could not be begun', async () => {
    const blocked = join(fixture.stores[1]!.path, 'cluster.1', `t-0.${TOPIC_ID}`);
    mkdirSync(join(blocked, '..'), { recursive: true });
    writeFileSync(blocked, '');
    await assert.rejects(fixture.produceOne(), { code: 19 });
    await fixture.until('the other store has nothing', () => fixture.placement().size === 0);
    const local = join(fixture.logs, 't-0', 'payload');
    await fixture.until(
      'nothing is recorded',
      () => !readdirSync(local).some((name) => name.endsWith('.stores')),
    );
    rmSync(blocked);
    await fixture.produce(1);
    await fixture.check();
  });

  it('is given up with its partition, and nothing is recorded afterwards', async () => {
    await fixture.produce(7);
    const segments = fixture.segments;
    fixture.partitions.clear();
    await fixture.broker!.partitions.topicDeleted(TOPIC);
    assert.ok(segments.every(({ isRemoved }) => isRemoved));
    assert.equal(fixture.placement().size, 0);
    await segments[0]!.setCopies([]);
    assert.ok(!existsSync(join(fixture.logs, 't-0')));
  });

  it('is not taken for nobody’s by verify when a partition lost its topic id', async () => {
    await fixture.produce(4);
    await fixture.stop();
    const before = fixture.placement();
    rmSync(join(fixture.logs, 't-0', 'partition.metadata'));
    const store = new Store({ threads: 1 });
    const report = await checkPayload({
      store,
      directories: [fixture.logs],
      tiers: [],
      openStores: (owner) =>
        PayloadStores.open({
          stores: fixture.stores.map(({ address }) => address),
          secret: SECRET,
          owner: { ...owner, clusterId: 'cluster' },
          zone: '',
          fabric: fabricOf(),
          requestTimeoutMs: 60_000,
          lostAfterMs: 1000,
          orphanGraceMs: 0,
          givenUp: [],
          repairBytesPerSecond: () => -1,
          scrubBytesPerSecond: () => 0,
          clock: systemClock,
          logger: silentLogger,
        }),
      topics: null,
      readPayload: true,
      repair: true,
    });
    await store.shutdown();
    assert.deepEqual(fixture.placement(), before);
    assert.ok(report.problems.some(({ detail }) => /partition.metadata is missing/.test(detail)));
    assert.ok(report.problems.every(({ repaired }) => !repaired));
  });
});

describe('Addresses of payload stores', () => {
  let fixture: StoresFixture;

  beforeEach(async () => {
    fixture = new StoresFixture();
    await fixture.startStores(1);
  });
  afterEach(() => fixture.end());

  it('that are none are reported, and keep nobody from the others', async () => {
    const list = join(fixture.root, 'addresses');
    writeFileSync(list, `nonsense\n${fixture.stores[0]!.address}\n`);
    await fixture.start({ stores: { stores: ['also nonsense', list] } });
    const { peers } = fixture.access;
    assert.deepEqual(
      peers.map(({ isUp }) => isUp),
      [false, true],
    );
    assert.match(peers[0]!.trouble!, /no host:port/);
    await fixture.produce(1);
    await fixture.check();
  });

  it('of one store are used one at a time', async () => {
    const [store] = fixture.stores;
    const addresses = [store!.address, `localhost:${store!.port}`];
    await fixture.start({ stores: { stores: addresses } });
    const [first, second] = fixture.access.peers;
    await fixture.until('the first one is used', () => first!.isUp && second!.isSpare);
    const { losses } = first!.counters;
    await setTimeout(1000);
    assert.equal(first!.counters.losses, losses);
    assert.ok(first!.isUp && !second!.isUp);
    await fixture.produce(1);
    await fixture.check();
  });
});

import assert from 'node:assert/strict';
import { readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StoresFixture, TOPIC, TOPIC_ID } from './stores.fixture.ts';

const TWO = { 'payload.replicas': '2' };
const NOT_ENOUGH_REPLICAS = { code: 19 };

describe('Payload at stores', () => {
  let fixture: StoresFixture;

  beforeEach(() => {
    fixture = new StoresFixture();
  });
  afterEach(() => fixture.end());

  it('goes to a store, and comes back', async () => {
    await fixture.startStores(1);
    await fixture.start();
    await fixture.produce(8);
    await fixture.check();
    assert.equal(fixture.placement().size, 3);
    const local = readdirSync(join(fixture.logs, 't-0', 'payload'));
    assert.ok(!local.some((name) => name.endsWith('.payload')), local.join());
    await fixture.stop();
    await fixture.start();
    await fixture.check();
  });

  it('has as many copies as are asked for, in different zones', async () => {
    await fixture.startStores(4, ['a', 'a', 'b', 'b']);
    await fixture.start({ config: TWO });
    await fixture.produce(60);
    await fixture.check();
    const placement = fixture.placement();
    assert.equal(placement.size, 20);
    for (const at of placement.values()) {
      assert.equal(at.length, 2);
      assert.notEqual(at[0]! < 2, at[1]! < 2);
    }
    // Every store has some: they are chosen by hashing, which leaves one out in 1 of 260,000 runs.
    assert.equal(new Set([...placement.values()].flat()).size, 4);
  });

  it('stays there when its partition moves to another data directory', async () => {
    const other = join(fixture.root, 'other');
    const setup = { config: TWO, otherDirectories: [other] };
    await fixture.startStores(3);
    await fixture.start(setup);
    await fixture.produce(10);
    const before = fixture.placement();
    const { moves, partitions } = fixture.broker!;
    const there = partitions.find('t', 0)!.log.directory.startsWith(other) ? fixture.logs : other;
    assert.equal(moves.alter('t', 0, there), 0);
    await moves.idle();
    assert.equal(moves.metrics.completed, 1);
    assert.deepEqual([...fixture.placement().keys()].sort(), [...before.keys()].sort());
    await fixture.produce(4);
    await fixture.check();
    const names = readdirSync(join(there, 't-0', 'payload'));
    assert.ok(
      names.some((name) => name.endsWith('.stores')) && !names.some((name) => name.endsWith('.payload')),
    );
    // Copies are recorded where the partition is now.
    partitions.find('t', 0)!.payloads.endSegment();
    await fixture.stores[0]!.stop();
    await fixture.until('the others have all', () => {
      fixture.access.repairs.lookAtAll();
      return fixture.segments.every(
        ({ copies, isComplete }) =>
          isComplete && copies.length === 2 && copies.every(({ store }) => fixture.access.peer(store)?.isUp),
      );
    });
    await fixture.crash();
    await fixture.start(setup);
    await fixture.check();
  });

  it('refuses what would have too few copies, and takes it when stores are there', async () => {
    await fixture.startStores(2);
    await fixture.start({ config: TWO });
    await fixture.produce(1);
    await fixture.stores[1]!.stop();
    await assert.rejects(fixture.produceOne(), NOT_ENOUGH_REPLICAS);
    await assert.rejects(fixture.produceOne(), NOT_ENOUGH_REPLICAS);
    await fixture.check();
    await fixture.stores[1]!.start();
    await fixture.until('the store is in', () => fixture.broker!.stores!.peers.every(({ isUp }) => isUp));
    await fixture.produce(3);
    await fixture.check();
  });

  it('without stores counts as one copy', async () => {
    await fixture.start({ config: { ...TWO, 'payload.min.insync.replicas': '1' } });
    await fixture.produce(1);
    await fixture.stop();
    await fixture.start({ config: TWO });
    await assert.rejects(fixture.produceOne(), NOT_ENOUGH_REPLICAS);
    await fixture.check();
  });

  it('is out of reach, not missing, while its store does not answer', async () => {
    await fixture.startStores(1);
    const { partitions } = await fixture.start();
    await fixture.produce(1);
    await fixture.stores[0]!.stop();
    const { result } = await fixture.broker!.fetch('t', 0, 0n);
    assert.equal(result.errorCode, 56);
    const { payloadErrors, unreachablePayloads } = partitions.metrics;
    assert.deepEqual([payloadErrors, unreachablePayloads], [0, 1]);
    await fixture.stores[0]!.start();
    await fixture.until('the store is in', () => fixture.access.peers[0]!.isUp);
    await fixture.check();
  });

  it('goes on with fewer copies where that is allowed, and makes up for it', async () => {
    await fixture.startStores(2);
    await fixture.start({ config: { ...TWO, 'payload.min.insync.replicas': '1' } });
    await fixture.produce(2);
    await fixture.stores[0]!.stop({ killed: true });
    await fixture.produce(4);
    await fixture.check();
    await fixture.stores[0]!.start();
    await fixture.produce(3);
    await fixture.stop();
    await fixture.start({ config: { ...TWO, 'payload.min.insync.replicas': '1' } });
    await fixture.healed();
    await fixture.stores[1]!.stop();
    await fixture.check();
  });

  it('is read from another store when one has lost or damaged it, and is copied anew', async () => {
    await fixture.startStores(3);
    await fixture.start({ config: TWO });
    await fixture.produce(9);
    await fixture.stop();
    const placement = fixture.placement();
    const [damaged, lost] = [...placement];
    const pathOf = ([name, at]: [string, number[]]) => {
      const { path } = fixture.stores[at[0]!]!;
      return join(path, 'cluster.1', `t-0.${TOPIC_ID}`, `${name}.payload`);
    };
    for (const store of fixture.stores) await store.stop();
    writeFileSync(pathOf(damaged!), Buffer.alloc(100, 7), { flag: 'r+' });
    truncateSync(pathOf(lost!), 1000);
    for (const store of fixture.stores) await store.start();
    await fixture.start({ config: TWO });
    await fixture.check();
    await fixture.check();
    // Reads may have gone to the other copy.
    await fixture.access.scrubber.round();
    const { counters } = fixture.access.repairs;
    await fixture.until('both are repaired', () => counters.copies >= 2);
    assert.ok(counters.damaged >= 1);
    for (const at of fixture.copies().values()) assert.equal(at.length, 2);
  });

  it('is found to be damaged before anybody reads it', async () => {
    await fixture.startStores(2);
    await fixture.start({ config: TWO });
    await fixture.produce(9);
    await fixture.stop();
    const [name] = [...fixture.placement().keys()].sort();
    for (const store of fixture.stores) await store.stop();
    const path = join(fixture.stores[1]!.path, 'cluster.1', `t-0.${TOPIC_ID}`, `${name}.payload`);
    writeFileSync(path, Buffer.alloc(100, 7), { flag: 'r+' });
    for (const store of fixture.stores) await store.start();
    await fixture.start({ config: TWO });
    const { scrubber, repairs } = fixture.broker!.stores!;
    await scrubber.round();
    assert.equal(scrubber.counters.damaged, 1);
    assert.equal(scrubber.counters.lost, 0);
    await fixture.until('it is repaired', () => repairs.counters.copies === 1);
    await scrubber.round();
    assert.equal(scrubber.counters.damaged, 1);
    await fixture.stores[0]!.stop();
    await fixture.check();
  });

  it('is copied elsewhere when a store is lost for good; a store that returns with old payload loses that', async () => {
    await fixture.startStores(3);
    await fixture.start({ config: TWO });
    await fixture.produce(9);
    const lost = fixture.stores.findIndex(({ files }) => files.length > 0);
    await fixture.stores[lost]!.stop();
    const has = fixture.placement();
    const lacking = [...has.values()].filter((at) => at.includes(lost)).length;
    const { counters } = fixture.broker!.stores!.repairs;
    await fixture.until('copies are made', () => counters.copies >= lacking - 1);
    await fixture.produce(3);
    await fixture.stores[lost]!.start();
    await fixture.until('surplus copies are gone', () =>
      [...fixture.copies().values()].every((at) => at.length === 2),
    );
    await fixture.check();
  });

  it('is given up exactly when the log is, also at stores that are away then', async () => {
    await fixture.startStores(2);
    await fixture.start({ config: TWO });
    await fixture.produce(9);
    await fixture.broker!.partitions.find('t', 0)!.deleteRecordsBefore(3n);
    await fixture.until('the first segment is gone', () => fixture.placement().size === 2);
    await fixture.stores[1]!.stop();
    await fixture.broker!.partitions.find('t', 0)!.deleteRecordsBefore(6n);
    await fixture.until('it is gone at the store that is there', () => fixture.stores[0]!.files.length === 1);
    await fixture.stop();
    await fixture.stores[1]!.start();
    assert.equal(fixture.stores[1]!.files.length, 2);
    await fixture.start({ config: TWO });
    await fixture.until('it is gone everywhere', () => fixture.stores[1]!.files.length === 1);
    await fixture.check(6);
    await fixture.stores[0]!.stop();
    fixture.partitions.clear();
    await fixture.broker!.partitions.topicDeleted(TOPIC);
    await fixture.stores[0]!.start();
    await fixture.until('the topic is gone', () => fixture.placement().size === 0);
  });

  it('is found again after a crash of the gateway, and what nobody refers to goes', async () => {
    await fixture.startStores(3);
    await fixture.start({ config: TWO });
    await fixture.produce(5);
    await fixture.crash();
    await fixture.start({ config: TWO });
    await fixture.check();
    await fixture.produce(5);
    await fixture.check();
    for (const store of fixture.stores) await store.stop({ killed: true });
    await fixture.crash();
    for (const store of fixture.stores) await store.start();
    await fixture.start({ config: TWO });
    await fixture.check();
    await fixture.produce(2);
    await fixture.check();
  });

  it('stays when stores are away at the start, and is there again when they are', async () => {
    await fixture.startStores(2);
    await fixture.start({ config: TWO });
    await fixture.produce(5);
    await fixture.crash();
    for (const store of fixture.stores) await store.stop();
    await fixture.start({ config: TWO });
    const { partitions } = fixture.broker!;
    assert.equal(partitions.find('t', 0), null);
    assert.equal(partitions.errorOfMissing('t', 0), 56);
    for (const store of fixture.stores) await store.start();
    await fixture.until('the partition is online', () => partitions.find('t', 0) !== null);
    await fixture.check();
    await fixture.until('both take payload', () => fixture.access.peers.every(({ isUp }) => isUp));
    await fixture.produce(3);
    await fixture.check();
  });

  it('of one gateway is no other one’s business', async () => {
    await fixture.startStores(1);
    await fixture.start();
    await fixture.produce(3);
    const other = new StoresFixture();
    other.stores.push(...fixture.stores);
    await other.start({ stores: { owner: { clusterId: 'cluster', nodeId: 2 } } });
    await other.produce(3);
    await other.broker!.partitions.topicDeleted(TOPIC);
    await other.until('its payload is gone', () => fixture.placement().size === 1);
    await fixture.check();
    await other.stop();
    rmSync(other.root, { recursive: true });
  });

  it('leaves a store that is drained', async () => {
    await fixture.startStores(3);
    await fixture.start({ config: TWO });
    await fixture.produce(9);
    const store = fixture.stores.find(({ files }) => files.length > 0);
    await store!.server!.setDraining(true);
    await fixture.until('it is empty', () => store!.files.length === 0);
    await fixture.produce(3);
    assert.equal(store!.files.length, 0);
    for (const at of fixture.copies().values()) assert.equal(at.length, 2);
    await fixture.check();
  });
});

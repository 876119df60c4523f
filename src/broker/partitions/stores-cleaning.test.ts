import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import { fabricOf, SECRET } from '../../backend/payload/stores/testing.ts';
import { Store } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { checkPayload } from '../verify/payload-check.ts';
import { BATCH_BYTES, StoresFixture } from './stores.fixture.ts';

const CONFIG = { 'payload.replicas': '2' };
/** What the end of a file and the map of its pieces may take beside what is live. */
const SLACK_BYTES = 32 << 10;

describe('Space at stores of what no record refers to', () => {
  let fixture: StoresFixture;

  beforeEach(async () => {
    fixture = new StoresFixture();
    await fixture.startStores(2);
    await fixture.start({ config: CONFIG });
  });
  afterEach(() => fixture.end());

  const partition = () => fixture.broker!.partitions.find('t', 0)!;
  const takenAt = (store: number) => {
    const { size, blocks } = statSync(fixture.pathAt(store, fixture.stores[store]!.files[0]!.split('.')[0]!));
    return Math.min(size, blocks * 512);
  };

  /** A segment of three batches, of which the first two are deleted. */
  async function sparse(): Promise<void> {
    await fixture.produce(3);
    await fixture.healed();
    await partition().deleteRecordsBefore(2n);
    await partition().payloads.reclaimBefore(2n);
    // What was deleted is settled by the next time.
    assert.deepEqual(await partition().payloads.clean(0.8), { segments: 0, bytes: 0 });
  }

  const isSmall = (bytes: number) => bytes >= BATCH_BYTES && bytes < BATCH_BYTES + SLACK_BYTES;

  it('is given back by all copies, and what is left is read, verified and known after a start', async () => {
    await sparse();
    const { segments, bytes } = await partition().payloads.clean(0.8);
    assert.equal(segments, 1);
    assert.ok(bytes > 2 * BATCH_BYTES - SLACK_BYTES);
    for (const store of [0, 1]) assert.ok(isSmall(takenAt(store)), `${takenAt(store)}`);
    assert.ok(isSmall(partition().payloads.totalBytes));
    for (const peer of fixture.access.peers)
      assert.ok(isSmall((await peer.request({ op: 'status' })).usedBytes));
    await fixture.check(2);
    await fixture.access.scrubber.round();
    assert.equal(fixture.access.scrubber.counters.damaged, 0);
    await fixture.stop();
    for (const store of fixture.stores) await store.stop();
    for (const store of fixture.stores) await store.start();
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
      repair: false,
    });
    await store.shutdown();
    assert.deepEqual(report.problems, []);
    assert.equal(report.extents, 1);
    await fixture.start({ config: CONFIG });
    await fixture.healed();
    assert.ok(isSmall(partition().payloads.totalBytes));
    for (const peer of fixture.access.peers)
      assert.ok(isSmall((await peer.request({ op: 'status' })).usedBytes));
    await fixture.check(2);
  });

  it('is given back by a copy that was away, or made anew, when it is there', async () => {
    await sparse();
    await fixture.stores[1]!.stop();
    await fixture.until('that is seen', () => !fixture.access.peers[1]!.isUp);
    assert.equal((await partition().payloads.clean(0.8)).segments, 1);
    assert.ok(isSmall(takenAt(0)));
    assert.ok(!isSmall(takenAt(1)));
    await fixture.stores[1]!.start();
    await fixture.healed();
    await partition().payloads.clean(0.8);
    assert.ok(isSmall(takenAt(1)));
    // The next copy is made of one with holes.
    await fixture.startStores(1);
    await fixture.stop();
    await fixture.start({ config: { 'payload.replicas': '3' } });
    await fixture.healed();
    // Nobody cleans: it is made with its holes, which are not moved.
    assert.ok(isSmall(takenAt(2)), `${takenAt(2)}`);
    const { copiedBytes, skippedBytes } = fixture.access.repairs;
    assert.ok(isSmall(copiedBytes), `${copiedBytes}`);
    assert.ok(skippedBytes > 2 * BATCH_BYTES - SLACK_BYTES, `${skippedBytes}`);
    const added = fixture.access.peers.find(({ address }) => address === fixture.stores[2]!.address)!;
    assert.ok(isSmall((await added.request({ op: 'status' })).usedBytes));
    // There is nothing left to be given back.
    assert.deepEqual(await partition().payloads.clean(0.8), { segments: 0, bytes: 0 });
    await fixture.stores[0]!.stop();
    await fixture.stores[1]!.stop();
    await fixture.check(2);
  });

  it('is given back when a store ends in the middle', async () => {
    await sparse();
    const [peer] = fixture.access.peers;
    const request = peer!.request.bind(peer);
    peer!.request = (operation) => {
      if (operation.op !== 'punch') return request(operation);
      peer!.request = request;
      return fixture.stores[1]!.stop().then(() => request(operation));
    };
    await partition().payloads.clean(0.8);
    await fixture.stores[1]!.start();
    await fixture.healed();
    await fixture.check(2);
    await partition().payloads.clean(0.8);
    for (const store of [0, 1]) assert.ok(isSmall(takenAt(store)));
    await fixture.check(2);
  });

  it('is given back when the gateway is killed in the middle', async () => {
    await sparse();
    const [peer] = fixture.access.peers;
    const request = peer!.request.bind(peer);
    // One store has done it; the gateway does not hear of it any more.
    await new Promise<void>((resolve) => {
      peer!.request = (operation) => {
        const answered = request(operation);
        if (operation.op !== 'punch') return answered;
        answered.then(() => resolve());
        return new Promise(() => undefined);
      };
      void partition().payloads.clean(0.8);
    });
    assert.ok(isSmall(takenAt(0)));
    await fixture.crash();
    await fixture.start({ config: CONFIG });
    await fixture.healed();
    await fixture.check(2);
    await partition().payloads.clean(0.8);
    await partition().payloads.clean(0.8);
    for (const store of [0, 1]) assert.ok(isSmall(takenAt(store)));
    assert.ok(isSmall(partition().payloads.totalBytes));
    await fixture.check(2);
    assert.equal(fixture.access.repairs.counters.damaged, 0);
  });
});

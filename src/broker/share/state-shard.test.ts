import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { silentLogger } from '../../util/logger.ts';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { settled, VirtualClock } from '../../util/testing/virtual-clock.ts';
import { DeliveryState } from './partition-state.ts';
import { SimulatedStateLog } from './simulation/simulated-state-log.ts';
import { ShareStateCoordinator } from './state-coordinator.ts';
import { parseStateRecord, snapshotRecord, updateRecord } from './state-records.ts';

const KEY = { groupId: 'group', topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 3 };
const OTHER = { ...KEY, partition: 4 };

describe('the share coordinator', () => {
  let clock: VirtualClock;
  let log: SimulatedStateLog;
  let states: ShareStateCoordinator;

  beforeEach(() => {
    clock = new VirtualClock();
    log = new SimulatedStateLog(clock, new SeededRandom(1));
    states = open();
  });
  afterEach(() => states.close());

  function open(): ShareStateCoordinator {
    return new ShareStateCoordinator({
      clock,
      config: { updatesPerSnapshot: 3, pruneIntervalMs: 60_000, coldSnapshotIntervalMs: 60_000 },
      logger: silentLogger,
      log,
      topic: {
        name: '__share_group_state',
        partitionCount: () => 1,
        isOffline: () => false,
        ensure: async () => 1,
      },
    });
  }

  /** Lets virtual time pass until it is settled. */
  async function done<T>(promise: Promise<T>): Promise<T> {
    const outcome = Promise.allSettled([promise]);
    await clock.advance(2_000);
    const [settled] = await outcome;
    if (settled!.status === 'rejected') throw settled!.reason;
    return settled!.value;
  }

  function write(startOffset: bigint, more: object = {}) {
    const batches = [
      {
        firstOffset: startOffset + 2n,
        lastOffset: startOffset + 2n,
        deliveryState: DeliveryState.ACKNOWLEDGED,
        deliveryCount: 1,
      },
    ];
    return { stateEpoch: 1, leaderEpoch: 0, startOffset, deliveryCompleteCount: 1, batches, ...more };
  }

  it('keeps states over restarts', async () => {
    await done(states.initialize(KEY, 1, 10n));
    for (let i = 0n; i < 8n; i++) await done(states.write(KEY, write(10n + i)));
    const before = states.summary(KEY)!;
    assert.equal(before.startOffset, 17n);
    assert.deepEqual(
      before.batches.map(({ firstOffset, lastOffset }) => [firstOffset, lastOffset]),
      [[17n, 19n]],
    );
    assert.ok(before.snapshotEpoch > 0, 'a snapshot was due');
    states.close();
    states = open();
    await done(states.start());
    const { snapshotEpoch, stateEpoch, startOffset, batches } = await done(states.read(KEY, 0));
    assert.deepEqual(
      { snapshotEpoch, stateEpoch, startOffset, batches },
      {
        snapshotEpoch: before.snapshotEpoch,
        stateEpoch: 1,
        startOffset: 17n,
        batches: before.batches,
      },
    );
  });

  it('fences old epochs, and knows nothing of what was not begun', async () => {
    await done(states.initialize(KEY, 2, 0n));
    const reject = (promise: Promise<unknown>, code: number) => assert.rejects(done(promise), { code });
    await reject(states.initialize(KEY, 1, 0n), ErrorCode.FENCED_STATE_EPOCH);
    await reject(states.write(KEY, write(0n, { stateEpoch: 1 })), ErrorCode.FENCED_STATE_EPOCH);
    await done(states.read(KEY, 5));
    await reject(
      states.write(KEY, write(0n, { stateEpoch: 2, leaderEpoch: 4 })),
      ErrorCode.FENCED_LEADER_EPOCH,
    );
    await reject(states.read(KEY, 4), ErrorCode.FENCED_LEADER_EPOCH);
    await reject(states.read(OTHER, 0), ErrorCode.INVALID_REQUEST);
    await reject(states.write(OTHER, write(0n)), ErrorCode.INVALID_REQUEST);
    assert.equal(states.summary(OTHER), null);
  });

  it('deletes states', async () => {
    await done(states.initialize(KEY, 1, 0n));
    await done(states.delete(KEY));
    await done(states.delete(OTHER));
    assert.equal(states.size, 0);
    states.close();
    states = open();
    await done(states.start());
    assert.equal(states.size, 0);
  });

  it('forgets what could not be written', async () => {
    await done(states.initialize(KEY, 1, 5n));
    log.failureRate = 1;
    await assert.rejects(done(states.write(KEY, write(9n))), { code: ErrorCode.NOT_COORDINATOR });
    log.failureRate = 0;
    await clock.advance(5_000);
    assert.equal(states.summary(KEY)?.startOffset, 5n);
  });

  it('shortens its log, also where a state is cold', async () => {
    await done(states.initialize(OTHER, 1, 0n));
    await done(states.initialize(KEY, 1, 0n));
    for (let i = 0n; i < 100n; i++) await done(states.write(KEY, write(i)));
    assert.ok(log.size < 60, `${log.size} records are kept`);
    states.close();
    states = open();
    await done(states.start());
    assert.equal(states.summary(OTHER)?.startOffset, 0n);
    assert.equal(states.summary(KEY)?.startOffset, 99n);
  });

  it('does not write a cold state again that is deleted or begun anew meanwhile', async () => {
    const [deleted, reset] = [5, 6].map((partition) => ({ ...KEY, partition }));
    await done(Promise.all([OTHER, deleted!, reset!, KEY].map((key) => states.initialize(key, 1, 0n))));
    await clock.advance(45_000);
    await done(states.write(KEY, write(1n)));
    while (states.summary(OTHER)!.snapshotEpoch === 0) {
      assert.ok(clock.runNext());
      await settled();
    }
    await done(Promise.all([states.delete(deleted!), states.initialize(reset!, 2, 7n)]));
    for (let starts = 0; starts < 2; starts++) {
      assert.equal(states.summary(deleted!), null);
      const { stateEpoch, startOffset } = states.summary(reset!)!;
      assert.deepEqual({ stateEpoch, startOffset }, { stateEpoch: 2, startOffset: 7n });
      states.close();
      states = open();
      await done(states.start());
    }
  });

  it('writes records that say what they were given', () => {
    const batches = write(4n).batches;
    const state = {
      ...{ snapshotEpoch: 1, stateEpoch: 2, leaderEpoch: 3, startOffset: 4n, deliveryCompleteCount: 5 },
      ...{ createdMs: 6, writtenMs: 7, batches },
    };
    const snapshot = snapshotRecord(KEY, state);
    assert.deepEqual(parseStateRecord(snapshot.key, snapshot.value), {
      kind: 'snapshot',
      key: KEY,
      value: state,
    });
    const tombstone = snapshotRecord(KEY, null);
    assert.deepEqual(parseStateRecord(tombstone.key, null), { kind: 'snapshot', key: KEY, value: null });
    const value = { snapshotEpoch: 1, leaderEpoch: 3, startOffset: 4n, deliveryCompleteCount: 5, batches };
    const update = updateRecord(KEY, value);
    assert.deepEqual(parseStateRecord(update.key, update.value), { kind: 'update', key: KEY, value });
  });
});

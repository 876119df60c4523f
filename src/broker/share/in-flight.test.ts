import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { AcknowledgeType, InFlight } from './in-flight.ts';
import { DeliveryState } from './partition-state.ts';

const LIMITS = { maxRecordLocks: 100, deliveryCountLimit: 5 };
const { ACCEPT, RELEASE, REJECT, RENEW, GAP } = AcknowledgeType;

function acquire(flight: InFlight, from: number, end: number, memberId = 'a', deadlineMs = 100) {
  const range = { from: BigInt(from), base: BigInt(from), end: BigInt(end), most: Number.MAX_SAFE_INTEGER };
  return flight.acquire(range, memberId, deadlineMs, LIMITS);
}

function acknowledge(flight: InFlight, first: number, last: number, types: number[], memberId = 'a') {
  const batch = { firstOffset: BigInt(first), lastOffset: BigInt(last), acknowledgeTypes: types };
  return flight.acknowledge(memberId, [batch], { deadlineMs: 500, deliveryCountLimit: 5 });
}

function states(flight: InFlight): string[] {
  const names = Object.entries(DeliveryState);
  return flight.runs.map(({ first, last, state, deliveryCount }) => {
    const [name] = names.find(([, value]) => value === state)!;
    return `${first}-${last} ${name} ${deliveryCount}`;
  });
}

describe('records in flight', () => {
  it('gives each record to one member', () => {
    const flight = new InFlight(10n);
    assert.deepEqual(flight.wanted(500, LIMITS), { from: 10n, upTo: 109n });
    assert.deepEqual(acquire(flight, 10, 20), [{ firstOffset: 10n, lastOffset: 19n, deliveryCount: 1 }]);
    assert.deepEqual(acquire(flight, 10, 25, 'b'), [{ firstOffset: 20n, lastOffset: 24n, deliveryCount: 1 }]);
    assert.deepEqual(acquire(flight, 10, 25, 'c'), []);
    assert.equal(flight.acquiredCount, 15);
    assert.deepEqual(flight.wanted(500, LIMITS), { from: 25n, upTo: 109n });
  });

  it('moves the start over what is done with, when that is written', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 10);
    const later = acknowledge(flight, 5, 9, [ACCEPT]);
    assert.equal(flight.startOffsetAfter(later), 0n);
    flight.commit(later);
    assert.equal(flight.startOffset, 0n);
    assert.equal(flight.deliveryCompleteCount(0n), 5);
    const first = acknowledge(flight, 0, 4, [ACCEPT, ACCEPT, REJECT, GAP, ACCEPT]);
    assert.equal(flight.startOffsetAfter(first), 10n);
    flight.commit(first);
    assert.equal(flight.startOffset, 10n);
    assert.deepEqual(states(flight), []);
    assert.deepEqual(flight.wanted(10, LIMITS), { from: 10n, upTo: 19n });
  });

  it('gives released records again, and gives them up at the limit', () => {
    const flight = new InFlight(0n);
    for (let attempt = 1; attempt <= 5; attempt++) {
      assert.equal(flight.wanted(1, LIMITS)?.from, 0n);
      const [acquired] = acquire(flight, 0, 1);
      assert.equal(acquired!.deliveryCount, attempt);
      flight.commit(acknowledge(flight, 0, 0, [RELEASE]));
    }
    assert.equal(flight.startOffset, 1n);
  });

  it('delivers what failed often in smaller and smaller parts', () => {
    const flight = new InFlight(0n, [
      { firstOffset: 0n, lastOffset: 15n, deliveryState: DeliveryState.AVAILABLE, deliveryCount: 3 },
    ]);
    assert.deepEqual(acquire(flight, 0, 16), [{ firstOffset: 0n, lastOffset: 7n, deliveryCount: 4 }]);
    flight.commit(acknowledge(flight, 0, 7, [RELEASE]));
    assert.deepEqual(acquire(flight, 0, 16), [{ firstOffset: 0n, lastOffset: 0n, deliveryCount: 5 }]);
  });

  it('takes records back when their time is up', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 4, 'a', 100);
    acquire(flight, 4, 8, 'b', 200);
    assert.equal(flight.nextDeadlineMs, 100);
    assert.deepEqual(flight.release({ nowMs: 99 }, 5).runs, []);
    flight.commit(flight.release({ nowMs: 100 }, 5));
    assert.deepEqual(states(flight), ['0-3 AVAILABLE 1', '4-7 ACQUIRED 1']);
    assert.deepEqual(acquire(flight, 0, 8, 'b'), [{ firstOffset: 0n, lastOffset: 3n, deliveryCount: 2 }]);
    flight.commit(flight.release({ memberId: 'b' }, 5));
    assert.deepEqual(states(flight), ['0-3 AVAILABLE 2', '4-7 AVAILABLE 1']);
    assert.equal(flight.acquiredCount, 0);
    assert.equal(flight.nextDeadlineMs, null);
  });

  it('renews without a transition', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 4);
    const transition = acknowledge(flight, 0, 3, [RENEW]);
    assert.deepEqual(transition.runs, []);
    assert.equal(flight.nextDeadlineMs, 500);
  });

  it('keeps what members have if it could not be written', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 4);
    const transition = acknowledge(flight, 1, 2, [ACCEPT]);
    assert.throws(() => acknowledge(flight, 0, 3, [ACCEPT]), { code: ErrorCode.INVALID_RECORD_STATE });
    assert.deepEqual(flight.release({ memberId: 'a' }, 5).runs.length, 2, 'what is being written stays');
    flight.rollBack(transition);
    assert.deepEqual(states(flight), ['0-0 ACQUIRED 1', '1-2 ACQUIRED 1', '3-3 ACQUIRED 1']);
  });

  it("refuses all of it if a part is not the member's", () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 4);
    acquire(flight, 4, 8, 'b');
    for (const [first, last, code] of [
      [0, 7, ErrorCode.INVALID_RECORD_STATE],
      [0, 8, ErrorCode.INVALID_REQUEST],
    ] as const)
      assert.throws(() => acknowledge(flight, first, last, [ACCEPT]), { code });
    assert.deepEqual(states(flight), ['0-3 ACQUIRED 1', '4-7 ACQUIRED 1']);
  });

  it('archives what the log does not have any more', () => {
    const flight = new InFlight(0n);
    const range = { from: 0n, base: 6n, end: 10n, most: Number.MAX_SAFE_INTEGER };
    assert.deepEqual(flight.acquire(range, 'a', 100, LIMITS), [
      { firstOffset: 6n, lastOffset: 9n, deliveryCount: 1 },
    ]);
    assert.equal(flight.startOffset, 6n);
  });

  it('follows a log that begins later, and lets members acknowledge what they have', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 10);
    flight.moveStart(5n);
    assert.equal(flight.startOffset, 5n);
    const transition = acknowledge(flight, 0, 9, [ACCEPT]);
    assert.deepEqual(
      flight.batchesOf(transition).map(({ firstOffset }) => firstOffset),
      [5n],
    );
    flight.commit(transition);
    assert.equal(flight.startOffset, 10n);
    assert.deepEqual(
      acknowledge(flight, 0, 4, [ACCEPT]).runs,
      [],
      'what is done with may be acknowledged again',
    );
    flight.moveStart(50n);
    assert.deepEqual(flight.wanted(5, LIMITS), { from: 50n, upTo: 54n });
  });

  it('follows a log in the middle of what is being written', () => {
    const flight = new InFlight(0n);
    acquire(flight, 0, 10);
    const transition = acknowledge(flight, 0, 9, [RELEASE]);
    flight.moveStart(5n);
    flight.commit(transition);
    assert.deepEqual(states(flight), ['5-9 AVAILABLE 1']);
    assert.equal(flight.nextDeadlineMs, null);
  });

  it('goes no further ahead of the first record that is not done with than the limit', () => {
    const flight = new InFlight(0n);
    const limits = { ...LIMITS, maxRecordLocks: 10 };
    assert.deepEqual(flight.wanted(500, limits), { from: 0n, upTo: 9n });
    acquire(flight, 0, 10);
    assert.equal(flight.wanted(500, limits), null);
    flight.commit(acknowledge(flight, 4, 9, [ACCEPT]));
    assert.equal(flight.wanted(500, limits), null, 'what is done with is kept, too');
    flight.commit(acknowledge(flight, 2, 2, [RELEASE]));
    assert.deepEqual(flight.wanted(500, limits), { from: 2n, upTo: 2n });
    flight.commit(acknowledge(flight, 0, 1, [ACCEPT]));
    assert.deepEqual(flight.wanted(500, limits), { from: 2n, upTo: 11n });
  });

  it('keeps no more than the limit while one record is held, whatever becomes of the others', () => {
    const flight = new InFlight(0n);
    const limits = { ...LIMITS, maxRecordLocks: 10 };
    for (let wanted = flight.wanted(1, limits); wanted !== null; wanted = flight.wanted(1, limits)) {
      const offset = Number(wanted.from);
      acquire(flight, offset, offset + 1);
      if (offset === 0) continue;
      assert.ok(offset < 1000, 'it goes on without an end');
      flight.commit(acknowledge(flight, offset, offset, [offset % 2 === 0 ? ACCEPT : REJECT]));
    }
    assert.equal(flight.runs.length, 10);
  });

  it('goes on from what was stored', () => {
    const flight = new InFlight(3n, [
      { firstOffset: 0n, lastOffset: 4n, deliveryState: DeliveryState.ACKNOWLEDGED, deliveryCount: 1 },
      { firstOffset: 7n, lastOffset: 8n, deliveryState: DeliveryState.ARCHIVED, deliveryCount: 5 },
      { firstOffset: 9n, lastOffset: 9n, deliveryState: DeliveryState.AVAILABLE, deliveryCount: 2 },
    ]);
    assert.equal(flight.startOffset, 5n);
    assert.deepEqual(states(flight), ['5-6 AVAILABLE 0', '7-8 ARCHIVED 5', '9-9 AVAILABLE 2']);
    assert.equal(flight.nextOffset, 10n);
  });

  it('limits records strictly when told to', () => {
    const flight = new InFlight(0n);
    const range = { from: 0n, base: 0n, end: 10n, most: 3 };
    assert.deepEqual(flight.acquire(range, 'a', 100, LIMITS), [
      { firstOffset: 0n, lastOffset: 2n, deliveryCount: 1 },
    ]);
    assert.deepEqual(flight.wanted(500, LIMITS)?.from, 3n);
  });
});

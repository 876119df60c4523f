import assert from 'node:assert/strict';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { type FetchContext, type FetchRequestPartition, FetchSessions } from './fetch-session.ts';

function partition(index: number, over: Partial<FetchRequestPartition> = {}): FetchRequestPartition {
  return {
    topic: 't',
    partition: index,
    currentLeaderEpoch: -1,
    fetchOffset: 0n,
    lastFetchedEpoch: -1,
    logStartOffset: -1n,
    maxBytes: 1000,
    ...over,
  };
}

const QUIET = { errorCode: 0, highWatermark: 5n, logStartOffset: 0n, recordBytes: 0, notable: false };

function indexes(partitions: readonly FetchRequestPartition[]): number[] {
  return partitions.map((one) => one.partition);
}

describe('FetchSessions', () => {
  let clock: VirtualClock;
  let sessions: FetchSessions;

  beforeEach(() => {
    clock = new VirtualClock();
    sessions = new FetchSessions({ slots: 2, evictionMs: 1000, maxPartitions: 5 }, clock);
  });

  function start(...partitions: FetchRequestPartition[]) {
    const context = sessions.begin(0, 0, false, partitions, []);
    assert.equal(context.kind, 'full');
    assert.ok(context.kind === 'full' && context.session !== null);
    for (const one of partitions) context.session.answer(one, QUIET);
    return context.session;
  }

  it('serves clients without a session', () => {
    const context = sessions.begin(0, -1, false, [partition(0)], []);
    assert.ok(context.kind === 'full' && context.session === null);
    assert.equal(sessions.size, 0);
  });

  it('begins a session of nothing, to which partitions are added', () => {
    const { id } = start();
    const next = sessions.begin(id, 1, false, [partition(0)], []);
    assert.ok(next.kind === 'incremental');
    assert.deepEqual(indexes(next.partitions), [0]);
  });

  it('adds, changes and forgets partitions, and names only what has changed', () => {
    const session = start(partition(0), partition(1), partition(2));
    const next = sessions.begin(
      session.id,
      1,
      false,
      [partition(1, { fetchOffset: 7n }), partition(3)],
      [partition(0)],
    );
    assert.ok(next.kind === 'incremental');
    assert.deepEqual(indexes(next.partitions), [1, 2, 3]);
    assert.equal(next.partitions[0]?.fetchOffset, 7n);
    assert.equal(session.answer(partition(1), QUIET), false);
    assert.equal(session.answer(partition(2), { ...QUIET, highWatermark: 6n }), true);
    assert.equal(session.answer(partition(3), QUIET), true, 'new to the client');
    assert.equal(session.answer(partition(3), { ...QUIET, logStartOffset: 1n }), true);
    assert.equal(session.answer(partition(3), { ...QUIET, logStartOffset: 1n, notable: true }), true);
  });

  it('repeats the offsets after an error', () => {
    const session = start(partition(0));
    assert.equal(session.answer(partition(0), { ...QUIET, errorCode: 1, highWatermark: -1n }), true);
    assert.equal(session.answer(partition(0), QUIET), true);
    assert.equal(session.answer(partition(0), QUIET), false);
  });

  it('moves partitions that gave data to the end, so that all get their turn', () => {
    const session = start(partition(0), partition(1));
    session.answer(partition(0), { ...QUIET, recordBytes: 10 });
    assert.deepEqual(indexes(session.requests()), [1, 0]);
  });

  it('refuses unknown sessions, wrong epochs and a change to or from topic ids', () => {
    const session = start(partition(0));
    assert.deepEqual(sessions.begin(12345, 1, false, [], []), {
      kind: 'error',
      error: 'FETCH_SESSION_ID_NOT_FOUND',
    });
    assert.deepEqual(sessions.begin(session.id, 2, false, [], []), {
      kind: 'error',
      error: 'INVALID_FETCH_SESSION_EPOCH',
    });
    assert.deepEqual(sessions.begin(session.id, 1, true, [], []), {
      kind: 'error',
      error: 'FETCH_SESSION_TOPIC_ID_ERROR',
    });
    assert.equal(sessions.begin(session.id, 1, false, [], []).kind, 'incremental');
    assert.equal(sessions.begin(session.id, 2, false, [], []).kind, 'incremental');
  });

  it('ends a session by the final epoch, a new full request, or when nothing is left of it', () => {
    let session = start(partition(0));
    sessions.begin(session.id, -1, false, [partition(0)], []);
    assert.equal(sessions.size, 0);
    session = start(partition(0));
    sessions.begin(session.id, 0, false, [partition(1)], []);
    assert.equal(sessions.size, 1);
    session = start(partition(0));
    const context = sessions.begin(session.id, 1, false, [], [partition(0)]);
    assert.ok(context.kind === 'full' && context.session === null);
    assert.equal(sessions.size, 1);
  });

  it('keeps a limited number and gives up the one unused for longest', () => {
    const first = start(partition(0));
    clock.tick(600);
    const second = start(partition(0));
    let third = sessions.begin(0, 0, false, [partition(0)], []);
    assert.ok(third.kind === 'full' && third.session === null, 'all are in use');
    clock.tick(600);
    third = sessions.begin(0, 0, false, [partition(0)], []);
    assert.ok(third.kind === 'full' && third.session !== null);
    assert.equal(sessions.begin(first.id, 1, false, [], []).kind, 'error');
    assert.equal(sessions.begin(second.id, 1, false, [], []).kind, 'incremental');
  });

  it('keeps a limited number of partitions, and serves who finds no room without a session', () => {
    const first = start(partition(0), partition(1), partition(2));
    let second = sessions.begin(0, 0, false, [partition(0), partition(1), partition(2)], []);
    assert.ok(second.kind === 'full' && second.session === null);
    assert.equal(second.partitions.length, 3);
    const more = [3, 4, 5].map((index) => partition(index));
    assert.deepEqual(sessions.begin(first.id, 1, false, more, []), {
      kind: 'error',
      error: 'FETCH_SESSION_ID_NOT_FOUND',
    });
    assert.equal(sessions.size, 0);
    start(partition(0), partition(1), partition(2));
    clock.tick(1001);
    second = sessions.begin(0, 0, false, [partition(0), partition(1), partition(2)], []);
    assert.ok(second.kind === 'full' && second.session !== null, 'one that is not used gives way');
    assert.equal(sessions.begin(second.session.id, 1, false, more.slice(1), []).kind, 'incremental');
  });

  it('keeps no names that are too long for a topic', () => {
    const long = partition(0, { topic: 'x'.repeat(250) });
    const context = sessions.begin(0, 0, false, [partition(0), long], []);
    assert.ok(context.kind === 'full' && context.session === null);
    const session = start(partition(0));
    assert.equal(sessions.begin(session.id, 1, false, [long], []).kind, 'error');
    assert.equal(sessions.size, 0);
  });

  it('serves a partition that is named twice once, as it is named last', () => {
    const twice = [partition(0), partition(1), partition(0, { fetchOffset: 7n })];
    for (const epoch of [0, -1]) {
      const { partitions } = sessions.begin(0, epoch, false, twice, []) as FetchContext & { kind: 'full' };
      assert.deepEqual(indexes(partitions), [0, 1]);
      assert.equal(partitions[0]?.fetchOffset, 7n);
    }
  });

  it('tells partitions of a topic from those of others', () => {
    const other = { topic: 'u' };
    const session = start(partition(0), partition(0, other), partition(1, other));
    const next = sessions.begin(session.id, 1, false, [], [partition(0), partition(9), partition(9, other)]);
    assert.ok(next.kind === 'incremental');
    assert.deepEqual(
      next.partitions.map(({ topic, partition }) => [topic, partition]),
      [
        ['u', 0],
        ['u', 1],
      ],
    );
  });
});

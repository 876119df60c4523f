import assert from 'node:assert/strict';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { type CommittedOffset, Offsets } from './offsets.ts';

const PLACE = { groupId: 'g', topic: 't', partition: 0 };

function value(offset: number): CommittedOffset {
  return {
    topicId: ZERO_UUID,
    offset: BigInt(offset),
    leaderEpoch: -1,
    metadata: '',
    commitTimestampMs: 0,
    expireTimestampMs: null,
  };
}

describe('offsets of transactions', () => {
  let offsets: Offsets;
  const committed = () => offsets.get('g', 't', 0)?.offset ?? null;
  const pending = (producerId: bigint, offset: number, written = true) =>
    offsets.beginPending(producerId, { ...PLACE, value: value(offset) })(written);
  const commit = (offset: number | null) =>
    offsets.begin({ ...PLACE, value: offset === null ? null : value(offset) })(true);

  beforeEach(() => {
    offsets = new Offsets();
  });

  it('take effect at commit, and are unstable until then', () => {
    pending(1n, 5);
    assert.equal(committed(), null);
    assert.ok(offsets.isUnstable('g', 't', 0));
    offsets.endTransaction(1n, true);
    assert.equal(committed(), 5n);
    assert.equal(offsets.isUnstable('g', 't', 0), false);
  });

  it('are forgotten at abort, and leave nothing behind', () => {
    pending(1n, 5);
    offsets.endTransaction(1n, false);
    assert.deepEqual([...offsets.groupIds()], []);
    commit(3);
    pending(1n, 5);
    offsets.endTransaction(1n, false);
    assert.equal(committed(), 3n);
  });

  it('do not undo what was committed after them', () => {
    pending(1n, 5);
    commit(8);
    offsets.endTransaction(1n, true);
    assert.equal(committed(), 8n);
    pending(1n, 9);
    pending(2n, 10);
    offsets.endTransaction(2n, true);
    assert.ok(offsets.isUnstable('g', 't', 0));
    offsets.endTransaction(1n, true);
    assert.equal(committed(), 10n);
  });

  it('go with what was deleted after them, and stay without what was deleted before', () => {
    pending(1n, 5);
    commit(null);
    assert.equal(offsets.isUnstable('g', 't', 0), false);
    offsets.endTransaction(1n, true);
    assert.equal(committed(), null);
    const deletion = offsets.begin({ ...PLACE, value: null });
    pending(1n, 6);
    deletion(true);
    offsets.endTransaction(1n, true);
    assert.equal(committed(), 6n);
  });

  it('are those that were written', () => {
    pending(1n, 5);
    pending(1n, 6, false);
    offsets.endTransaction(1n, true);
    assert.equal(committed(), 5n);
    pending(2n, 7, false);
    assert.equal(offsets.isUnstable('g', 't', 0), false);
    offsets.endTransaction(2n, true);
    assert.equal(committed(), 5n);
  });
});

import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { createMemberIdentity, type MemberIdentity } from '../../protocol/generated/leave-group-request.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import {
  GROUP,
  heartbeat,
  join,
  protocols,
  stableGroup,
  startGroups,
  stateOf,
  sync,
  type TestBroker,
} from './coordinator.fixture.ts';

async function leave({ groups }: TestBroker, ...identities: Partial<MemberIdentity>[]): Promise<number[]> {
  const result = await groups.leave(GROUP, identities.map(createMemberIdentity));
  return typeof result === 'number' ? [result] : result.map(({ errorCode }) => errorCode);
}

describe('static members (KIP-345)', () => {
  it('come back without a rebalance, under a new id, and fence their former self', async () => {
    const broker = await startGroups();
    const [, follower] = await stableGroup(broker, ['a', 'b']);
    const back = await join(broker, { groupInstanceId: 'b' }, 5);
    assert.equal(back.errorCode, ErrorCode.NONE);
    assert.notEqual(back.memberId, follower!.memberId);
    assert.equal(back.generationId, 1);
    assert.equal(stateOf(broker), 'Stable');
    const synced = await sync(broker, back, {}, { groupInstanceId: 'b' });
    assert.equal(Buffer.from(synced.assignment).toString(), '1');
    assert.equal(heartbeat(broker, follower!, 'b'), ErrorCode.FENCED_INSTANCE_ID);
    assert.equal(heartbeat(broker, follower!), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(heartbeat(broker, back, 'b'), ErrorCode.NONE);
    assert.equal(heartbeat(broker, back, 'c'), ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('are told to skip the assignment when the leader comes back (KIP-814)', async () => {
    const broker = await startGroups();
    const [leader] = await stableGroup(broker, ['a', 'b']);
    const old = await join(broker, { groupInstanceId: 'a' }, 8);
    assert.deepEqual([old.leader, old.members, old.skipAssignment], [leader!.memberId, [], false]);
    const back = await join(broker, { groupInstanceId: 'a' }, 9);
    assert.equal(back.leader, back.memberId);
    assert.equal(back.members.length, 2);
    assert.equal(back.skipAssignment, true);
  });

  it('keep their new id over a restart', async () => {
    const broker = await startGroups();
    await stableGroup(broker, ['a', 'b']);
    const back = await join(broker, { groupInstanceId: 'b' }, 5);
    broker.groups.close();
    const restarted = await startGroups(broker);
    assert.equal(heartbeat(restarted, back, 'b'), ErrorCode.NONE);
    const synced = await sync(restarted, back, {}, { groupInstanceId: 'b' });
    assert.equal(Buffer.from(synced.assignment).toString(), '1');
  });

  it('keep their old id if the new one cannot be written', async () => {
    const broker = await startGroups();
    const [, follower] = await stableGroup(broker, ['a', 'b']);
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const back = await join(broker, { groupInstanceId: 'b' }, 5);
    assert.equal(back.errorCode, ErrorCode.NOT_COORDINATOR);
    assert.equal(heartbeat(broker, follower!, 'b'), ErrorCode.NONE);
    assert.equal(stateOf(broker), 'Stable');
  });

  it('wait for the next generation if a rebalance begins before the new id is written', async () => {
    const broker = await startGroups();
    const [leader] = await stableGroup(broker, ['a', 'b']);
    broker.log.hold();
    const back = join(broker, { groupInstanceId: 'b' }, 5);
    const rejoin = join(broker, { memberId: leader!.memberId, groupInstanceId: 'a' }, 5);
    broker.log.release();
    assert.equal((await rejoin).generationId, 2);
    assert.equal((await back).generationId, 2);
  });

  it('begin a rebalance when the protocol changes or assignments are being made', async () => {
    const broker = await startGroups();
    await stableGroup(broker, ['a'], { protocols: protocols('range', 'sticky') });
    const changed = await join(broker, { groupInstanceId: 'a', protocols: protocols('sticky', 'range') }, 5);
    assert.deepEqual([changed.generationId, changed.protocolName], [2, 'sticky']);
    assert.equal(stateOf(broker), 'CompletingRebalance');
    const again = await join(broker, { groupInstanceId: 'a', protocols: protocols('sticky', 'range') }, 5);
    assert.equal(again.generationId, 3);
  });

  it('stay in the group through a rebalance that they miss', async () => {
    const broker = await startGroups();
    const [leader, missing] = await stableGroup(broker, ['a', 'b'], { sessionTimeoutMs: 60_000 });
    const rejoin = join(broker, { memberId: leader!.memberId, groupInstanceId: 'a' }, 5);
    await broker.clock.advance(30_000);
    const next = await rejoin;
    assert.deepEqual(next.members.map(({ groupInstanceId }) => groupInstanceId).sort(), ['a', 'b']);
    assert.equal(heartbeat(broker, missing!, 'b'), ErrorCode.ILLEGAL_GENERATION);
  });

  it('replace a former self that waits', async () => {
    const broker = await startGroups();
    const waiting = join(broker, { groupInstanceId: 'a' }, 5);
    const newer = join(broker, { groupInstanceId: 'a' }, 5);
    assert.equal((await waiting).errorCode, ErrorCode.FENCED_INSTANCE_ID);
    await broker.clock.advance(6_000);
    assert.equal((await newer).members.length, 1);
  });
});

describe('leaving a classic group', () => {
  it('takes several members out at once, also by instance id alone (KIP-345)', async () => {
    const broker = await startGroups();
    const [leader] = await stableGroup(broker, [null, 'b', 'c']);
    const codes = await leave(
      broker,
      { memberId: leader!.memberId },
      { groupInstanceId: 'b' },
      { memberId: 'wrong', groupInstanceId: 'c' },
      { groupInstanceId: 'd' },
      { memberId: 'who' },
      { memberId: '' },
    );
    assert.deepEqual(codes, [
      ErrorCode.NONE,
      ErrorCode.NONE,
      ErrorCode.FENCED_INSTANCE_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
    ]);
    assert.equal(stateOf(broker), 'PreparingRebalance');
  });

  it('empties the group with the last member, and writes that', async () => {
    const broker = await startGroups();
    const [only] = await stableGroup(broker);
    assert.deepEqual(await leave(broker, { memberId: only!.memberId }), [ErrorCode.NONE]);
    assert.equal(stateOf(broker), 'Empty');
    await settled();
    broker.groups.close();
    const restarted = await startGroups(broker);
    assert.equal(stateOf(restarted), 'Empty');
    const [next] = await stableGroup(restarted);
    assert.equal(next!.generationId, 3);
  });

  it('answers who waits, and forgets ids that were only given out', async () => {
    const broker = await startGroups();
    const { memberId } = await join(broker, {}, 4);
    assert.deepEqual(await leave(broker, { memberId }), [ErrorCode.NONE]);
    const joined = await join(broker, { memberId }, 4);
    assert.equal(joined.errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    const waiting = join(broker, { groupInstanceId: 'a' }, 5);
    assert.deepEqual(await leave(broker, { groupInstanceId: 'a' }), [ErrorCode.NONE]);
    assert.equal((await waiting).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('ends the rebalance that waited for the member', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    const rejoin = join(broker, { memberId: leader!.memberId });
    await leave(broker, { memberId: follower!.memberId });
    assert.equal((await rejoin).generationId, 2);
  });

  it('knows no members of a group that does not exist', async () => {
    const broker = await startGroups();
    assert.deepEqual(await leave(broker, { memberId: 'who' }), [ErrorCode.UNKNOWN_MEMBER_ID]);
  });
});

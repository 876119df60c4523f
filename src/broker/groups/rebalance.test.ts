import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import {
  GROUP,
  heartbeat,
  join,
  protocols,
  stableGroup,
  startGroups,
  stateOf,
  subscription,
  sync,
} from './coordinator.fixture.ts';

describe('rebalancing a classic group', () => {
  it('waits for the first members and lets the first lead', async () => {
    const broker = await startGroups();
    const first = join(broker);
    const second = join(broker);
    await broker.clock.advance(2_999);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    await broker.clock.advance(3_001);
    const [leader, follower] = await Promise.all([first, second]);
    assert.equal(leader.generationId, 1);
    assert.equal(leader.leader, leader.memberId);
    assert.equal(follower.leader, leader.memberId);
    assert.deepEqual(
      leader.members.map(({ memberId }) => memberId),
      [leader.memberId, follower.memberId],
    );
    assert.deepEqual(follower.members, []);
    assert.equal(leader.protocolName, 'range');
    const waiting = sync(broker, follower);
    await settled();
    assert.equal(stateOf(broker), 'CompletingRebalance');
    const synced = await sync(broker, leader, { [leader.memberId]: 'a', [follower.memberId]: 'b' });
    assert.equal(Buffer.from(synced.assignment).toString(), 'a');
    assert.equal(Buffer.from((await waiting).assignment).toString(), 'b');
    assert.equal(stateOf(broker), 'Stable');
    assert.equal(heartbeat(broker, follower), ErrorCode.NONE);
  });

  it('extends the first delay while members come, up to the rebalance time-out', async () => {
    const broker = await startGroups();
    const joins = [join(broker, { rebalanceTimeoutMs: 7_000 })];
    for (let i = 0; i < 3; i++) {
      await broker.clock.advance(2_000);
      joins.push(join(broker, { rebalanceTimeoutMs: 7_000 }));
    }
    await broker.clock.advance(999);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    await broker.clock.advance(2_000);
    for (const { errorCode } of await Promise.all(joins)) assert.equal(errorCode, ErrorCode.NONE);
  });

  it('waits for its first members although one that got an id does not come', async () => {
    const broker = await startGroups(undefined, { initialRebalanceDelayMs: 20_000 });
    const first = join(broker);
    await join(broker, {}, 4);
    await broker.clock.advance(19_999);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    await broker.clock.advance(1);
    assert.equal((await first).errorCode, ErrorCode.NONE);
  });

  it('gives dynamic members their id first from version 4 (KIP-394)', async () => {
    const broker = await startGroups();
    const refused = await join(broker, {}, 4);
    assert.equal(refused.errorCode, ErrorCode.MEMBER_ID_REQUIRED);
    assert.equal(refused.memberId, 'client-id1');
    const joined = join(broker, { memberId: refused.memberId }, 4);
    await broker.clock.advance(3_000);
    assert.equal((await joined).memberId, refused.memberId);
  });

  it('forgets an id that was given out and not used', async () => {
    const broker = await startGroups();
    const { memberId } = await join(broker, {}, 4);
    await broker.clock.advance(10_000);
    const late = await join(broker, { memberId }, 4);
    assert.equal(late.errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('forgets the oldest of very many ids that were given out', async () => {
    const broker = await startGroups(undefined, { maxPendingMembers: 2 });
    const given: string[] = [];
    for (let i = 0; i < 4; i++) given.push((await join(broker, {}, 4)).memberId);
    const group = broker.groups.shards[0]!.groups.get(GROUP);
    assert.ok(group?.type === 'classic');
    assert.deepEqual([...group.pendingMembers.keys()], given.slice(2));
    const late = await join(broker, { memberId: given[0]! }, 4);
    assert.equal(late.errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    const joined = join(broker, { memberId: given[3]! }, 4);
    await broker.clock.advance(3_000);
    assert.equal((await joined).memberId, given[3]);
  });

  it('holds a rebalance for those whose id was given out', async () => {
    const broker = await startGroups();
    const [leader] = await stableGroup(broker);
    await join(broker, {}, 4);
    const rejoin = join(broker, { memberId: leader!.memberId });
    await broker.clock.advance(9_000);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    await broker.clock.advance(1_000);
    assert.equal((await rejoin).generationId, 2);
  });

  it('gives ids that fit into a string of the protocol, however long the name of the client', async () => {
    const broker = await startGroups();
    const joined = join(broker, { groupInstanceId: '\uffff'.repeat(10_922) });
    await broker.clock.advance(3_000);
    const { errorCode, memberId } = await joined;
    assert.equal(errorCode, ErrorCode.NONE);
    assert.ok(Buffer.byteLength(memberId) <= 32_767, `${Buffer.byteLength(memberId)} bytes`);
  });

  it('refuses who has no protocol in common', async () => {
    const broker = await startGroups();
    const empty = await join(broker, { protocols: [] });
    assert.equal(empty.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    assert.equal(stateOf(broker), undefined);
    await stableGroup(broker);
    for (const request of [{ protocolType: 'connect' }, { protocols: protocols('sticky') }])
      assert.equal((await join(broker, request)).errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    assert.equal(stateOf(broker), 'Stable');
  });

  it('refuses bad session time-outs, group ids and member ids', async () => {
    const broker = await startGroups();
    for (const sessionTimeoutMs of [5_999, 60_001])
      assert.equal((await join(broker, { sessionTimeoutMs })).errorCode, ErrorCode.INVALID_SESSION_TIMEOUT);
    assert.equal((await join(broker, { groupId: '' })).errorCode, ErrorCode.INVALID_GROUP_ID);
    assert.equal((await join(broker, { memberId: 'who' })).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('chooses the protocol that most members prefer of those that all support', async () => {
    const broker = await startGroups();
    const joins = [
      join(broker, { protocols: protocols('x', 'a', 'b') }),
      join(broker, { protocols: protocols('b', 'a') }),
      join(broker, { protocols: protocols('b', 'x', 'a') }),
    ];
    await broker.clock.advance(6_000);
    for (const { protocolName } of await Promise.all(joins)) assert.equal(protocolName, 'b');
  });

  it('drops members that do not rejoin in time, and elects another leader', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    const changed = [{ name: 'range', metadata: subscription('other') }];
    const rejoin = join(broker, { memberId: follower!.memberId, protocols: changed });
    for (let i = 0; i < 3; i++) {
      assert.equal(heartbeat(broker, leader!), ErrorCode.REBALANCE_IN_PROGRESS);
      await broker.clock.advance(9_000);
    }
    await broker.clock.advance(3_000);
    const next = await rejoin;
    assert.equal(next.leader, follower!.memberId);
    assert.equal(next.members.length, 1);
    assert.equal(heartbeat(broker, leader!), ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('drops members whose session ends, and rebalances', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    for (let i = 0; i < 2; i++) {
      await broker.clock.advance(6_000);
      heartbeat(broker, leader!);
    }
    assert.equal(stateOf(broker), 'PreparingRebalance');
    assert.equal(heartbeat(broker, follower!), ErrorCode.UNKNOWN_MEMBER_ID);
    const rejoin = await join(broker, { memberId: leader!.memberId });
    assert.deepEqual([rejoin.generationId, rejoin.members.length], [2, 1]);
  });

  it('repeats its answer to a follower that has not changed; a leader begins a rebalance', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    const again = await join(broker, { memberId: follower!.memberId });
    assert.equal(again.generationId, 1);
    assert.equal(Buffer.from((await sync(broker, again)).assignment).toString(), '1');
    const rejoin = join(broker, { memberId: leader!.memberId });
    await settled();
    assert.equal(stateOf(broker), 'PreparingRebalance');
    await join(broker, { memberId: follower!.memberId });
    assert.equal((await rejoin).generationId, 2);
  });

  it('answers a JoinGroup that its client repeats', async () => {
    const broker = await startGroups();
    const [leader] = await stableGroup(broker, [null, null]);
    const first = join(broker, { memberId: leader!.memberId });
    void join(broker, { memberId: leader!.memberId });
    assert.equal((await first).errorCode, ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('turns away who is beyond group.max.size', async () => {
    const broker = await startGroups(undefined, { maxSize: 2 });
    await stableGroup(broker, [null, null]);
    assert.equal((await join(broker)).errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED);
    assert.equal(stateOf(broker), 'Stable');
  });

  it('goes on without those who are too many when group.max.size was lowered', async () => {
    const broker = await startGroups();
    const [first, second] = await stableGroup(broker, [null, null]);
    broker.groups.close();
    const smaller = await startGroups(broker, { maxSize: 1 });
    const kept = join(smaller, { memberId: first!.memberId });
    const refused = await join(smaller, { memberId: second!.memberId });
    assert.equal(refused.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED);
    assert.equal(stateOf(smaller), 'CompletingRebalance');
    assert.equal((await kept).generationId, 2);
  });

  it('gives up new members that wait too long', async () => {
    const broker = await startGroups();
    const [busy] = await stableGroup(broker, [null], { rebalanceTimeoutMs: 400_000 });
    const joined = join(broker);
    for (let i = 0; i < 60; i++) {
      assert.equal(heartbeat(broker, busy!), ErrorCode.REBALANCE_IN_PROGRESS);
      await broker.clock.advance(5_000);
    }
    assert.equal((await joined).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('drops members that never sync, and rebalances', async () => {
    const broker = await startGroups();
    const joins = [join(broker), join(broker)];
    await broker.clock.advance(6_000);
    const [leader, silent] = await Promise.all(joins);
    await sync(broker, leader!, { [leader!.memberId]: 'a' });
    for (let i = 0; i < 6; i++) {
      await broker.clock.advance(5_000);
      heartbeat(broker, leader!);
      heartbeat(broker, silent!);
    }
    assert.equal(heartbeat(broker, silent!), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(heartbeat(broker, leader!), ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('answers with errors what does not fit the generation', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    const old = { memberId: leader!.memberId, generationId: 0 };
    assert.equal(heartbeat(broker, old), ErrorCode.ILLEGAL_GENERATION);
    assert.equal((await sync(broker, old)).errorCode, ErrorCode.ILLEGAL_GENERATION);
    assert.equal((await sync(broker, { ...old, memberId: 'who' })).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    const other = await sync(broker, follower!, {}, { protocolType: 'consumer', protocolName: 'sticky' });
    assert.equal(other.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    void join(broker, { memberId: leader!.memberId });
    assert.equal((await sync(broker, follower!)).errorCode, ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('writes assignments before it gives them out, and rebalances if it cannot', async () => {
    const broker = await startGroups();
    const joins = [join(broker), join(broker)];
    await broker.clock.advance(6_000);
    const [leader, follower] = await Promise.all(joins);
    broker.log.hold();
    const syncs = [sync(broker, follower!), sync(broker, leader!, { [leader!.memberId]: 'a' })];
    await settled();
    assert.equal(stateOf(broker), 'CompletingRebalance');
    broker.log.failure = ErrorCode.NOT_ENOUGH_REPLICAS;
    broker.log.release();
    for (const { errorCode } of await Promise.all(syncs))
      assert.equal(errorCode, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.equal(stateOf(broker), 'PreparingRebalance');
  });

  it('answers everybody when it closes, and leaves no timer', async () => {
    const broker = await startGroups();
    const waiting = [join(broker), join(broker)];
    broker.groups.close();
    for (const { errorCode } of await Promise.all(waiting))
      assert.equal(errorCode, ErrorCode.NOT_COORDINATOR);
    assert.equal(broker.clock.pending, 0);
    assert.equal((await join(broker)).errorCode, ErrorCode.NOT_COORDINATOR);
  });

  it('goes on after a restart: members keep their generation until their sessions end', async () => {
    const broker = await startGroups();
    const [leader, follower] = await stableGroup(broker, [null, null]);
    broker.groups.close();
    const restarted = await startGroups(broker);
    assert.equal(stateOf(restarted), 'Stable');
    assert.equal(heartbeat(restarted, follower!), ErrorCode.NONE);
    const again = await sync(restarted, follower!);
    assert.equal(Buffer.from(again.assignment).toString(), '1');
    await restarted.clock.advance(9_000);
    heartbeat(restarted, leader!);
    await restarted.clock.advance(11_000);
    assert.equal(stateOf(restarted), 'Empty');
    const group = restarted.groups.shards[0]!.groups.get(GROUP);
    assert.equal(group?.type === 'classic' ? group.generationId : null, 2);
  });
});

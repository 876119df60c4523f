import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/errors.ts';
import { consumerProtocolAssignment } from '../../../protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../../../protocol/generated/consumer-protocol-subscription.ts';
import { createMemberIdentity } from '../../../protocol/generated/leave-group-request.ts';
import { decodeVersioned, encodeVersioned } from '../../../protocol/internal-records.ts';
import { GROUP, heartbeat, join, protocols, stateOf, sync, topicId } from '../coordinator.fixture.ts';
import { type ConsumerBroker, groupOf, settle, startConsumers, TestMember } from './consumer.fixture.ts';

type Joined = Awaited<ReturnType<typeof join>>;

function assignment(partitions: number[], userData: Uint8Array | null = null): Uint8Array {
  const assignedPartitions = partitions.length === 0 ? [] : [{ topic: 'events', partitions }];
  return encodeVersioned(consumerProtocolAssignment, { assignedPartitions, userData }, 0);
}

/** `topicId:partition` of an assignment in the classic protocol, sorted. */
function partitionsIn(bytes: Uint8Array): string[] {
  const { assignedPartitions } = decodeVersioned(consumerProtocolAssignment, bytes).value;
  return assignedPartitions
    .flatMap(({ topic, partitions }) => partitions.map((partition) => `${topicId(topic)}:${partition}`))
    .sort();
}

/** A stable classic group of two members, who have the even and the odd partitions of `events`. */
async function classicPair(
  broker: ConsumerBroker,
  userData: Uint8Array | null = null,
  supported = protocols('range'),
): Promise<[Joined, Joined]> {
  const joins = [join(broker, { protocols: supported }), join(broker, { protocols: supported })];
  await broker.clock.advance(6_000);
  const [leader, follower] = await Promise.all(joins);
  const assignments = [
    { memberId: leader!.memberId, assignment: assignment([0, 2, 4], userData) },
    { memberId: follower!.memberId, assignment: assignment([1, 3, 5]) },
  ];
  const synced = await Promise.all([sync(broker, follower!), sync(broker, leader!, {}, { assignments })]);
  assert.deepEqual(
    synced.map(({ errorCode }) => errorCode),
    [0, 0],
  );
  return [leader!, follower!];
}

/** What a classic member does when it is told to rejoin: its partitions afterwards. */
async function rejoin(
  broker: ConsumerBroker,
  { memberId }: Joined,
  groupInstanceId: string | null = null,
): Promise<{ joined: Joined; owned: string[] }> {
  const joined = await join(broker, { memberId, groupInstanceId });
  assert.equal(joined.errorCode, ErrorCode.NONE);
  const synced = await sync(broker, joined, {}, { groupInstanceId });
  assert.equal(synced.errorCode, ErrorCode.NONE);
  return { joined, owned: partitionsIn(synced.assignment) };
}

/** A classic member that follows what its heartbeats say, and says in its subscription what it owns: nothing. */
async function follow(
  broker: ConsumerBroker,
  member: Joined,
  instanceId: string | null = null,
): Promise<{ joined: Joined; owned: string[] }> {
  let state = { joined: member, owned: [] as string[] };
  const mustRejoin = () => heartbeat(broker, state.joined, instanceId) === ErrorCode.REBALANCE_IN_PROGRESS;
  for (let i = 0; i < 10 && mustRejoin(); i++) state = await rejoin(broker, state.joined, instanceId);
  return state;
}

const all = Array.from({ length: 6 }, (_, partition) => `${topicId('events')}:${partition}`).sort();

describe('conversion of groups with members', () => {
  it('makes a classic group one of the consumer protocol when such a member joins', async () => {
    const broker = await startConsumers();
    const [leader, follower] = await classicPair(broker);
    const c = new TestMember(broker, 'c');
    await c.join();
    const group = groupOf(broker);
    assert.deepEqual([group.size, group.classicSize], [3, 2]);
    // Everybody keeps what it had until it is told to rejoin.
    assert.deepEqual(c.owned, []);
    assert.equal(heartbeat(broker, leader), ErrorCode.REBALANCE_IN_PROGRESS);
    const first = await follow(broker, leader);
    const second = await follow(broker, follower);
    await settle(c);
    assert.equal(c.owned.length, 2);
    assert.equal(heartbeat(broker, first.joined), ErrorCode.NONE);
    assert.deepEqual([...first.owned, ...second.owned, ...c.owned].sort(), all);
    assert.deepEqual(
      broker.groups
        .describeConsumerGroup(GROUP)
        .members.map(({ memberType }) => memberType)
        .sort(),
      [0, 0, 1],
    );
    const restarted = await startConsumers({}, { former: broker });
    assert.equal(groupOf(restarted).classicSize, 2);
  });

  it('leaves a group as it is whose assignor says what only it understands', async () => {
    const broker = await startConsumers();
    await classicPair(broker, Uint8Array.of(1));
    const { errorCode, errorMessage } = await new TestMember(broker, 'c').join();
    assert.equal(errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
    assert.match(
      errorMessage!,
      /^Cannot upgrade classic group group to consumer group because an unsupported /,
    );
    assert.equal(stateOf(broker), 'Stable');
  });

  it('refuses a classic member of another kind without naming it', async () => {
    const broker = await startConsumers();
    const [leader] = await classicPair(broker);
    await new TestMember(broker, 'c').join();
    const { errorCode, memberId } = await join(broker, {
      memberId: leader.memberId,
      protocolType: 'connect',
    });
    assert.deepEqual([errorCode, memberId], [ErrorCode.INCONSISTENT_GROUP_PROTOCOL, '']);
  });

  it('makes it a classic one again when the last of them leaves', async () => {
    const broker = await startConsumers();
    const [leader, follower] = await classicPair(broker);
    const c = new TestMember(broker, 'c');
    await c.join();
    const first = await follow(broker, leader);
    await follow(broker, follower);
    await settle(c);
    assert.equal((await c.leave()).errorCode, ErrorCode.NONE);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    const { generationId } = first.joined;
    const group = broker.groups.shards[0]!.groups.get(GROUP);
    assert.ok(group?.type === 'classic' && group.generationId >= generationId);
    const joins = [
      join(broker, { memberId: leader.memberId }),
      join(broker, { memberId: follower.memberId }),
    ];
    const [one, two] = await Promise.all(joins);
    assert.deepEqual([one!.errorCode, two!.errorCode], [0, 0]);
    const restarted = await startConsumers({}, { former: broker });
    assert.equal(stateOf(restarted), 'Stable');
  });

  it('gives the place of the last one to a static member of the classic protocol', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a', 'one');
    await a.join();
    const joined = await join(broker, { groupInstanceId: 'one' }, 5);
    assert.equal(joined.errorCode, ErrorCode.NONE);
    assert.equal(stateOf(broker), 'Stable');
    const synced = await sync(broker, joined, {}, { groupInstanceId: 'one' });
    assert.deepEqual(partitionsIn(synced.assignment), all);
  });

  it('gives the place of the last one to a static member also while others wait for their partitions', async () => {
    const broker = await startConsumers();
    await new TestMember(broker, 'a', 'one').join();
    // It is to get half of the partitions, which the other has not given up.
    const waiting = await join(broker);
    assert.deepEqual(partitionsIn((await sync(broker, waiting)).assignment), []);
    const taking = await join(broker, { groupInstanceId: 'one' }, 5);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    assert.equal(heartbeat(broker, waiting), ErrorCode.REBALANCE_IN_PROGRESS);
    const joined = await Promise.all([
      join(broker, { memberId: waiting.memberId }),
      join(broker, { memberId: taking.memberId, groupInstanceId: 'one' }),
    ]);
    assert.deepEqual(
      joined.map(({ errorCode }) => errorCode),
      [0, 0],
    );
  });

  it('lets classic members go on alone where the group may not become a classic one', async () => {
    const times = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 5_000 };
    const consumer = { migrationPolicy: 'upgrade', timesOf: () => times } as const;
    const broker = await startConsumers({ events: 6 }, { consumer });
    const [leader, follower] = await classicPair(broker);
    const c = new TestMember(broker, 'c');
    await c.join();
    const first = await follow(broker, leader);
    const second = await follow(broker, follower);
    await settle(c);
    assert.equal(c.owned.length, 2);
    await c.leave();
    // Its partitions are assigned anew when that is due, by a classic member that is told to join.
    assert.equal(heartbeat(broker, first.joined), ErrorCode.NONE);
    await broker.clock.advance(5_000);
    const owned = [await follow(broker, first.joined), await follow(broker, second.joined)];
    assert.deepEqual(owned.flatMap((member) => member.owned).sort(), all);
  });

  it('lets the last of the others leave also where the rest does not fit into the record of a classic group', async () => {
    const broker = await startConsumers();
    const value = { topics: ['events'], ownedPartitions: [], generationId: -1, rackId: null };
    const metadata = encodeVersioned(
      consumerProtocolSubscription,
      { ...value, userData: new Uint8Array(500_000) },
      0,
    );
    await classicPair(broker, null, [{ name: 'range', metadata }]);
    const c = new TestMember(broker, 'c');
    await c.join();
    assert.equal((await c.leave()).errorCode, ErrorCode.NONE);
    const group = groupOf(broker);
    assert.deepEqual([group.size, group.classicSize], [2, 2]);
  });

  it('assigns anew what a member had that left while the group was converted', async () => {
    const broker = await startConsumers();
    const instances = ['one', 'two', null];
    const joins = instances.map((groupInstanceId) => join(broker, { groupInstanceId }, 3));
    await broker.clock.advance(6_000);
    const members = await Promise.all(joins);
    const assignments = members.map(({ memberId }, i) => ({
      memberId,
      assignment: assignment([2 * i, 2 * i + 1]),
    }));
    const syncs = members.map((member, i) =>
      sync(
        broker,
        member,
        {},
        { groupInstanceId: instances[i] ?? null, assignments: i === 0 ? assignments : [] },
      ),
    );
    for (const { errorCode } of await Promise.all(syncs)) assert.equal(errorCode, ErrorCode.NONE);
    await broker.groups.leave(GROUP, [createMemberIdentity({ memberId: members[2]!.memberId })]);
    assert.equal(stateOf(broker), 'PreparingRebalance');
    // It subscribes to what the member before it subscribes to, so that nothing else asks for an assignment.
    const a = new TestMember(broker, 'a', 'one');
    await a.join();
    const two = await follow(broker, members[1]!, 'two');
    await settle(a);
    assert.deepEqual([...a.owned, ...two.owned].sort(), all);
  });

  it('is refused as the policy says', async () => {
    for (const [migrationPolicy, errorCode] of [
      ['disabled', ErrorCode.GROUP_ID_NOT_FOUND],
      ['downgrade', ErrorCode.GROUP_ID_NOT_FOUND],
      ['upgrade', ErrorCode.NONE],
    ] as const) {
      const broker = await startConsumers({ events: 6 }, { consumer: { migrationPolicy } });
      await classicPair(broker);
      const c = new TestMember(broker, 'c');
      assert.equal((await c.join()).errorCode, errorCode, migrationPolicy);
      if (errorCode !== ErrorCode.NONE) assert.equal(stateOf(broker), 'Stable');
      else {
        await c.leave();
        assert.equal(groupOf(broker).size, 2);
      }
    }
  });

  it('is refused for groups that are not of consumers, or use an assignor with data of its own', async () => {
    const broker = await startConsumers();
    const joining = join(broker, { protocolType: 'connect', protocols: protocols('v1') });
    await broker.clock.advance(6_000);
    const worker = await joining;
    await sync(broker, worker, {}, { assignments: [] });
    const { errorCode, errorMessage } = await new TestMember(broker, 'c').join();
    assert.equal(errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
    assert.match(errorMessage ?? '', /does not use the consumer embedded protocol/);
  });

  it('waits for the first generation of a classic group', async () => {
    const broker = await startConsumers();
    const joining = join(broker);
    const c = new TestMember(broker, 'c');
    assert.equal((await c.join()).errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    await broker.clock.advance(6_000);
    assert.equal((await joining).errorCode, ErrorCode.NONE);
    assert.equal((await c.join()).errorCode, ErrorCode.NONE);
    assert.equal(groupOf(broker).size, 2);
  });

  it('needs nothing of a group without members', async () => {
    const broker = await startConsumers();
    const [leader, follower] = await classicPair(broker);
    const identities = [leader, follower].map(({ memberId }) => createMemberIdentity({ memberId }));
    await broker.groups.leave(GROUP, identities);
    await broker.clock.advance(40_000);
    assert.equal(stateOf(broker), 'Empty');
    const a = new TestMember(broker, 'a');
    await a.join();
    assert.deepEqual(a.owned, all);
    await a.leave();
    const joining = join(broker);
    await broker.clock.advance(6_000);
    assert.equal((await joining).errorCode, ErrorCode.NONE);
    const restarted = await startConsumers({}, { former: broker });
    assert.notEqual(restarted.groups.shards[0]!.groups.get(GROUP)?.type, 'consumer');
  });

  it('removes members of the consumer protocol by LeaveGroup, as administrators ask', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a', 'one');
    await a.join();
    const identity = createMemberIdentity({ memberId: '', groupInstanceId: 'one' });
    const left = await broker.groups.leave(GROUP, [identity, createMemberIdentity({ memberId: 'z' })]);
    assert.ok(typeof left !== 'number');
    assert.deepEqual(
      left.map(({ errorCode }) => errorCode),
      [ErrorCode.NONE, ErrorCode.UNKNOWN_MEMBER_ID],
    );
    assert.equal(groupOf(broker).state, 'Empty');
  });

  it('removes a classic member that does not rejoin when it is told to', async () => {
    const broker = await startConsumers();
    const [leader, follower] = await classicPair(broker);
    const c = new TestMember(broker, 'c');
    await c.join();
    await follow(broker, follower);
    for (let i = 0; i < 7; i++) {
      heartbeat(broker, leader);
      heartbeat(broker, (await follow(broker, follower)).joined);
      await c.beat();
      await broker.clock.advance(5_000);
    }
    assert.equal(heartbeat(broker, leader), ErrorCode.UNKNOWN_MEMBER_ID);
  });
});

import assert from 'node:assert/strict';
import {
  GROUP,
  protocols,
  stableGroup,
  startGroups,
  stateOf,
  type TestBroker,
} from '../../broker/groups/coordinator.fixture.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { startTransactions } from '../../broker/transactions/coordinator.fixture.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { offsetCommitHandler } from './08-offset-commit.ts';
import { offsetFetchHandler } from './09-offset-fetch.ts';
import { findCoordinatorHandler } from './10-find-coordinator.ts';
import { joinGroupHandler } from './11-join-group.ts';
import { heartbeatHandler } from './12-heartbeat.ts';
import { leaveGroupHandler } from './13-leave-group.ts';
import { syncGroupHandler } from './14-sync-group.ts';
import { describeGroupsHandler } from './15-describe-groups.ts';
import { listGroupsHandler } from './16-list-groups.ts';
import { deleteGroupsHandler } from './42-delete-groups.ts';
import { offsetDeleteHandler } from './47-offset-delete.ts';
import { call, versionsOf } from './handler.fixture.ts';

const TOPIC_ID = 'x-HRIBhqTgu6nrGv8nTu_g';
const topics: TopicNames = {
  partitionCount: (name) => (name === 'events' ? 4 : null),
  idOf: (name) => (name === 'events' ? TOPIC_ID : null),
  nameOf: (id) => (id === TOPIC_ID ? 'events' : null),
};

function topicIn(version: number) {
  return version >= 10 ? { name: '', topicId: TOPIC_ID } : { name: 'events', topicId: ZERO_UUID };
}

async function findCoordinator({ groups }: TestBroker) {
  const broker = (listener: string) => ({ nodeId: 1, host: listener.toLowerCase(), port: 9092 });
  const { transactions } = await startTransactions();
  const states = { find: async () => ErrorCode.NONE };
  return findCoordinatorHandler({ groups, transactions, states, broker });
}

describe('group handlers', () => {
  it('join, sync, beat and leave in every version', async () => {
    for (const version of versionsOf(joinGroupHandler({ groups: (await startGroups()).groups }))) {
      const broker = await startGroups();
      const join = joinGroupHandler(broker);
      const request = {
        groupId: GROUP,
        sessionTimeoutMs: 10_000,
        ...(version >= 1 && { rebalanceTimeoutMs: 30_000 }),
        protocolType: 'consumer',
        protocols: protocols('range'),
      };
      const first = version >= 4 ? await call(join, version, request) : null;
      if (first !== null) assert.equal(first.errorCode, ErrorCode.MEMBER_ID_REQUIRED);
      const joining = call(join, version, { ...request, memberId: first?.memberId ?? '' });
      await broker.clock.advance(3_000);
      const { memberId, generationId, members, protocolName, protocolType } = await joining;
      assert.equal(members.length, 1);
      const named = version >= 5 ? { protocolName, protocolType: protocolType ?? 'consumer' } : {};
      const assignments = [{ memberId, assignment: Uint8Array.of(7) }];
      const sync = await call(syncGroupHandler(broker), Math.min(version, 5), {
        groupId: GROUP,
        memberId,
        generationId,
        assignments,
        ...named,
      });
      assert.deepEqual([...sync.assignment], [7]);
      const beat = { groupId: GROUP, memberId, generationId };
      assert.equal((await call(heartbeatHandler(broker), Math.min(version, 4), beat)).errorCode, 0);
      const identity = { memberId, groupInstanceId: null, reason: null };
      const leaving = version >= 3 ? { members: [identity] } : { memberId };
      const left = await call(leaveGroupHandler(broker), Math.min(version, 5), {
        groupId: GROUP,
        ...leaving,
      });
      assert.equal(left.errorCode, ErrorCode.NONE);
      assert.equal(stateOf(broker), 'Empty');
      const again = await call(leaveGroupHandler(broker), Math.min(version, 5), {
        groupId: GROUP,
        ...leaving,
      });
      assert.equal(version >= 3 ? again.members[0]!.errorCode : again.errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    }
  });

  it('answer JoinGroup errors in every version', async () => {
    const handler = joinGroupHandler(await startGroups());
    for (const version of versionsOf(handler)) {
      const response = await call(handler, version, { groupId: '' });
      assert.equal(response.errorCode, ErrorCode.INVALID_GROUP_ID);
      assert.equal(response.protocolName, version >= 7 ? null : '');
    }
  });

  it('want the protocol named in SyncGroup 5 (KIP-559)', async () => {
    const handler = syncGroupHandler(await startGroups());
    const response = await call(handler, 5, { groupId: GROUP, memberId: 'm', generationId: 1 });
    assert.equal(response.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  });

  it('commit and fetch offsets in every version', async () => {
    const broker = await startGroups();
    const commit = offsetCommitHandler({ groups: broker.groups, topics });
    for (const version of versionsOf(commit)) {
      const part = {
        partitionIndex: 0,
        committedOffset: BigInt(version),
        committedLeaderEpoch: -1,
        committedMetadata: 'm',
      };
      const request = { groupId: GROUP, topics: [{ ...topicIn(version), partitions: [part] }] };
      const response = await call(commit, version, request);
      assert.equal(response.topics[0]!.topicId, topicIn(version).topicId);
      assert.equal(response.topics[0]!.partitions[0]!.errorCode, ErrorCode.NONE);
    }
    const fetch = offsetFetchHandler({ groups: broker.groups, topics });
    for (const version of versionsOf(fetch)) {
      const wanted = [{ ...topicIn(version), partitionIndexes: [0, 1] }];
      const group = { groupId: GROUP, memberId: null, memberEpoch: -1, topics: wanted };
      const several = version >= 8;
      const request = several
        ? { groups: [group, { ...group, groupId: 'other' }] }
        : { groupId: GROUP, topics: [{ name: 'events', partitionIndexes: [0, 1] }] };
      const response = await call(fetch, version, request);
      const [topic] = several ? response.groups[0]!.topics : response.topics;
      const offsets = topic!.partitions.map(({ committedOffset, metadata }) => [committedOffset, metadata]);
      assert.deepEqual(offsets, [
        [10n, 'm'],
        [-1n, ''],
      ]);
      if (several) assert.equal(response.groups[1]!.topics[0]!.partitions[0]!.committedOffset, -1n);
      if (version < 2) continue;
      const all = await call(
        fetch,
        version,
        several ? { groups: [{ ...group, topics: null }] } : { groupId: GROUP, topics: null },
      );
      const [only] = several ? all.groups[0]!.topics : all.topics;
      assert.equal(only!.partitions.length, 1);
    }
  });

  it('tell where errors are in every version of OffsetFetch', async () => {
    const broker = await startGroups();
    broker.groups.close();
    const handler = offsetFetchHandler({ groups: broker.groups, topics });
    for (const version of versionsOf(handler)) {
      const asked = { groupId: GROUP, topics: [{ name: 'events', partitionIndexes: [4] }] };
      const groups = [{ groupId: GROUP, memberId: null, memberEpoch: -1, topics: [] }];
      const response = await call(handler, version, version >= 8 ? { groups } : asked);
      const errorCode =
        version >= 8
          ? response.groups[0]!.errorCode
          : version >= 2
            ? response.errorCode
            : response.topics[0]!.partitions[0]!.errorCode;
      assert.equal(errorCode, ErrorCode.NOT_COORDINATOR);
    }
  });

  it('find the coordinator in every version', async () => {
    const handler = await findCoordinator(await startGroups());
    for (const version of versionsOf(handler)) {
      const several = version >= 4;
      const asked = several ? { coordinatorKeys: ['a', 'b'] } : { key: 'a' };
      const response = await call(handler, version, asked);
      for (const { nodeId, host, port, errorCode } of several ? response.coordinators : [response])
        assert.deepEqual([nodeId, host, port, errorCode], [1, 'plaintext', 9092, 0]);
      if (version < 1) continue;
      const transaction = await call(handler, version, { ...asked, keyType: 1 });
      const [first] = several ? transaction.coordinators : [transaction];
      assert.deepEqual([first!.errorCode, first!.nodeId], [ErrorCode.NONE, 1]);
      const nonsense = await call(handler, version, { ...asked, keyType: 9 });
      const [bad] = several ? nonsense.coordinators : [nonsense];
      assert.equal(bad!.errorCode, ErrorCode.INVALID_REQUEST);
    }
  });

  it('check the keys of share coordinators', async () => {
    const handler = await findCoordinator(await startGroups());
    const codes = async (version: number, key: string) => {
      const { coordinators } = await call(handler, version, { coordinatorKeys: [key], keyType: 2 });
      return coordinators[0]!.errorCode;
    };
    const key = `group:${TOPIC_ID}:3`;
    assert.equal(await codes(6, key), ErrorCode.NONE);
    for (const bad of ['group', ` :${TOPIC_ID}:3`, `group:${TOPIC_ID}:2147483648`, `group:${TOPIC_ID}:`])
      assert.equal(await codes(6, bad), ErrorCode.INVALID_REQUEST, bad);
    assert.equal(await codes(5, key), ErrorCode.INVALID_REQUEST);
  });

  it('describe and list groups in every version', async () => {
    const broker = await startGroups();
    await stableGroup(broker);
    const describeGroups = describeGroupsHandler(broker);
    for (const version of versionsOf(describeGroups)) {
      const { groups } = await call(describeGroups, version, {
        groups: [GROUP, 'missing'],
        includeAuthorizedOperations: version >= 3,
      });
      const [found, missing] = groups;
      assert.deepEqual(
        [found!.groupState, found!.protocolType, found!.protocolData],
        ['Stable', 'consumer', 'range'],
      );
      const [member] = found!.members;
      assert.deepEqual([member!.clientId, member!.clientHost], ['client', '/127.0.0.1']);
      assert.equal(Buffer.from(member!.memberAssignment).toString(), '0');
      assert.equal(found!.authorizedOperations, version >= 3 ? 3400 : -(2 ** 31));
      assert.equal(missing!.groupState, 'Dead');
      assert.equal(missing!.errorCode, version >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.NONE);
    }
    const listGroups = listGroupsHandler(broker);
    for (const version of versionsOf(listGroups)) {
      const { groups } = await call(listGroups, version, {});
      assert.deepEqual([groups[0]!.groupId, groups[0]!.protocolType], [GROUP, 'consumer']);
      if (version < 4) continue;
      assert.equal(groups[0]!.groupState, 'Stable');
      assert.equal((await call(listGroups, version, { statesFilter: ['sTable'] })).groups.length, 1);
      assert.equal((await call(listGroups, version, { statesFilter: ['Empty', 'x'] })).groups.length, 0);
      if (version < 5) continue;
      assert.equal((await call(listGroups, version, { typesFilter: ['Classic'] })).groups.length, 1);
      assert.equal((await call(listGroups, version, { typesFilter: ['consumer'] })).groups.length, 0);
    }
  });

  it('tell who asks behind its commit what that has committed, unless it takes too long', async () => {
    const broker = await startGroups();
    const commit = offsetCommitHandler({ groups: broker.groups, topics });
    const fetch = offsetFetchHandler({ groups: broker.groups, topics });
    const commitAndFetch = (version: number, committedOffset: bigint) => {
      const part = { partitionIndex: 0, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' };
      const commits = { groupId: GROUP, topics: [{ ...topicIn(version), partitions: [part] }] };
      const wanted = { groupId: GROUP, topics: [{ ...topicIn(version), partitionIndexes: [0] }] };
      const asked = version >= 8 ? { groups: [{ ...wanted, memberId: null, memberEpoch: -1 }] } : wanted;
      return Promise.all([call(commit, version, commits), call(fetch, version, asked)]).then(
        ([committed, fetched]) => [
          committed.topics[0]!.partitions[0]!.errorCode,
          (version >= 8 ? fetched.groups[0]! : fetched).topics[0]!.partitions[0]!.committedOffset,
        ],
      );
    };
    for (const [version, offset] of [
      [7, 5n],
      [10, 6n],
    ] as const) {
      broker.log.hold();
      const answers = commitAndFetch(version, offset);
      broker.log.release();
      assert.deepEqual(await answers, [ErrorCode.NONE, offset]);
    }
    broker.log.hold();
    const late = commitAndFetch(9, 7n);
    await broker.clock.advance(5_000);
    assert.deepEqual(await late, [ErrorCode.COORDINATOR_NOT_AVAILABLE, 6n]);
    broker.log.release();
  });

  it('delete groups and offsets', async () => {
    const broker = await startGroups();
    await stableGroup(broker);
    const handler = deleteGroupsHandler(broker);
    for (const version of versionsOf(handler)) {
      const { results } = await call(handler, version, { groupsNames: [GROUP, 'missing', GROUP] });
      assert.deepEqual(
        results.map(({ groupId, errorCode }) => [groupId, errorCode]),
        [
          [GROUP, ErrorCode.NON_EMPTY_GROUP],
          ['missing', ErrorCode.GROUP_ID_NOT_FOUND],
        ],
      );
    }
    const offsets = offsetDeleteHandler({ groups: broker.groups, topics });
    const asked = [{ name: 'events', partitions: [{ partitionIndex: 0 }] }];
    const { errorCode, topics: answered } = await call(offsets, 0, { groupId: GROUP, topics: asked });
    assert.equal(errorCode, ErrorCode.NONE);
    assert.equal(answered[0]!.partitions[0]!.errorCode, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC);
  });
});

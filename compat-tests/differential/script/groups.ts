import { chapter } from '../case.ts';
import { batch, create, NO_UUID, produce, UNKNOWN_UUID } from './build.ts';

const CREATED = { fields: ['configs'], because: 'Kafabric lists keys of its own too' } as const;
const bytes = (text: string) => Buffer.from(text);
const join = (groupId: string, more: object = {}) => ({
  groupId,
  sessionTimeoutMs: 60_000,
  rebalanceTimeoutMs: 60_000,
  memberId: '',
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: bytes('m') }],
  ...more,
});
const commit = (groupId: string, topicName: string, topicId: string, more: object = {}) => ({
  groupId,
  generationIdOrMemberEpoch: -1,
  memberId: '',
  topics: [
    {
      name: topicName,
      topicId,
      partitions: [
        { partitionIndex: 0, committedOffset: 5n, committedLeaderEpoch: 0, committedMetadata: 'note' },
        { partitionIndex: 9, committedOffset: 5n, committedLeaderEpoch: -1, committedMetadata: null },
      ],
    },
  ],
  ...more,
});
const fetched = (
  groupId: string,
  topics: { name: string; partitionIndexes: number[] }[] | null,
  more: object = {},
) => ({
  groupId,
  topics,
  ...more,
});
const many = (
  groupId: string,
  topics: { name: string; topicId: string; partitionIndexes: number[] }[] | null,
  more: object = {},
) => ({
  groups: [{ groupId, memberId: null, memberEpoch: -1, topics, ...more }],
});
const sync = (groupId: string, memberId: string, generationId: number, more: object = {}) => ({
  groupId,
  generationId,
  memberId,
  protocolType: 'consumer',
  protocolName: 'range',
  assignments: [],
  ...more,
});
const member = (memberId: string, groupInstanceId: string | null = null) => ({
  memberId,
  groupInstanceId,
  reason: null,
});
const FROM_4 = [4, 9] as const;

export const groups = chapter('groups', (call) => {
  call('CreateTopics', 'a topic for groups', create('group-topic', 2), { versions: [7, 7], except: CREATED });
  call(
    'Produce',
    'records for it',
    (a) => produce('group-topic', a.topicId('group-topic'), batch(['a', 'b', 'c', 'd', 'e', 'f'])),
    { versions: [13, 13] },
  );

  call('FindCoordinator', 'of a group', { key: 'grp', keyType: 0 }, { versions: [0, 3] });
  call('FindCoordinator', 'of a transaction', { key: 'txn', keyType: 1 }, { versions: [1, 3] });
  call('FindCoordinator', 'of a key without a name', { key: '', keyType: 0 }, { versions: [0, 3] });
  call('FindCoordinator', 'of a kind that does not exist', { key: 'x', keyType: 9 }, { versions: [1, 3] });
  call('FindCoordinator', 'of a share group', { key: 'x', keyType: 2 }, { versions: [1, 3] });
  call(
    'FindCoordinator',
    'of several groups',
    { keyType: 0, coordinatorKeys: ['grp', 'other', ''] },
    { versions: [4, 6] },
  );
  call(
    'FindCoordinator',
    'of several transactions',
    { keyType: 1, coordinatorKeys: ['txn', 'other'] },
    { versions: [4, 6] },
  );
  call(
    'FindCoordinator',
    'of several of a kind that does not exist',
    { keyType: 9, coordinatorKeys: ['x'] },
    { versions: [4, 6] },
  );
  call('FindCoordinator', 'of no groups', { keyType: 0, coordinatorKeys: [] }, { versions: [4, 6] });
  call(
    'FindCoordinator',
    'of a share partition that cannot be',
    { keyType: 2, coordinatorKeys: ['x'] },
    { versions: [4, 5] },
  );

  call('JoinGroup', 'without a group', join(''), { versions: [2, 9] });
  call('JoinGroup', 'a session that is too short', join('g-none', { sessionTimeoutMs: 1 }), {
    versions: [2, 9],
  });
  call('JoinGroup', 'a session that is too long', join('g-none', { sessionTimeoutMs: 2_000_000_000 }), {
    versions: [2, 9],
  });
  call('JoinGroup', 'an unknown member', join('g-none', { memberId: 'who' }), { versions: [2, 9] });
  call('JoinGroup', 'a member of old', join('g-$v'), { versions: [2, 3], save: { memberId: 'member-$v' } });
  call('JoinGroup', 'a member that gets its id', join('g-$v'), {
    versions: FROM_4,
    save: { memberId: 'member-$v' },
  });
  call('JoinGroup', 'with the id', (a) => join('g-$v', { memberId: a.saved('member-$v') }), {
    versions: FROM_4,
  });
  call('JoinGroup', 'another protocol type', join('g-$v', { protocolType: 'connect' }), { versions: [2, 9] });
  call(
    'JoinGroup',
    'another protocol',
    join('g-$v', { protocols: [{ name: 'other', metadata: bytes('') }] }),
    { versions: [2, 9] },
  );
  call('JoinGroup', 'a static member', join('g-static-$v', { groupInstanceId: 'i' }), {
    versions: [5, 9],
    save: { memberId: 'static-$v' },
  });

  call('SyncGroup', 'without a group', sync('', 'x', 1), { versions: [0, 5] });
  call('SyncGroup', 'of a group that does not exist', sync('g-never', 'x', 1), { versions: [0, 5] });
  call('SyncGroup', 'an unknown member', sync('g-4', 'x', 1), { versions: [0, 5] });
  call('SyncGroup', 'another generation', (a) => sync('g-4', a.saved('member-4'), 7), { versions: [0, 5] });
  call(
    'SyncGroup',
    'another protocol',
    (a) => sync('g-4', a.saved('member-4'), 1, { protocolName: 'other' }),
    { versions: [5, 5] },
  );
  call('SyncGroup', 'no protocol', (a) => sync('g-4', a.saved('member-4'), 1, { protocolName: null }), {
    versions: [5, 5],
  });
  call(
    'SyncGroup',
    'the leader',
    (a) =>
      sync('g-$v', a.saved('member-$v'), 1, {
        assignments: [{ memberId: a.saved('member-$v'), assignment: bytes('part') }],
      }),
    { versions: [2, 5] },
  );
  call('SyncGroup', 'again', (a) => sync('g-$v', a.saved('member-$v'), 1), { versions: [2, 5] });
  call(
    'SyncGroup',
    'a static member',
    (a) => sync('g-static-5', a.saved('static-5'), 1, { groupInstanceId: 'i', assignments: [] }),
    { versions: [3, 5] },
  );
  call(
    'SyncGroup',
    'a static member that was replaced',
    sync('g-static-5', 'who', 1, { groupInstanceId: 'i' }),
    { versions: [3, 5] },
  );

  call('Heartbeat', 'a member', (a) => ({ groupId: 'g-4', generationId: 1, memberId: a.saved('member-4') }));
  call('Heartbeat', 'an unknown member', { groupId: 'g-4', generationId: 1, memberId: 'who' });
  call('Heartbeat', 'another generation', (a) => ({
    groupId: 'g-4',
    generationId: 5,
    memberId: a.saved('member-4'),
  }));
  call('Heartbeat', 'of a group that does not exist', {
    groupId: 'g-never',
    generationId: 1,
    memberId: 'who',
  });
  call('Heartbeat', 'without a group', { groupId: '', generationId: 1, memberId: 'who' });
  call(
    'Heartbeat',
    'a static member that was replaced',
    { groupId: 'g-static-5', generationId: 1, memberId: 'who', groupInstanceId: 'i' },
    { versions: [3, 4] },
  );

  call('DescribeGroups', 'a stable group', { groups: ['g-4'] });
  call('DescribeGroups', 'a group that waits for its leader', { groups: ['g-8'] });
  call('DescribeGroups', 'a static member', { groups: ['g-static-5'] });
  call('DescribeGroups', 'a group that does not exist', { groups: ['g-never'] });
  call(
    'DescribeGroups',
    'what may be done',
    { groups: ['g-4', 'g-never'], includeAuthorizedOperations: true },
    { versions: [3, 6] },
  );
  call('DescribeGroups', 'without a name', { groups: [''] });
  call('DescribeGroups', 'nothing', { groups: [] });
  call('ListGroups', 'all', {});
  call('ListGroups', 'stable ones', { statesFilter: ['Stable'] }, { versions: [4, 5] });
  call(
    'ListGroups',
    'empty ones, in other letters',
    { statesFilter: ['eMPTY', 'stable'] },
    { versions: [4, 5] },
  );
  call('ListGroups', 'a state that does not exist', { statesFilter: ['Sleepy'] }, { versions: [4, 5] });
  call('ListGroups', 'classic ones', { typesFilter: ['classic'] }, { versions: [5, 5] });
  call('ListGroups', 'a type that does not exist', { typesFilter: ['sort of'] }, { versions: [5, 5] });

  call(
    'OffsetCommit',
    'a group without members',
    (a) => commit('o-$v', 'group-topic', a.topicId('group-topic')),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'an unknown member',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: 'who',
        generationIdOrMemberEpoch: 1,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a member',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: a.saved('member-4'),
        generationIdOrMemberEpoch: 1,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'another generation',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: a.saved('member-4'),
        generationIdOrMemberEpoch: 7,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a group with members, without one',
    (a) => commit('g-4', 'group-topic', a.topicId('group-topic')),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a group that does not exist, with a generation',
    (a) =>
      commit('o-never', 'group-topic', a.topicId('group-topic'), {
        generationIdOrMemberEpoch: 3,
        memberId: 'who',
      }),
    { versions: [2, 10] },
  );
  call('OffsetCommit', 'without a group', (a) => commit('', 'group-topic', a.topicId('group-topic')), {
    versions: [2, 10],
  });
  call('OffsetCommit', 'a topic that does not exist', commit('o-$v', 'never', UNKNOWN_UUID), {
    versions: [2, 10],
  });
  call(
    'OffsetCommit',
    'metadata that is too long',
    (a) => ({
      ...commit('o-$v', 'group-topic', a.topicId('group-topic')),
      topics: [
        {
          name: 'group-topic',
          topicId: a.topicId('group-topic'),
          partitions: [
            {
              partitionIndex: 0,
              committedOffset: 1n,
              committedLeaderEpoch: -1,
              committedMetadata: 'x'.repeat(5000),
            },
          ],
        },
      ],
    }),
    { versions: [2, 10] },
  );
  call('OffsetCommit', 'nothing', { ...commit('o-$v', '', NO_UUID), topics: [] }, { versions: [2, 10] });

  call('OffsetFetch', 'partitions', fetched('o-5', [{ name: 'group-topic', partitionIndexes: [0, 1, 9] }]), {
    versions: [1, 7],
  });
  call('OffsetFetch', 'all', fetched('o-5', null), { versions: [2, 7] });
  call('OffsetFetch', 'nothing', fetched('o-5', []), { versions: [1, 7] });
  call(
    'OffsetFetch',
    'of a group that does not exist',
    fetched('o-never', [{ name: 'group-topic', partitionIndexes: [0] }]),
    { versions: [1, 7] },
  );
  call(
    'OffsetFetch',
    'of a topic that does not exist',
    fetched('o-5', [{ name: 'never', partitionIndexes: [0] }]),
    { versions: [1, 7] },
  );
  call('OffsetFetch', 'without a group', fetched('', [{ name: 'group-topic', partitionIndexes: [0] }]), {
    versions: [1, 7],
  });
  call('OffsetFetch', 'stable ones', fetched('o-5', null, { requireStable: true }), { versions: [7, 7] });
  call(
    'OffsetFetch',
    'of groups',
    (a) => ({
      groups: [
        ...many('o-5', [{ name: 'group-topic', topicId: a.topicId('group-topic'), partitionIndexes: [0, 1] }])
          .groups,
        ...many('o-never', null).groups,
      ],
    }),
    { versions: [8, 10] },
  );
  call('OffsetFetch', 'of groups, all', many('o-5', null), { versions: [8, 10] });
  call(
    'OffsetFetch',
    'of groups, a topic that does not exist',
    many('o-5', [{ name: 'never', topicId: UNKNOWN_UUID, partitionIndexes: [0] }]),
    { versions: [8, 10] },
  );
  call(
    'OffsetFetch',
    'of groups, a topic that does not exist before one that does',
    (a) =>
      many('o-5', [
        { name: 'never', topicId: UNKNOWN_UUID, partitionIndexes: [0] },
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitionIndexes: [0] },
      ]),
    { versions: [8, 10] },
  );
  call('OffsetFetch', 'of groups, no topics', many('o-5', []), { versions: [8, 10] });
  call(
    'OffsetFetch',
    'of a member of a classic group',
    (a) => many('g-4', null, { memberId: a.saved('member-4'), memberEpoch: 1 }),
    { versions: [9, 10] },
  );
  call('OffsetFetch', 'of an unknown member', many('g-4', null, { memberId: 'who', memberEpoch: 1 }), {
    versions: [9, 10],
  });
  call('OffsetFetch', 'of no groups', { groups: [] }, { versions: [8, 10] });

  call('OffsetDelete', 'offsets', {
    groupId: 'o-3',
    topics: [
      {
        name: 'group-topic',
        partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }, { partitionIndex: 9 }],
      },
    ],
  });
  call('OffsetDelete', 'of a group that does not exist', {
    groupId: 'o-never',
    topics: [{ name: 'group-topic', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'of a topic that does not exist', {
    groupId: 'o-4',
    topics: [{ name: 'never', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'without a group', {
    groupId: '',
    topics: [{ name: 'group-topic', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'nothing', { groupId: 'o-4', topics: [] });
  call('OffsetFetch', 'what was deleted', fetched('o-3', null), { versions: [2, 7] });

  call('DeleteGroups', 'one with members', { groupsNames: ['g-4'] });
  call('DeleteGroups', 'one that does not exist', { groupsNames: ['o-never'] });
  call('DeleteGroups', 'without a name', { groupsNames: [''] });
  call('DeleteGroups', 'an empty one', { groupsNames: ['o-$v', 'o-1$v'] });
  call('DeleteGroups', 'the same twice', { groupsNames: ['o-6', 'o-6'] });
  call('DeleteGroups', 'nothing', { groupsNames: [] });

  call('LeaveGroup', 'an unknown member', { groupId: 'g-5', memberId: 'who' }, { versions: [0, 2] });
  call(
    'LeaveGroup',
    'a group that does not exist',
    { groupId: 'g-never', memberId: 'who' },
    { versions: [0, 2] },
  );
  call('LeaveGroup', 'without a group', { groupId: '', memberId: 'who' }, { versions: [0, 2] });
  call(
    'LeaveGroup',
    'several unknown members',
    { groupId: 'g-5', members: [member('who'), member('', 'nobody')] },
    { versions: [3, 5] },
  );
  call(
    'LeaveGroup',
    'several of a group that does not exist',
    { groupId: 'g-never', members: [member('who'), member('', 'nobody')] },
    { versions: [3, 5] },
  );
  call(
    'LeaveGroup',
    'a static member by another id',
    { groupId: 'g-static-5', members: [member('who', 'i')] },
    { versions: [3, 5] },
  );
  call('LeaveGroup', 'nobody', { groupId: 'g-5', members: [] }, { versions: [3, 5] });
  call('LeaveGroup', 'a member', (a) => ({ groupId: 'g-2', memberId: a.saved('member-2') }), {
    versions: [0, 2],
  });
  call(
    'LeaveGroup',
    'a member, of several',
    (a) => ({ groupId: 'g-$v', members: [member(a.saved('member-$v'))] }),
    { versions: [3, 5] },
  );
  call(
    'LeaveGroup',
    'a static member',
    { groupId: 'g-static-5', members: [member('', 'i')] },
    { versions: [3, 5] },
  );
  call('DescribeGroups', 'empty groups', { groups: ['g-4', 'g-2', 'g-static-5'] });
  call('DeleteGroups', 'once members have left', { groupsNames: ['g-4', 'g-2', 'g-static-5'] });
  call('JoinGroup', 'no protocols', join('g-late', { protocols: [] }), { versions: [2, 9] });
  call('JoinGroup', 'no protocol type', join('g-late', { protocolType: '' }), { versions: [2, 9] });
});

import type { ApiKeyName } from '../../../src/protocol/api-keys.ts';
import { type Answers, type Body, chapter } from '../case.ts';
import { CREATED, create } from './build.ts';

const TOPIC = 'types-in';
const EPOCHS = {
  fields: ['memberEpoch', 'assignment', 'errorMessage'],
  because: 'Kafka gives partitions of share groups with a later heartbeat',
} as const;
const GROUPS = ['t-classic', 't-offsets', 't-consumer', 't-share', 't-streams'] as const;

const offset = {
  partitionIndex: 0,
  committedOffset: 1n,
  committedLeaderEpoch: -1,
  committedMetadata: '',
};
const classicJoin = (groupId: string, more: object = {}) => ({
  groupId,
  sessionTimeoutMs: 60_000,
  rebalanceTimeoutMs: 60_000,
  memberId: '',
  protocolType: 'connect',
  protocols: [{ name: 'plain', metadata: Buffer.from('m') }],
  ...more,
});
const consumerJoin = (groupId: string) => ({
  groupId,
  memberId: 'm',
  memberEpoch: 0,
  rebalanceTimeoutMs: 60_000,
  subscribedTopicNames: [TOPIC],
  topicPartitions: [],
});
const shareJoin = (groupId: string) => ({
  groupId,
  memberId: 'm',
  memberEpoch: 0,
  subscribedTopicNames: [TOPIC],
});
const streamsJoin = (groupId: string) => ({
  groupId,
  memberId: 'm',
  memberEpoch: 0,
  endpointInformationEpoch: -1,
  rebalanceTimeoutMs: 60_000,
  topology: {
    epoch: 1,
    subtopologies: [
      {
        subtopologyId: '0',
        sourceTopics: [TOPIC],
        sourceTopicRegex: [],
        stateChangelogTopics: [],
        repartitionSinkTopics: [],
        repartitionSourceTopics: [],
        copartitionGroups: [],
      },
    ],
  },
  processId: 'p',
  clientTags: [],
  activeTasks: [],
  standbyTasks: [],
  warmupTasks: [],
});
const beat = (groupId: string, memberEpoch: number, more: object = {}) => ({
  groupId,
  memberId: 'm',
  memberEpoch,
  ...more,
});
const streamsBeat = (groupId: string, memberEpoch: number, more: object = {}) => ({
  ...beat(groupId, memberEpoch, more),
  endpointInformationEpoch: -1,
});

/** What every kind of group is asked by the APIs of all kinds: nothing of it changes a group. */
const questions = (groupId: string): [ApiKeyName, string, Body | ((a: Answers) => Body), number?][] => [
  ['DescribeGroups', 'as classic', { groups: [groupId] }],
  ['ConsumerGroupDescribe', 'as consumer', { groupIds: [groupId] }],
  ['ShareGroupDescribe', 'as share', { groupIds: [groupId] }],
  ['StreamsGroupDescribe', 'as streams', { groupIds: [groupId] }],
  ['Heartbeat', 'of nobody', { groupId, generationId: 1, memberId: 'x' }],
  ['Heartbeat', 'of an instance', { groupId, generationId: 1, memberId: 'x', groupInstanceId: 'i' }, 4],
  ['SyncGroup', 'of nobody', { groupId, generationId: 1, memberId: 'x', assignments: [] }, 4],
  ['LeaveGroup', 'of nobody', { groupId, memberId: 'x' }, 2],
  ['LeaveGroup', 'of none', { groupId, members: [] }, 5],
  [
    'LeaveGroup',
    'of several',
    {
      groupId,
      members: [
        { memberId: 'x', groupInstanceId: null, reason: null },
        { memberId: '', groupInstanceId: 'i', reason: 'so' },
      ],
    },
    5,
  ],
  ['JoinGroup', 'of an unknown member', classicJoin(groupId, { memberId: 'x' }), 9],
  ['ConsumerGroupHeartbeat', 'of nobody', beat(groupId, 7, { memberId: 'x' }), 1],
  ['ConsumerGroupHeartbeat', 'that leaves', beat(groupId, -1, { memberId: 'x' }), 1],
  [
    'ConsumerGroupHeartbeat',
    'of an instance that leaves',
    beat(groupId, -2, { memberId: 'x', instanceId: 'i' }),
    1,
  ],
  ['ShareGroupHeartbeat', 'of nobody', beat(groupId, 7, { memberId: 'x' })],
  ['ShareGroupHeartbeat', 'that leaves', beat(groupId, -1, { memberId: 'x' })],
  ['StreamsGroupHeartbeat', 'of nobody', streamsBeat(groupId, 7, { memberId: 'x' })],
  ['StreamsGroupHeartbeat', 'that leaves', streamsBeat(groupId, -1, { memberId: 'x' })],
  [
    'OffsetCommit',
    'in an epoch',
    (a) => ({
      groupId,
      memberId: 'x',
      generationIdOrMemberEpoch: 1,
      topics: [{ name: TOPIC, topicId: a.topicId(TOPIC), partitions: [offset] }],
    }),
  ],
  [
    'TxnOffsetCommit',
    'in an epoch',
    {
      transactionalId: 'types-txn',
      groupId,
      producerId: 444_446n,
      producerEpoch: 0,
      generationId: 1,
      memberId: 'x',
      topics: [{ name: TOPIC, partitions: [offset] }],
    },
    5,
  ],
  ['OffsetFetch', 'all', { groups: [{ groupId, memberId: null, memberEpoch: -1, topics: null }] }, 9],
  ['OffsetFetch', 'of a member', { groups: [{ groupId, memberId: 'x', memberEpoch: 1, topics: null }] }, 9],
  ['DescribeShareGroupOffsets', 'of no topics', { groups: [{ groupId, topics: [] }] }],
  ['AlterShareGroupOffsets', 'of no topics', { groupId, topics: [] }],
  [
    'AlterShareGroupOffsets',
    'of a topic that does not exist',
    {
      groupId,
      topics: [{ topicName: 'types-never', partitions: [{ partitionIndex: 0, startOffset: 1n }] }],
    },
  ],
  ['DeleteShareGroupOffsets', 'of no topics', { groupId, topics: [] }],
  [
    'DeleteShareGroupOffsets',
    'of a topic that does not exist',
    { groupId, topics: [{ topicName: 'types-never' }] },
  ],
  ['OffsetDelete', 'of a topic', { groupId, topics: [{ name: TOPIC, partitions: [{ partitionIndex: 1 }] }] }],
];

/** Groups of every kind, asked by the APIs of every other kind: with members, and without. */
export const groupTypes = chapter('groups of every kind', (call) => {
  call('CreateTopics', 'for groups of every kind', create(TOPIC, 2), { versions: [7, 7], except: CREATED });
  call(
    'JoinGroup',
    'a classic member',
    classicJoin('t-classic', { protocols: [{ name: 'plain', metadata: Buffer.from('m') }] }),
    { versions: [3, 3], save: { memberId: 't-member' } },
  );
  call(
    'SyncGroup',
    'a classic member',
    (a) => ({
      groupId: 't-classic',
      generationId: 1,
      memberId: a.saved('t-member'),
      assignments: [{ memberId: a.saved('t-member'), assignment: Buffer.from('all') }],
    }),
    { versions: [3, 3] },
  );
  call(
    'OffsetCommit',
    'offsets without members',
    (a) => ({
      groupId: 't-offsets',
      memberId: '',
      generationIdOrMemberEpoch: -1,
      topics: [{ name: TOPIC, topicId: a.topicId(TOPIC), partitions: [offset] }],
    }),
    { versions: [9, 9] },
  );
  call('ConsumerGroupHeartbeat', 'a member', consumerJoin('t-consumer'), { versions: [1, 1] });
  call('ShareGroupHeartbeat', 'a member', shareJoin('t-share'), { except: EPOCHS });
  call('StreamsGroupHeartbeat', 'a member', streamsJoin('t-streams'));

  const askAll = (when: string, groups: readonly string[], except: ApiKeyName | null = null) => {
    for (const groupId of groups) {
      for (const [api, name, request, version] of questions(groupId).filter(([api]) => api !== except))
        call(api, `${name}, of ${groupId}${when}`, request, {
          ...(version === undefined ? {} : { versions: [version, version] as const }),
          except: {
            fields: ['clientId', 'memberEpoch', 'groupEpoch', 'assignmentEpoch', 'assignment', 'startOffset'],
            because: EPOCHS.because,
          },
        });
    }
  };
  askAll('', [...GROUPS, 't-never']);
  for (const groupId of GROUPS) {
    if (groupId !== 't-offsets' && groupId !== 't-classic')
      call('JoinGroup', `of ${groupId}`, classicJoin(groupId), { versions: [9, 9] });
    if (groupId !== 't-offsets' && groupId !== 't-consumer')
      call('ConsumerGroupHeartbeat', `of ${groupId}`, consumerJoin(groupId), { versions: [1, 1] });
    if (groupId !== 't-share') call('ShareGroupHeartbeat', `of ${groupId}`, shareJoin(groupId));
    if (groupId !== 't-streams' && groupId !== 't-offsets')
      call('StreamsGroupHeartbeat', `of ${groupId}`, streamsJoin(groupId));
  }
  call('DeleteGroups', 'of every kind, with members', {
    groupsNames: ['t-classic', 't-consumer', 't-share', 't-streams', 't-never', ''],
  });

  call('LeaveGroup', 'the classic member', (a) => ({ groupId: 't-classic', memberId: a.saved('t-member') }), {
    versions: [2, 2],
  });
  call('ConsumerGroupHeartbeat', 'the member leaves', beat('t-consumer', -1), { versions: [1, 1] });
  call('ShareGroupHeartbeat', 'the member leaves', beat('t-share', -1));
  call('StreamsGroupHeartbeat', 'the member leaves', streamsBeat('t-streams', -1));
  // Kafka forgets an empty group of another kind when it refuses somebody who joins it by an id.
  askAll(', which is empty', ['t-classic', 't-consumer', 't-share', 't-streams'], 'JoinGroup');
  call(
    'DeleteGroups',
    'of one that nobody could join',
    { groupsNames: ['g-late'] },
    {
      versions: [2, 2],
      except: { fields: ['errorCode'], because: 'Kafka keeps such a group, with nobody in it' },
    },
  );
  for (const statesFilter of [
    ['Empty'],
    ['empty', 'Stable'],
    ['Dead'],
    ['PreparingRebalance', 'Assigning', ''],
  ])
    for (const typesFilter of [['share'], ['streams', 'Share', 'share'], []])
      call(
        'ListGroups',
        `in states ${statesFilter.join()} of types ${typesFilter.join()}`,
        { statesFilter, typesFilter },
        { versions: [5, 5] },
      );
  call('ListGroups', 'of a type in blanks', { typesFilter: [' share '] }, { versions: [5, 5] });
  call('ListGroups', 'in a state in blanks', { statesFilter: [' empty '] }, { versions: [4, 5] });
  // Those that may become another kind do: each is asked once.
  call('StreamsGroupHeartbeat', 'of an empty share group', streamsJoin('t-share'));
  call('ShareGroupHeartbeat', 'of an empty streams group', shareJoin('t-streams'));
  call('ConsumerGroupHeartbeat', 'of an empty share group', consumerJoin('t-share'), { versions: [1, 1] });
  call('JoinGroup', 'of an empty share group', classicJoin('t-share'), { versions: [9, 9] });
  call('JoinGroup', 'of an empty streams group', classicJoin('t-streams'), {
    versions: [9, 9],
  });
  call('JoinGroup', 'of an empty consumer group', classicJoin('t-consumer'), {
    versions: [9, 9],
  });
  call('ShareGroupHeartbeat', 'of an empty classic group', shareJoin('t-classic'), { except: EPOCHS });
  call('ConsumerGroupHeartbeat', 'of an empty classic group', consumerJoin('t-classic'), {
    versions: [1, 1],
  });
  call('ListGroups', 'of every kind', {}, { versions: [0, 5] });
  call('DeleteGroups', 'of every kind', { groupsNames: [...GROUPS] }, { versions: [2, 2] });
});

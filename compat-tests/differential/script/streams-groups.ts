import { chapter } from '../case.ts';
import { CREATED, create } from './build.ts';
import { beat, joinWith, NONE, subtopology, tasks } from './streams-build.ts';

const info = (name: string, partitions = 0) => ({ name, partitions, replicationFactor: 0, topicConfigs: [] });
const topology = (...subtopologies: object[]) => ({ epoch: 1, subtopologies });
/** Reads `streams-in`, which has three partitions. */
const READER = topology(subtopology('0', { sourceTopics: ['streams-in'] }));
/** As `READER`, with state in a topic that exists. */
const COUNTER = topology(
  subtopology('0', {
    sourceTopics: ['streams-in'],
    stateChangelogTopics: [
      { ...info('streams-state'), topicConfigs: [{ key: 'cleanup.policy', value: 'compact' }] },
    ],
  }),
);

const join = (groupId: string, memberId: string, more: object = {}) =>
  joinWith(READER, groupId, memberId, more);
const commit = (
  groupId: string,
  memberId: string,
  epoch: number,
  partitionIndex: number,
  topicId: string,
) => ({
  groupId,
  memberId,
  generationIdOrMemberEpoch: epoch,
  topics: [
    {
      name: 'streams-in',
      topicId,
      partitions: [{ partitionIndex, committedOffset: 1n, committedLeaderEpoch: -1, committedMetadata: '' }],
    },
  ],
});

export const streamsGroups = chapter('streams groups', (call) => {
  for (const [name, partitions] of [
    ['streams-in', 3],
    ['streams-state', 3],
    ['streams-wrong', 2],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });

  const refuse = (name: string, request: object) => call('StreamsGroupHeartbeat', name, { ...request });
  refuse('without a group', join('', 'm'));
  refuse('without a member', join('s-none', ''));
  refuse('an empty instance', join('s-none', 'm', { instanceId: '' }));
  refuse('an empty rack', join('s-none', 'm', { rackId: '' }));
  refuse('without a rebalance time-out', join('s-none', 'm', { rebalanceTimeoutMs: -1 }));
  refuse('without a topology', join('s-none', 'm', { topology: null }));
  refuse('that joins with tasks', join('s-none', 'm', tasks(0)));
  refuse(
    'that joins with copies',
    join('s-none', 'm', { standbyTasks: [{ subtopologyId: '0', partitions: [0] }] }),
  );
  refuse(
    'with warm-up tasks',
    join('s-none', 'm', { warmupTasks: [{ subtopologyId: '0', partitions: [0] }] }),
  );
  const offsets = [{ subtopologyId: '0', partition: 0, offset: 5n }];
  refuse('with offsets of tasks', join('s-none', 'm', { taskOffsets: offsets }));
  refuse('with end offsets of tasks', join('s-none', 'm', { taskEndOffsets: offsets }));
  refuse('of an epoch that cannot be', beat('s-none', 'm', -3));
  refuse('of a static member that leaves, without its name', beat('s-none', 'm', -2));
  refuse('with some kinds of tasks', beat('s-none', 'm', 1, { activeTasks: [] }));
  refuse('with a topology though it does not join', beat('s-none', 'm', 1, { topology: READER }));
  refuse('of a group that does not exist', beat('s-none', 'm', 1));
  refuse('that leaves a group that does not exist', beat('s-none', 'm', -1));
  refuse('of a static member', join('s-none', 'm', { instanceId: 'i' }));
  refuse(
    'with a regular expression',
    join('s-none', 'm', { topology: topology(subtopology('0', { sourceTopicRegex: ['x.*'] })) }),
  );
  refuse(
    'with a changelog of so many partitions',
    join('s-none', 'm', {
      topology: topology(
        subtopology('0', { sourceTopics: ['streams-in'], stateChangelogTopics: [info('c', 3)] }),
      ),
    }),
  );
  refuse(
    'with a repartition topic that nobody writes',
    join('s-none', 'm', { topology: topology(subtopology('0', { repartitionSourceTopics: [info('r')] })) }),
  );
  refuse(
    'with repartition topics in a circle',
    join('s-none', 'm', {
      topology: topology(
        subtopology('0', { repartitionSourceTopics: [info('r')], repartitionSinkTopics: ['q'] }),
        subtopology('1', { repartitionSourceTopics: [info('q')], repartitionSinkTopics: ['r'] }),
      ),
    }),
  );

  call('StreamsGroupHeartbeat', 'the first member', join('s-one', 'a'));
  call('StreamsGroupHeartbeat', 'it goes on', beat('s-one', 'a', 2, tasks(0, 1, 2)));
  call('StreamsGroupHeartbeat', 'with nothing to say', beat('s-one', 'a', 2));
  call('StreamsGroupHeartbeat', 'an epoch that is too high', beat('s-one', 'a', 9));
  call('StreamsGroupHeartbeat', 'an unknown member', beat('s-one', 'z', 2));
  call('StreamsGroupHeartbeat', 'a task that does not exist', beat('s-one', 'a', 2, tasks(3)));
  call(
    'StreamsGroupHeartbeat',
    'a subtopology that does not exist',
    beat('s-one', 'a', 2, { ...NONE, activeTasks: [{ subtopologyId: '9', partitions: [0] }] }),
  );
  call('StreamsGroupHeartbeat', 'another topology', join('s-one', 'b', { topology: COUNTER }));
  call('StreamsGroupHeartbeat', 'an old topology', join('s-old', 'a', { topology: { ...READER, epoch: 5 } }));
  call('StreamsGroupHeartbeat', 'a member with it', join('s-old', 'b', { topology: READER }));
  call('StreamsGroupHeartbeat', 'the second member', join('s-one', 'b'));
  call('StreamsGroupHeartbeat', 'the second waits', beat('s-one', 'b', 3));
  call(
    'StreamsGroupDescribe',
    'a group that reconciles',
    { groupIds: ['s-one'] },
    {
      except: { fields: ['clientId'], because: 'the connections have their own' },
    },
  );
  call('StreamsGroupHeartbeat', 'the first joins again', join('s-one', 'a'));
  call('ListGroups', 'streams groups', { typesFilter: ['streams'] }, { versions: [5, 5] });
  call(
    'ListGroups',
    'streams groups in a state',
    { typesFilter: ['Streams'], statesFilter: ['Reconciling'] },
    {
      versions: [5, 5],
    },
  );
  call('DescribeGroups', 'a streams group', { groups: ['s-one'] });
  call('ConsumerGroupDescribe', 'a streams group', { groupIds: ['s-one'] });
  call('StreamsGroupDescribe', 'without a name', { groupIds: [''] });
  call('StreamsGroupDescribe', 'a group that does not exist', { groupIds: ['s-none'] });
  call('StreamsGroupDescribe', 'a classic group', { groupIds: ['g-4'] });
  call('StreamsGroupDescribe', 'what may be done', {
    groupIds: ['s-old', 's-none'],
    includeAuthorizedOperations: true,
  });
  call('DeleteGroups', 'a streams group with members', { groupsNames: ['s-one'] });

  call('OffsetCommit', 'a member of a streams group', (a) =>
    commit('s-old', 'a', 2, 0, a.topicId('streams-in')),
  );
  call('OffsetCommit', 'of an epoch to come', (a) => commit('s-old', 'a', 9, 0, a.topicId('streams-in')));
  call('OffsetCommit', 'of a former epoch', (a) => commit('s-old', 'a', 1, 0, a.topicId('streams-in')));
  call('OffsetCommit', 'an unknown member of a streams group', (a) =>
    commit('s-old', 'z', 2, 0, a.topicId('streams-in')),
  );
  call('OffsetCommit', 'nobody, to a streams group with members', (a) =>
    commit('s-old', '', -1, 0, a.topicId('streams-in')),
  );
  for (const [name, memberId, memberEpoch] of [
    ['a member', 'a', 2],
    ['another epoch', 'a', 1],
    ['an unknown member', 'z', 2],
    ['nobody', null, -1],
  ] as const)
    call(
      'OffsetFetch',
      `of a streams group, ${name}`,
      (a) => ({
        groups: [
          {
            groupId: 's-old',
            memberId,
            memberEpoch,
            topics: [{ name: 'streams-in', topicId: a.topicId('streams-in'), partitionIndexes: [0, 1] }],
          },
        ],
      }),
      { versions: [9, 10] },
    );

  call('StreamsGroupHeartbeat', 'with state', join('s-state', 'a', { topology: COUNTER, rackId: 'r' }));
  call('StreamsGroupHeartbeat', 'with state, again', beat('s-state', 'a', 2, tasks(0, 1, 2)));
  call(
    'StreamsGroupHeartbeat',
    'of who answers queries',
    join('s-query', 'a', { userEndpoint: { host: 'h', port: 9 }, clientTags: [{ key: 'zone', value: 'z' }] }),
  );
  call('StreamsGroupHeartbeat', 'where queries are answered', beat('s-query', 'a', 2, tasks(0, 1, 2)));
  call(
    'StreamsGroupDescribe',
    'groups',
    { groupIds: ['s-state', 's-query'] },
    {
      except: {
        fields: ['clientId', 'stateChangelogTopics'],
        because:
          'the connections have their own; Kafka tells the number of partitions of a changelog, or 0, whatever the group has come to',
      },
    },
  );
  call(
    'StreamsGroupHeartbeat',
    'without its source topics',
    join('s-missing', 'a', {
      topology: topology(
        subtopology('0', { sourceTopics: ['d', 'c', 'b', 'a'].map((name) => `streams-no-${name}`) }),
      ),
    }),
  );
  call('StreamsGroupHeartbeat', 'still without them', beat('s-missing', 'a', 2, NONE));
  call(
    'StreamsGroupHeartbeat',
    'with state in a topic of another size',
    join('s-wrong', 'a', {
      topology: topology(
        subtopology('0', { sourceTopics: ['streams-in'], stateChangelogTopics: [info('streams-wrong')] }),
      ),
    }),
  );
  call(
    'StreamsGroupHeartbeat',
    'that joins topics of different sizes',
    join('s-sizes', 'a', {
      topology: topology(
        subtopology('0', {
          sourceTopics: ['streams-in', 'streams-wrong'],
          copartitionGroups: [{ sourceTopics: [0, 1], sourceTopicRegex: [], repartitionSourceTopics: [] }],
        }),
      ),
    }),
  );
  call(
    'StreamsGroupDescribe',
    'groups that are not ready',
    { groupIds: ['s-missing', 's-wrong'] },
    {
      except: { fields: ['clientId'], because: 'the connections have their own' },
    },
  );

  call(
    'StreamsGroupHeartbeat',
    'that ends the application',
    beat('s-old', 'a', 2, { shutdownApplication: true }),
  );
  call('StreamsGroupHeartbeat', 'the others are told', beat('s-old', 'b', 3));
  for (const [groupId, memberId] of [
    ['s-old', 'a'],
    ['s-old', 'b'],
    ['s-state', 'a'],
  ])
    call('StreamsGroupHeartbeat', `${memberId} leaves ${groupId}`, beat(groupId!, memberId!, -1));
  call('StreamsGroupHeartbeat', 'that has left', beat('s-old', 'a', -1));
  call('StreamsGroupDescribe', 'an empty group', { groupIds: ['s-old'] });
  call('OffsetCommit', 'nobody, to an empty streams group', (a) =>
    commit('s-old', '', -1, 1, a.topicId('streams-in')),
  );
  call('DeleteGroups', 'streams groups', { groupsNames: ['s-old', 's-none'] }, { versions: [2, 2] });
  call('StreamsGroupDescribe', 'a deleted group', { groupIds: ['s-old'] });

  const classic = (groupId: string) => ({
    groupId,
    sessionTimeoutMs: 60_000,
    rebalanceTimeoutMs: 60_000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('m') }],
  });
  call('JoinGroup', 'a streams group with members', classic('s-one'), { versions: [9, 9] });
  call('StreamsGroupHeartbeat', 'a classic group with members', join('g-4', 'a'));
  call('StreamsGroupHeartbeat', 'a classic group with offsets alone', join('o-5', 'a'));
  call(
    'ConsumerGroupHeartbeat',
    'a streams group',
    {
      groupId: 's-one',
      memberId: 'c',
      memberEpoch: 0,
      rebalanceTimeoutMs: 60_000,
      subscribedTopicNames: ['streams-in'],
      topicPartitions: [],
    },
    { versions: [1, 1] },
  );
  call('Heartbeat', 'in a streams group', { groupId: 's-one', generationId: 1, memberId: 'a' });
  call(
    'SyncGroup',
    'in a streams group',
    { groupId: 's-one', generationId: 1, memberId: 'a', assignments: [] },
    {
      versions: [4, 4],
    },
  );
  call(
    'LeaveGroup',
    'a streams group',
    { groupId: 's-one', members: [{ memberId: 'a', groupInstanceId: null, reason: null }] },
    { versions: [5, 5] },
  );
});

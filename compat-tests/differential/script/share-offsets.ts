import { type Answers, chapter } from '../case.ts';
import { DESCRIBED_ONCE, UNKNOWN_UUID } from './build.ts';
import { A, B, GROUP, MEMBER } from './share-sessions.ts';

/** Offsets of the group whose sessions the chapter before has, and states of share partitions, of which something is named twice. */
export const shareOffsets = chapter('offsets of share groups', (call) => {
  const named = (groupId: string, topics: { topicName: string; partitions: number[] }[] | null) => ({
    groupId,
    topics,
  });
  const POSITION = {
    fields: ['startOffset', 'lag'],
    because: 'Kafka stores where the group begins with a later change',
  };
  call(
    'DescribeShareGroupOffsets',
    'of topics and partitions twice',
    {
      groups: [
        named(GROUP, [
          { topicName: A, partitions: [0, 0, 1] },
          { topicName: B, partitions: [0] },
          { topicName: A, partitions: [1] },
          { topicName: 'sessions-never', partitions: [0] },
          { topicName: 'sessions-never', partitions: [1] },
        ]),
        named(GROUP, [{ topicName: B, partitions: [0] }]),
        named('sessions-none', null),
      ],
    },
    { except: POSITION },
  );
  call(
    'DescribeShareGroupOffsets',
    'of no partitions',
    { groups: [named(GROUP, [{ topicName: A, partitions: [] }])] },
    { differs: 'Kafka fails inside' },
  );
  call('DescribeShareGroupOffsets', 'of no groups', { groups: [] });
  call(
    'ShareGroupDescribe',
    'groups twice',
    { groupIds: ['sessions-none', 'sessions-none', ''] },
    DESCRIBED_ONCE,
  );

  const altered = (
    name: string,
    topics: { topicName: string; partitions: [number, bigint][] }[],
    groupId = GROUP,
  ) =>
    call('AlterShareGroupOffsets', name, {
      groupId,
      topics: topics.map(({ topicName, partitions }) => ({
        topicName,
        partitions: partitions.map(([partitionIndex, startOffset]) => ({ partitionIndex, startOffset })),
      })),
    });
  call('ShareGroupHeartbeat', 'that leaves', {
    groupId: GROUP,
    memberId: MEMBER,
    memberEpoch: -1,
    subscribedTopicNames: null,
  });
  altered('of nothing', []);
  altered('of no partitions', [{ topicName: A, partitions: [] }]);
  altered('of partitions that do not exist', [{ topicName: A, partitions: [[9, 1n]] }]);
  altered('of a negative offset', [
    {
      topicName: A,
      partitions: [
        [0, -1n],
        [1, -7n],
      ],
    },
  ]);
  altered('beyond the end', [{ topicName: A, partitions: [[0, 1_000n]] }]);
  altered('of topics and partitions twice', [
    {
      topicName: A,
      partitions: [
        [0, 1n],
        [0, 2n],
      ],
    },
    { topicName: B, partitions: [[0, 1n]] },
    {
      topicName: A,
      partitions: [
        [0, 3n],
        [1, 1n],
      ],
    },
    { topicName: 'sessions-never', partitions: [[0, 1n]] },
    { topicName: 'sessions-never', partitions: [[1, 1n]] },
  ]);
  call('DescribeShareGroupOffsets', 'that were altered twice', {
    groups: [
      named(GROUP, [
        { topicName: A, partitions: [0, 1] },
        { topicName: B, partitions: [0] },
      ]),
    ],
  });
  call('DeleteShareGroupOffsets', 'of nothing', { groupId: GROUP, topics: [] });
  call('DeleteShareGroupOffsets', 'of topics twice', {
    groupId: GROUP,
    topics: [
      { topicName: A },
      { topicName: B },
      { topicName: A },
      { topicName: 'sessions-never' },
      { topicName: 'sessions-never' },
    ],
  });
  call('DescribeShareGroupOffsets', 'that were deleted', { groups: [named(GROUP, null)] });
  call('DeleteGroups', 'of sessions', { groupsNames: [GROUP, GROUP, 'sessions-none'] }, { versions: [2, 2] });

  const bare = { groupId: 'sessions-bare', memberId: MEMBER, subscribedTopicNames: ['sessions-never'] };
  call('ShareGroupHeartbeat', 'of a group that reads nothing', { ...bare, memberEpoch: 0 });
  call('ShareGroupHeartbeat', 'that leaves it', { ...bare, memberEpoch: -1 });
  call('DescribeShareGroupOffsets', 'of a group that read nothing', {
    groups: [named('sessions-bare', null)],
  });
  call(
    'DeleteShareGroupOffsets',
    'of a group that read nothing',
    { groupId: 'sessions-bare', topics: [{ topicName: A }, { topicName: 'sessions-never' }] },
    { differs: 'Kafka says nothing of the topics' },
  );
  call('DeleteShareGroupOffsets', 'of nothing, of a group that read nothing', {
    groupId: 'sessions-bare',
    topics: [],
  });

  const states = (a: Answers, partition: object) => ({
    groupId: 'sessions-state',
    topics: [
      { topicId: a.topicId(A), partitions: [0, 1, 0].map((index) => ({ partition: index, ...partition })) },
      { topicId: UNKNOWN_UUID, partitions: [{ partition: 0, ...partition }] },
      { topicId: a.topicId(A), partitions: [{ partition: 1, ...partition }] },
    ],
  });
  for (const [api, partition] of [
    ['InitializeShareGroupState', { stateEpoch: 1, startOffset: 5n }],
    [
      'WriteShareGroupState',
      { stateEpoch: 1, leaderEpoch: 0, startOffset: 5n, deliveryCompleteCount: 0, stateBatches: [] },
    ],
    ['ReadShareGroupState', { leaderEpoch: 0 }],
    ['ReadShareGroupStateSummary', { leaderEpoch: 0 }],
    ['DeleteShareGroupState', {}],
  ] as const) {
    call(
      api,
      'of a topic without partitions',
      (a) => ({
        groupId: 'sessions-state',
        topics: [...states(a, partition).topics, { topicId: a.topicId(B), partitions: [] }],
      }),
      api === 'InitializeShareGroupState' ? { differs: 'Kafka begins those of the other topics' } : {},
    );
    call(api, 'of partitions twice', (a) => states(a, partition));
    call(api, 'of no topics', { groupId: 'sessions-state', topics: [] });
  }
});

import { type Answers, chapter } from '../case.ts';
import { batch, CREATED, create, DESCRIBED_ONCE, NO_UUID, produce, UNKNOWN_UUID } from './build.ts';

const NAME = 'doubled';

const offset = (partitionIndex: number, committedOffset: bigint, more: object = {}) => ({
  partitionIndex,
  committedOffset,
  committedLeaderEpoch: -1,
  committedMetadata: 'note',
  ...more,
});
const classic = (protocols: [name: string, metadata: string][], more: object = {}) => ({
  groupId: 'twice-group',
  sessionTimeoutMs: 60_000,
  rebalanceTimeoutMs: 60_000,
  memberId: '',
  protocolType: 'consumer',
  protocols: protocols.map(([name, metadata]) => ({ name, metadata: Buffer.from(metadata) })),
  ...more,
});

/** Records, offsets and members of which something is named twice, or nothing, or what cannot be. */
export const twiceGroups = chapter('records and groups twice, none, and too many', (call) => {
  for (const [name, partitions] of [
    [NAME, 2],
    ['doubled-b', 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });

  call(
    'Produce',
    'to a topic without partitions',
    (a) => ({
      ...produce(NAME, a.topicId(NAME), null),
      topicData: [{ name: NAME, topicId: a.topicId(NAME), partitionData: [] }],
    }),
    { differs: 'Kafka does not name a topic without partitions' },
  );
  call('Produce', 'nothing', { transactionalId: null, acks: -1, timeoutMs: 5_000, topicData: [] });
  call('Produce', 'to what there is beside what there is not', (a) => ({
    ...produce(NAME, a.topicId(NAME), null),
    topicData: [
      [NAME, a.topicId(NAME), [0, 9]],
      ['twice-never', UNKNOWN_UUID, [0]],
      ['doubled-b', a.topicId('doubled-b'), [0, -1]],
    ].map(([name, topicId, indexes]) => ({
      name,
      topicId,
      partitionData: (indexes as number[]).map((index) => ({ index, records: batch(['beside']) })),
    })),
  }));
  call('Produce', 'null', (a) => produce(NAME, a.topicId(NAME), null), {
    differs: 'Kafka fails inside',
  });
  for (const acks of [-2, 3, 32_767])
    call('Produce', `acks=${acks}`, (a) => produce(NAME, a.topicId(NAME), batch(['acks']), { acks }));
  call('Produce', 'to internal topics', (a: Answers) =>
    produce('__consumer_offsets', a.topicId('__consumer_offsets'), batch(['x'])),
  );

  const commit =
    (topics: (a: Answers) => [name: string, id: string, partitions: object[]][], more: object = {}) =>
    (a: Answers) => ({
      groupId: 'twice-offsets-$v',
      memberId: '',
      generationIdOrMemberEpoch: -1,
      topics: topics(a).map(([name, topicId, partitions]) => ({ name, topicId, partitions })),
      ...more,
    });
  const here =
    (...partitions: object[]) =>
    (a: Answers): [string, string, object[]][] => [[NAME, a.topicId(NAME), partitions]];
  call('OffsetCommit', 'a partition twice', commit(here(offset(0, 1n), offset(0, 2n))));
  call('OffsetCommit', 'at bounds', commit(here(offset(0, -1n), offset(1, 9_223_372_036_854_775_807n))));
  call('OffsetCommit', 'below zero', commit(here(offset(0, -5n))));
  call(
    'OffsetCommit',
    'of leader epochs that cannot be',
    commit(here(offset(0, 4n, { committedLeaderEpoch: -9 }), offset(1, 4n, { committedLeaderEpoch: 77 }))),
  );
  call('OffsetCommit', 'of an instance', commit(here(offset(0, 4n)), { groupInstanceId: 'i' }), {
    versions: [7, 10],
  });
  call('OffsetCommit', 'to be kept for no time', commit(here(offset(0, 4n)), { retentionTimeMs: 0n }), {
    versions: [2, 4],
  });
  call(
    'OffsetCommit',
    'to be kept for negative time',
    commit(here(offset(0, 4n)), { retentionTimeMs: -7n }),
    { versions: [2, 4] },
  );
  call(
    'OffsetCommit',
    'to be kept for an hour',
    commit(here(offset(0, 4n)), { retentionTimeMs: 3_600_000n }),
    { versions: [2, 4] },
  );
  call(
    'OffsetCommit',
    'of a topic without a name',
    commit(() => [['', NO_UUID, [offset(0, 1n)]]]),
  );
  call(
    'OffsetFetch',
    'what was committed',
    { groupId: 'twice-offsets-9', topics: null },
    { versions: [2, 7] },
  );
  call(
    'OffsetFetch',
    'what was committed to be kept',
    { groupId: 'twice-offsets-3', topics: null },
    { versions: [2, 7] },
  );
  call(
    'OffsetFetch',
    'partitions and topics twice',
    {
      groupId: 'twice-offsets-9',
      topics: [
        { name: NAME, partitionIndexes: [0, 0, 9, -1] },
        { name: 'twice-never', partitionIndexes: [0] },
        { name: NAME, partitionIndexes: [1] },
        { name: 'doubled-b', partitionIndexes: [] },
      ],
    },
    { versions: [1, 7], ...DESCRIBED_ONCE },
  );
  call(
    'OffsetFetch',
    'groups and topics twice',
    (a) => ({
      groups: ['twice-offsets-9', '', 'twice-never', 'twice-offsets-9'].map((groupId) => ({
        groupId,
        memberId: null,
        memberEpoch: -1,
        topics: [
          { name: NAME, topicId: a.topicId(NAME), partitionIndexes: [0, 0] },
          { name: NAME, topicId: a.topicId(NAME), partitionIndexes: [1] },
          { name: 'doubled-b', topicId: a.topicId('doubled-b'), partitionIndexes: [] },
        ],
      })),
    }),
    { versions: [8, 10], ...DESCRIBED_ONCE },
  );
  call('OffsetDelete', 'partitions and topics twice', {
    groupId: 'twice-offsets-9',
    topics: [
      { name: NAME, partitions: [{ partitionIndex: 0 }, { partitionIndex: 0 }] },
      { name: NAME, partitions: [{ partitionIndex: 1 }] },
    ],
  });
  call(
    'DescribeGroups',
    'the same twice',
    {
      groups: ['twice-offsets-9', 'twice-offsets-9', 'twice-never', ''],
    },
    DESCRIBED_ONCE,
  );
  call(
    'DeleteGroups',
    'the same twice, and others',
    {
      groupsNames: ['twice-offsets-9', 'twice-never', '', 'twice-never', 'twice-offsets-9', ''],
    },
    { versions: [1, 1] },
  );
  call(
    'FindCoordinator',
    'of the same twice',
    { keyType: 0, coordinatorKeys: ['x', 'x', ''] },
    { versions: [4, 6] },
  );
  call('FindCoordinator', 'of none', { keyType: 1, coordinatorKeys: [] }, { versions: [4, 6] });
  call(
    'FindCoordinator',
    'of a negative kind',
    { keyType: -1, coordinatorKeys: ['x'] },
    { versions: [4, 6] },
  );
  call('FindCoordinator', 'of an empty transaction', { keyType: 1, key: '' }, { versions: [1, 3] });

  for (const [name, more] of [
    ['without time', { sessionTimeoutMs: 0 }],
    ['with negative time', { sessionTimeoutMs: -1 }],
    ['with too much time', { sessionTimeoutMs: 1_800_001 }],
    ['with the least time less one', { sessionTimeoutMs: 5_999 }],
    ['with an empty instance', { groupInstanceId: '' }],
    ['with an instance that cannot be', { groupInstanceId: 'a/b' }],
    ['with the instance .', { groupInstanceId: '.' }],
    ['with a long instance', { groupInstanceId: 'i'.repeat(250) }],
    ['with a long reason', { memberId: 'x', reason: 'r'.repeat(300) }],
  ] as const)
    call('JoinGroup', name, classic([['range', 'a']], { groupId: `joined ${name} $v`, ...more }), {
      versions: [5, 9],
    });
});

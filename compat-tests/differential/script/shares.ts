import { type Body, chapter } from '../case.ts';
import { alter, batch, CREATED, create, Op, produce, ResourceType, UNKNOWN_UUID } from './build.ts';
import { shareStates } from './share-states.ts';

const JOINED = {
  fields: ['memberEpoch', 'assignment'],
  because: 'Kafka gives partitions with a later heartbeat, once they have a state; Kafabric with the first',
} as const;
const EPOCH = { fields: ['memberEpoch'], because: 'Kafka has a later epoch once there is a state' } as const;
const GROUP = 'share-group';
const MEMBER = 'AAAAAAAAAAAAAAAAAAAABQ';

const heartbeat = (more: object = {}) => ({
  groupId: GROUP,
  memberId: MEMBER,
  memberEpoch: 0,
  rackId: null,
  subscribedTopicNames: ['share-topic'],
  ...more,
});
const fetch = (topicId: string, more: object = {}, partition: object = {}) => ({
  groupId: GROUP,
  memberId: MEMBER,
  shareSessionEpoch: 0,
  maxWaitMs: 500,
  minBytes: 1,
  maxBytes: 1_000_000,
  maxRecords: 100,
  batchSize: 100,
  topics: [
    {
      topicId,
      partitions: [{ partitionIndex: 0, partitionMaxBytes: 0, acknowledgementBatches: [], ...partition }],
    },
  ],
  forgottenTopicsData: [],
  ...more,
});
const batches = (firstOffset: bigint, lastOffset: bigint, ...acknowledgeTypes: number[]) => [
  { firstOffset, lastOffset, acknowledgeTypes },
];
const acknowledge = (topicId: string, shareSessionEpoch: number, acknowledgementBatches: object[]) => ({
  groupId: GROUP,
  memberId: MEMBER,
  shareSessionEpoch,
  topics: [{ topicId, partitions: [{ partitionIndex: 0, acknowledgementBatches }] }],
});
const offsets = (groupId: string, topics: { topicName: string; partitions: number[] }[] | null) => ({
  groups: [{ groupId, topics }],
});
const isFound = ({ coordinators }: Body) =>
  (coordinators as { errorCode: number }[]).every(({ errorCode }) => errorCode === 0);
const hasPartitions = ({ assignment }: Body) =>
  ((assignment as { topicPartitions: unknown[] } | null)?.topicPartitions.length ?? 0) > 0;
const hasRecords = ({ responses }: Body) => (responses as unknown[]).length > 0;

export const shares = chapter('share groups', (call) => {
  call('CreateTopics', 'a topic to share', create('share-topic', 1), { versions: [7, 7], except: CREATED });
  call(
    'Produce',
    'records to share',
    (a) => produce('share-topic', a.topicId('share-topic'), batch(['a', 'b', 'c', 'd', 'e', 'f'])),
    { versions: [13, 13] },
  );
  call(
    'IncrementalAlterConfigs',
    'a share group that begins at the start',
    alter(ResourceType.GROUP, GROUP, [['share.auto.offset.reset', Op.SET, 'earliest']]),
    { versions: [1, 1] },
  );

  call(
    'FindCoordinator',
    'of a share group',
    { keyType: 0, coordinatorKeys: [GROUP] },
    { versions: [6, 6], until: isFound },
  );
  call(
    'FindCoordinator',
    'of share partitions',
    (a) => ({
      keyType: 2,
      coordinatorKeys: [GROUP, 'share-state'].map((group) => `${group}:${a.topicId('share-topic')}:0`),
    }),
    { versions: [6, 6], until: isFound },
  );

  call('ShareGroupHeartbeat', 'without a group', heartbeat({ groupId: '' }));
  call('ShareGroupHeartbeat', 'without a member', heartbeat({ memberId: '' }));
  call('ShareGroupHeartbeat', 'with an empty rack', heartbeat({ rackId: '' }));
  call('ShareGroupHeartbeat', 'that joins without topics', heartbeat({ subscribedTopicNames: null }));
  call('ShareGroupHeartbeat', 'that joins with no topic', heartbeat({ subscribedTopicNames: [] }));
  call('ShareGroupHeartbeat', 'in an impossible epoch', heartbeat({ memberEpoch: -2 }));
  call('ShareGroupHeartbeat', 'in a group that does not exist', heartbeat({ memberEpoch: 3 }));
  call('ShareGroupHeartbeat', 'that leaves a group that does not exist', heartbeat({ memberEpoch: -1 }));
  call('ShareGroupHeartbeat', 'that joins', heartbeat(), { except: JOINED });
  // Joining again asks for everything again.
  call('ShareGroupHeartbeat', 'that gets its partitions', heartbeat(), {
    except: EPOCH,
    until: hasPartitions,
  });
  call('ShareGroupHeartbeat', 'in a later epoch', heartbeat({ memberEpoch: 90 }), {
    except: { fields: ['errorMessage'], because: 'it names the epoch' },
  });
  call('ShareGroupHeartbeat', 'of an unknown member', heartbeat({ memberId: 'who', memberEpoch: 3 }));
  call(
    'ShareGroupDescribe',
    'a share group',
    { groupIds: [GROUP] },
    {
      except: {
        fields: ['groupEpoch', 'assignmentEpoch', 'memberEpoch', 'assignment', 'clientHost'],
        because: JOINED.because,
      },
    },
  );
  call('ShareGroupDescribe', 'groups that do not exist', { groupIds: ['share-never', ''] });
  call('ListGroups', 'share groups', { typesFilter: ['share'] }, { versions: [5, 5] });

  call('ShareFetch', 'of a group without a name', (a) => fetch(a.topicId('share-topic'), { groupId: '' }), {
    differs: 'Kafka goes on until it fails inside',
  });
  call('ShareFetch', 'of a member without a name', (a) => fetch(a.topicId('share-topic'), { memberId: '' }));
  call('ShareFetch', 'of a member with a long name', (a) =>
    fetch(a.topicId('share-topic'), { memberId: 'm'.repeat(37) }),
  );
  call('ShareFetch', 'of a group that does not exist', (a) =>
    fetch(a.topicId('share-topic'), { groupId: 'share-never', memberId: MEMBER }),
  );
  call('ShareFetch', 'without a group', (a) => fetch(a.topicId('share-topic'), { groupId: null }));
  call('ShareFetch', 'without a member', (a) => fetch(a.topicId('share-topic'), { memberId: null }));
  call('ShareFetch', 'in a session that does not exist', (a) =>
    fetch(a.topicId('share-topic'), { shareSessionEpoch: 4 }),
  );
  call('ShareFetch', 'that ends a session that does not exist', (a) =>
    fetch(a.topicId('share-topic'), { shareSessionEpoch: -1 }),
  );
  call('ShareFetch', 'that begins with an acknowledgement', (a) =>
    fetch(a.topicId('share-topic'), {}, { acknowledgementBatches: batches(0n, 1n, 1) }),
  );
  call('ShareFetch', 'of a topic that does not exist', fetch(UNKNOWN_UUID), {
    differs: 'Kafka fails inside',
  });
  call('ShareFetch', 'all records', (a) => fetch(a.topicId('share-topic')), {
    versions: [1, 1],
    until: hasRecords,
  });
  call('ShareFetch', 'in the wrong epoch', (a) => fetch(a.topicId('share-topic'), { shareSessionEpoch: 7 }));
  call(
    'ShareAcknowledge',
    'two records',
    (a) => acknowledge(a.topicId('share-topic'), 1, batches(0n, 1n, 1)),
    {
      versions: [1, 1],
    },
  );
  call(
    'ShareAcknowledge',
    'them again',
    (a) => acknowledge(a.topicId('share-topic'), 2, batches(0n, 1n, 1)),
    {
      versions: [1, 1],
    },
  );
  call(
    'ShareAcknowledge',
    'more than there are',
    (a) => acknowledge(a.topicId('share-topic'), 3, batches(5n, 90n, 1)),
    { versions: [1, 1] },
  );
  call('ShareAcknowledge', 'backwards', (a) => acknowledge(a.topicId('share-topic'), 4, batches(5n, 4n, 1)), {
    versions: [1, 1],
  });
  call(
    'ShareAcknowledge',
    'with a type that does not exist',
    (a) => acknowledge(a.topicId('share-topic'), 5, batches(2n, 2n, 9)),
    { versions: [1, 1] },
  );
  call(
    'ShareAcknowledge',
    'with too few types',
    (a) => acknowledge(a.topicId('share-topic'), 6, batches(2n, 5n, 1, 1)),
    { versions: [1, 1] },
  );
  call(
    'ShareAcknowledge',
    'to renew, before there was that',
    (a) => acknowledge(a.topicId('share-topic'), 7, batches(2n, 2n, 4)),
    { versions: [1, 1] },
  );
  call(
    'ShareAcknowledge',
    'to renew, without saying so',
    (a) => acknowledge(a.topicId('share-topic'), 8, batches(2n, 2n, 4)),
    { versions: [2, 2] },
  );
  call(
    'ShareAcknowledge',
    'of a partition that is named twice',
    (a) => ({
      ...acknowledge(a.topicId('share-topic'), 9, []),
      topics: [batches(5n, 90n, 1), batches(0n, 1n, 1)].map((acknowledgementBatches) => ({
        topicId: a.topicId('share-topic'),
        partitions: [{ partitionIndex: 0, acknowledgementBatches }],
      })),
    }),
    { versions: [1, 1] },
  );
  call(
    'ShareAcknowledge',
    'to release, and to reject',
    (a) => acknowledge(a.topicId('share-topic'), 10, batches(2n, 5n, 2, 2, 3, 2)),
    { versions: [1, 1] },
  );
  call('ShareFetch', 'what was released', (a) => fetch(a.topicId('share-topic'), { shareSessionEpoch: 11 }), {
    versions: [1, 1],
  });
  call(
    'ShareAcknowledge',
    'in the first epoch',
    (a) => acknowledge(a.topicId('share-topic'), 0, batches(2n, 2n, 1)),
    { versions: [1, 1] },
  );
  call(
    'ShareAcknowledge',
    'everything, at the end of the session',
    (a) => acknowledge(a.topicId('share-topic'), -1, [...batches(2n, 3n, 1), ...batches(5n, 5n, 1)]),
    {
      versions: [1, 1],
    },
  );

  call('ShareFetch', 'when all is done', (a) => fetch(a.topicId('share-topic'), { maxWaitMs: 50 }), {
    versions: [1, 1],
  });
  // Where what is done with and what was never fetched are named together Kafka fails inside.
  for (const [name, epoch, firstOffset, lastOffset] of [
    ['what is long done', 1, 0n, 1n],
    ['what is the last that was done', 2, 4n, 5n],
    ['what was never fetched', -1, 6n, 7n],
  ] as const)
    call(
      'ShareAcknowledge',
      name,
      (a) => acknowledge(a.topicId('share-topic'), epoch, batches(firstOffset, lastOffset, 1)),
      { versions: [1, 1] },
    );

  const POSITION = {
    fields: ['startOffset'],
    because: 'Kafka stores where the group begins with a later change',
  };
  call('DescribeShareGroupOffsets', 'of a group', offsets(GROUP, null), { except: POSITION });
  call(
    'DescribeShareGroupOffsets',
    'of topics',
    // Of a partition that does not exist Kafka looks for the state for half a minute.
    offsets(GROUP, [
      { topicName: 'share-topic', partitions: [0] },
      { topicName: 'share-no-topic', partitions: [0] },
    ]),
    { except: POSITION },
  );
  call('DescribeShareGroupOffsets', 'of a group that does not exist', offsets('share-never', null));
  call('AlterShareGroupOffsets', 'of a group with members', {
    groupId: GROUP,
    topics: [{ topicName: 'share-topic', partitions: [{ partitionIndex: 0, startOffset: 2n }] }],
  });
  call('DeleteShareGroupOffsets', 'of a group with members', {
    groupId: GROUP,
    topics: [{ topicName: 'share-topic' }],
  });
  call('DeleteGroups', 'a share group with members', { groupsNames: [GROUP] }, { versions: [2, 2] });
  call('ShareGroupHeartbeat', 'that leaves', heartbeat({ memberEpoch: -1 }));
  call('AlterShareGroupOffsets', 'of a group without members', {
    groupId: GROUP,
    topics: [
      {
        topicName: 'share-topic',
        partitions: [
          { partitionIndex: 0, startOffset: 2n },
          { partitionIndex: 7, startOffset: 2n },
        ],
      },
      { topicName: 'share-no-topic', partitions: [{ partitionIndex: 0, startOffset: 2n }] },
    ],
  });
  call(
    'DescribeShareGroupOffsets',
    'that were altered',
    offsets(GROUP, [{ topicName: 'share-topic', partitions: [0] }]),
  );
  call('DeleteShareGroupOffsets', 'of a group without members', {
    groupId: GROUP,
    topics: [{ topicName: 'share-topic' }, { topicName: 'share-no-topic' }],
  });
  call('DeleteGroups', 'a share group', { groupsNames: [GROUP] }, { versions: [2, 2] });
  call('DeleteShareGroupOffsets', 'of a group that does not exist', {
    groupId: 'share-never',
    topics: [{ topicName: 'share-topic' }, { topicName: 'share-no-topic' }],
  });
  call('DeleteShareGroupOffsets', 'of no group', { groupId: '', topics: [{ topicName: 'share-topic' }] });
  call('AlterShareGroupOffsets', 'of no group', {
    groupId: '',
    topics: [{ topicName: 'share-topic', partitions: [{ partitionIndex: 0, startOffset: 2n }] }],
  });
  call('DescribeShareGroupOffsets', 'of no group', offsets('', null));
  call(
    'DescribeShareGroupOffsets',
    'of topics of no group',
    offsets('', [{ topicName: 'share-no-topic', partitions: [0] }]),
  );
  call(
    'DescribeShareGroupOffsets',
    'of topics of a group that does not exist',
    offsets('share-never', [
      { topicName: 'share-topic', partitions: [0] },
      { topicName: 'share-no-topic', partitions: [0] },
    ]),
  );
  call('AlterShareGroupOffsets', 'of a group that did not exist', {
    groupId: 'share-altered',
    topics: [{ topicName: 'share-topic', partitions: [{ partitionIndex: 0, startOffset: 3n }] }],
  });
  call('AlterShareGroupOffsets', 'of a group to come, of no topic that exists', {
    groupId: 'share-altered-not',
    topics: [{ topicName: 'share-no-topic', partitions: [{ partitionIndex: 0, startOffset: 3n }] }],
  });
  call('ShareGroupDescribe', 'groups that were altered', {
    groupIds: ['share-altered', 'share-altered-not'],
  });
  call(
    'DescribeShareGroupOffsets',
    'of a group that did not exist',
    offsets('share-altered', [{ topicName: 'share-topic', partitions: [0] }]),
  );
  for (const name of ['to forget', 'to forget again'])
    call('DeleteShareGroupOffsets', name, {
      groupId: 'share-altered',
      topics: [{ topicName: 'share-topic' }, { topicName: 'share-no-topic' }],
    });
  call(
    'DeleteGroups',
    'that were altered',
    { groupsNames: ['share-altered', 'share-altered-not'] },
    { versions: [2, 2] },
  );

  for (const groupId of ['g-4', 's-never'])
    for (const [api, request] of [
      ['AlterShareGroupOffsets', { groupId, topics: [] }],
      ['DeleteShareGroupOffsets', { groupId, topics: [] }],
      ['DescribeShareGroupOffsets', offsets(groupId, null)],
      ['ShareGroupDescribe', { groupIds: [groupId] }],
      ['ShareGroupHeartbeat', heartbeat({ groupId, memberEpoch: groupId === 'g-4' ? 0 : 1 })],
    ] as const)
      call(api, `that is about ${groupId}, which is no share group`, request, { except: JOINED });

  shareStates(call);
});

import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import {
  alter,
  areFound,
  CREATED,
  create,
  DESCRIBED_ONCE,
  NO_UUID,
  Op,
  ResourceType,
  UNKNOWN_UUID,
} from './build.ts';

const TOPIC = 'consumer-in';
const CLIENT_WORDS = {
  fields: ['errorMessage'],
  because: 'Java tells what is wrong with an expression in its own words',
} as const;

const beat = (groupId: string, memberId: string, memberEpoch: number, more: object = {}) => ({
  groupId,
  memberId,
  memberEpoch,
  ...more,
});
const join = (groupId: string, memberId: string, more: object = {}) =>
  beat(groupId, memberId, 0, {
    rebalanceTimeoutMs: 60_000,
    subscribedTopicNames: [TOPIC],
    topicPartitions: [],
    ...more,
  });
const owned = (topicId: string, ...partitions: number[]) => ({
  topicPartitions: partitions.length === 0 ? [] : [{ topicId, partitions }],
});
const offset = (partitionIndex: number, committedOffset = 5n) => ({
  partitionIndex,
  committedOffset,
  committedLeaderEpoch: -1,
  committedMetadata: '',
});

/** Groups of the consumer protocol (KIP-848). */
export const consumerGroups = chapter('consumer groups', (call) => {
  const heartbeat = (
    name: string,
    request: Body | ((a: Answers) => Body),
    options: CaseOptions = { versions: [1, 1] },
  ) => call('ConsumerGroupHeartbeat', name, request, options);
  const own =
    (groupId: string, memberId: string, epoch: number, ...partitions: number[]) =>
    (a: Answers) =>
      beat(groupId, memberId, epoch, owned(a.topicId(TOPIC), ...partitions));
  const describe = (name: string, ...groupIds: string[]) => call('ConsumerGroupDescribe', name, { groupIds });

  for (const [name, partitions] of [
    [TOPIC, 4],
    ['consumer-more', 2],
    ['consumer-gone', 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });
  call(
    'FindCoordinator',
    'of consumer groups',
    { keyType: 0, coordinatorKeys: ['c-one'] },
    {
      versions: [6, 6],
      until: areFound,
    },
  );
  call(
    'FindCoordinator',
    'of their transactions',
    { keyType: 1, coordinatorKeys: ['c-txn'] },
    { versions: [6, 6], until: areFound },
  );
  // Every change may be followed by a new assignment at once.
  call(
    'IncrementalAlterConfigs',
    'of groups that assign at once',
    {
      resources: ['c-one', 'c-static', 'c-names', 'c-regex', 'c-offsets', 'c-0', 'c-1'].flatMap(
        (group) =>
          alter(ResourceType.GROUP, group, [['consumer.assignment.interval.ms', Op.SET, '0']]).resources,
      ),
      validateOnly: false,
    },
    { versions: [1, 1] },
  );

  const all = {};
  heartbeat('of blank groups', join(' ', 'm'), all);
  heartbeat('of blank members', join('c-none', ' '), all);
  heartbeat('of a blank instance', join('c-none', 'm', { instanceId: ' ' }), all);
  heartbeat('of an empty instance', join('c-none', 'm', { instanceId: '' }), all);
  heartbeat('of a blank rack', join('c-none', 'm', { rackId: '  ' }), all);
  heartbeat('without a member, in a later epoch', beat('c-none', '', 3), all);
  heartbeat('without a member, that leaves', beat('c-none', '', -1), all);
  heartbeat('without a member, that leaves for a while', beat('c-none', '', -2, { instanceId: 'i' }), all);
  heartbeat('in an epoch that cannot be', beat('c-none', 'm', -7), all);
  heartbeat('that leaves for a while, without an instance', beat('c-none', 'm', -2), all);
  heartbeat('that leaves for a while what is not there', beat('c-none', 'm', -2, { instanceId: 'i' }), all);
  heartbeat('that joins with partitions', (a) => join('c-none', 'm', owned(a.topicId(TOPIC), 0)), all);
  heartbeat('that joins without saying what it has', join('c-none', 'm', { topicPartitions: null }), all);
  heartbeat('that joins without topics', join('c-none', 'm', { subscribedTopicNames: null }), all);
  heartbeat('with no assignor', join('c-none', 'm', { serverAssignor: '' }), all);
  heartbeat('with an assignor in other letters', join('c-none', 'm', { serverAssignor: 'RANGE' }), all);
  heartbeat(
    'with an unknown assignor, in a later epoch',
    beat('c-none', 'm', 1, { serverAssignor: 'x' }),
    all,
  );
  for (const regex of ['(', '*', '[a', 'a{2,1}', '(?<name>', '\\'])
    heartbeat(
      `with the expression ${regex}`,
      join('c-none', 'm', { subscribedTopicNames: null, subscribedTopicRegex: regex }),
      { versions: [1, 1], except: CLIENT_WORDS },
    );
  describe('that were not made by these', 'c-none', '');

  heartbeat('the first member', join('c-$v', 'first'), all);
  heartbeat('without a member that joins', join('c-$v', ''), {
    versions: [0, 0],
    save: { memberId: 'c-member' },
  });
  heartbeat('a member that was given its id', (a) => beat('c-0', a.saved('c-member'), 3), {
    versions: [0, 0],
  });
  heartbeat('an unknown one', beat('c-$v', 'nobody', 2), all);
  heartbeat('an unknown one that leaves', beat('c-$v', 'nobody', -1), all);
  heartbeat('an unknown instance', beat('c-$v', 'first', 2, { instanceId: 'i' }), all);
  heartbeat('an unknown instance that leaves', beat('c-$v', 'first', -1, { instanceId: 'i' }), all);
  heartbeat('an unknown instance that leaves for a while', beat('c-$v', 'x', -2, { instanceId: 'i' }), all);
  heartbeat('an epoch to come', beat('c-$v', 'first', 99), all);
  heartbeat('the largest epoch', beat('c-$v', 'first', 0x7fffffff), all);
  heartbeat('a former epoch, without saying what it has', beat('c-$v', 'first', 1), all);

  heartbeat('a', join('c-one', 'a', { rackId: 'r1' }));
  heartbeat('a goes on', own('c-one', 'a', 2, 0, 1, 2, 3));
  heartbeat('a says everything again', (a) =>
    beat('c-one', 'a', 2, {
      rebalanceTimeoutMs: 60_000,
      subscribedTopicNames: [TOPIC],
      ...owned(a.topicId(TOPIC), 0, 1, 2, 3),
    }),
  );
  heartbeat('a has partitions that there are not', own('c-one', 'a', 2, 0, 1, 77));
  heartbeat('a has partitions of no topic', beat('c-one', 'a', 2, owned(UNKNOWN_UUID, 0)));
  heartbeat('a has nothing any more', own('c-one', 'a', 2));
  heartbeat('a joins again', join('c-one', 'a'));
  heartbeat('a has another rack', beat('c-one', 'a', 2, { rackId: 'r2' }));
  describe('a group of one', 'c-one');
  heartbeat('b', join('c-one', 'b'));
  heartbeat('a is to give up some', own('c-one', 'a', 2, 0, 1, 2, 3));
  heartbeat('b waits', beat('c-one', 'b', 3));
  call('ConsumerGroupDescribe', 'a group twice', { groupIds: ['c-one', 'c-one'] }, DESCRIBED_ONCE);
  describe('a group that reconciles', 'c-one');
  call('ListGroups', 'consumer groups', { typesFilter: ['consumer', 'CONSUMER'] }, { versions: [5, 5] });
  call(
    'ListGroups',
    'that reconcile',
    { statesFilter: ['reconciling', 'Reconciling'] },
    { versions: [4, 5] },
  );
  call('ListGroups', 'of no type', { typesFilter: [''] }, { versions: [5, 5] });
  call('ListGroups', 'of two types', { typesFilter: ['Consumer', 'share'] }, { versions: [5, 5] });
  heartbeat('a has not given them up', own('c-one', 'a', 2, 0, 1, 2));
  heartbeat('a has given them up', own('c-one', 'a', 2, 0, 1));
  heartbeat('a in its former epoch', own('c-one', 'a', 2, 0, 1));
  heartbeat('a in its former epoch, with what it must not have', own('c-one', 'a', 2, 0, 1, 2));
  heartbeat('b gets them', own('c-one', 'b', 3));
  heartbeat('b has them', own('c-one', 'b', 3, 2, 3));
  describe('a stable group', 'c-one');
  call('DescribeGroups', 'a consumer group', { groups: ['c-one'] });
  heartbeat('b wants another assignor', beat('c-one', 'b', 3, { serverAssignor: 'range' }));
  heartbeat('a wants no topics', beat('c-one', 'a', 3, { subscribedTopicNames: [] }));
  heartbeat('a wants nothing, and has nothing', own('c-one', 'a', 3));
  heartbeat('b gets all', own('c-one', 'b', 4, 2, 3));
  heartbeat('b gets all, again', own('c-one', 'b', 5, 2, 3));
  describe('a group in which one wants nothing', 'c-one');
  call('DeleteGroups', 'a consumer group with members', { groupsNames: ['c-one', 'c-one'] });

  const partitions =
    (groupId: string, memberId: string, epoch: number, ...wanted: [number, bigint][]) =>
    (a: Answers) => ({
      groupId,
      memberId,
      generationIdOrMemberEpoch: epoch,
      topics: [
        {
          name: TOPIC,
          topicId: a.topicId(TOPIC),
          partitions: wanted.map(([partition, committed]) => offset(partition, committed)),
        },
      ],
    });
  const commit = (name: string, request: (a: Answers) => Body) => call('OffsetCommit', name, request);
  heartbeat('for offsets', join('c-offsets', 'a'));
  for (const [name, memberId, epoch] of [
    ['a member', 'a', 2],
    ['a former epoch', 'a', 1],
    ['the first epoch', 'a', 0],
    ['an epoch to come', 'a', 3],
    ['a negative epoch', 'a', -1],
    ['an epoch that cannot be', 'a', -9],
    ['an unknown member', 'z', 2],
    ['nobody', '', -1],
    ['nobody, in an epoch', '', 2],
  ] as const)
    commit(`of a consumer group, ${name}`, partitions('c-offsets', memberId, epoch, [0, 5n]));
  commit(
    'of a consumer group, at bounds',
    partitions('c-offsets', 'a', 2, [0, 0n], [1, -1n], [2, -2n], [3, 9_223_372_036_854_775_807n]),
  );
  commit('of a consumer group, the same twice', partitions('c-offsets', 'a', 2, [0, 7n], [0, 8n]));
  commit('of a consumer group, of partitions that cannot be', partitions('c-offsets', 'a', 2, [-5, 7n]));
  for (const [name, memberId, memberEpoch] of [
    ['a member', 'a', 2],
    ['a former epoch', 'a', 1],
    ['an epoch to come', 'a', 7],
    ['a negative epoch', 'a', -1],
    ['an unknown member', 'z', 2],
    ['nobody', null, -1],
    ['an empty member', '', -1],
    ['an empty member, in an epoch', '', 2],
  ] as const)
    for (const [what, wanted] of [
      ['all', null],
      ['two partitions', [0, 1]],
    ] as const)
      call(
        'OffsetFetch',
        `of a consumer group, ${name}, ${what}`,
        (a) => ({
          groups: [
            {
              groupId: 'c-offsets',
              memberId,
              memberEpoch,
              topics: wanted && [{ name: TOPIC, topicId: a.topicId(TOPIC), partitionIndexes: [...wanted] }],
            },
          ],
        }),
        { versions: [9, 10] },
      );
  call(
    'OffsetFetch',
    'of a consumer group, nobody, in an epoch',
    { groups: [{ groupId: 'c-offsets', memberId: null, memberEpoch: 2, topics: null }] },
    { versions: [9, 10], differs: 'Kafka fails inside' },
  );
  call('OffsetDelete', 'of topics that a consumer group reads', {
    groupId: 'c-offsets',
    topics: [
      { name: TOPIC, partitions: [{ partitionIndex: 0 }] },
      { name: 'consumer-more', partitions: [{ partitionIndex: 0 }] },
    ],
  });

  const staticBeat = (memberId: string, epoch: number, instanceId = 'i') =>
    beat('c-static', memberId, epoch, { instanceId });
  heartbeat('a static member', join('c-static', 's1', { instanceId: 'i' }));
  heartbeat('a second of its name', join('c-static', 's2', { instanceId: 'i' }));
  heartbeat('a static member joins again', join('c-static', 's1', { instanceId: 'i' }));
  heartbeat('a static member, without its name', beat('c-static', 's1', 2));
  heartbeat('a second of its name goes on', staticBeat('s2', 2));
  heartbeat('a second of its name leaves', staticBeat('s2', -1));
  heartbeat('a second of its name leaves for a while', staticBeat('s2', -2));
  heartbeat('a static member leaves for a while', staticBeat('s1', -2));
  heartbeat('a static member that is away', staticBeat('s1', 2));
  describe('a static member that is away', 'c-static');
  heartbeat('a static member leaves for a while again', staticBeat('s1', -2));
  heartbeat('a static member comes back', join('c-static', 's2', { instanceId: 'i' }));
  heartbeat('the one before', staticBeat('s1', 2));
  heartbeat('the one before, without its name', beat('c-static', 's1', 2));
  heartbeat('a dynamic one of the same id', join('c-static', 's2'));
  heartbeat('another static one', join('c-static', 's3', { instanceId: 'j' }));
  heartbeat('one with the name of another', staticBeat('s3', 3, 'i'));
  describe('static members', 'c-static');
  call(
    'LeaveGroup',
    'a consumer group',
    {
      groupId: 'c-static',
      members: [
        { memberId: '', groupInstanceId: 'i', reason: null },
        { memberId: 'nobody', groupInstanceId: null, reason: null },
        { memberId: 's1', groupInstanceId: 'j', reason: null },
        { memberId: '', groupInstanceId: 'never', reason: null },
      ],
    },
    { versions: [3, 5] },
  );
  heartbeat('that was taken out', staticBeat('s2', 2));
  heartbeat('the last static one leaves', staticBeat('s3', -1, 'j'));
  describe('a group that is empty', 'c-static');
  heartbeat('in a group that is empty', beat('c-static', 's3', 4));

  heartbeat(
    'with names twice, and of no topics',
    join('c-names', 'a', { subscribedTopicNames: ['consumer-gone', 'consumer-gone', 'never', 'no/pe', ''] }),
  );
  describe('a group that wants what is not there', 'c-names');
  heartbeat(
    'other names',
    beat('c-names', 'a', 2, { subscribedTopicNames: ['consumer-more', 'consumer-gone'] }),
  );
  call(
    'DeleteTopics',
    'that is read',
    { topicNames: ['consumer-gone'], timeoutMs: 9_000 },
    { versions: [5, 5] },
  );
  heartbeat('once a topic is gone', beat('c-names', 'a', 3));
  heartbeat('that has given it up', (a) => beat('c-names', 'a', 3, owned(a.topicId('consumer-more'), 0, 1)));
  describe('a group whose topic is gone', 'c-names');
  call('CreateTopics', 'anew', create('consumer-gone', 2), { versions: [7, 7], except: CREATED });
  heartbeat('once a topic is there again', beat('c-names', 'a', 4));
  describe('a group whose topic is there again', 'c-names');

  heartbeat(
    'with an empty expression',
    join('c-regex', 'a', { subscribedTopicNames: null, subscribedTopicRegex: '' }),
  );
  heartbeat(
    'with names and an empty expression',
    beat('c-regex', 'a', 2, { subscribedTopicNames: [], subscribedTopicRegex: '' }),
  );
  describe('a group with an empty expression', 'c-regex');
  heartbeat('leaves', beat('c-regex', 'a', -1));
  heartbeat('leaves again', beat('c-regex', 'a', -1));
  call(
    'DeleteGroups',
    'an empty consumer group',
    { groupsNames: ['c-regex', 'c-none'] },
    { versions: [2, 2] },
  );
  describe('a group that was deleted', 'c-regex');
  call('ConsumerGroupDescribe', 'what may be done', {
    groupIds: ['c-one', 'c-none'],
    includeAuthorizedOperations: true,
  });
  call('ConsumerGroupDescribe', 'nothing', { groupIds: [] });

  const inTransaction = (memberId: string, generationId: number, groupInstanceId: string | null = null) => ({
    transactionalId: 'c-txn',
    groupId: 'c-offsets',
    producerId: 444_445n,
    producerEpoch: 0,
    generationId,
    memberId,
    groupInstanceId,
    topics: [{ name: TOPIC, partitions: [offset(1)] }],
  });
  for (const [name, memberId, epoch] of [
    ['a member', 'a', 2],
    ['a former epoch', 'a', 1],
    ['an epoch to come', 'a', 9],
    ['an unknown member', 'z', 2],
    ['nobody', '', -1],
  ] as const)
    call('TxnOffsetCommit', `of a consumer group, ${name}`, inTransaction(memberId, epoch), {
      versions: [3, 5],
    });
  call('OffsetFetch', 'of topics without an id', {
    groups: [
      {
        groupId: 'c-offsets',
        memberId: null,
        memberEpoch: -1,
        topics: [{ name: '', topicId: NO_UUID, partitionIndexes: [0] }],
      },
    ],
  });
});

import { type Answers, chapter } from '../case.ts';
import { CREATED, create, NO_UUID, topic, UNKNOWN_UUID } from './build.ts';

const NAME = 'twice';

/** Topics that are named twice, lists of nothing, and numbers that cannot be. */
export const twiceTopics = chapter('topics twice, none, and too many', (call) => {
  for (const [name, partitions] of [
    [NAME, 2],
    ['twice-b', 1],
    ['twice-old', 1],
    ['twice-new', 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });

  call('CreateTopics', 'the same thrice, and another', {
    topics: [topic('twice-c'), topic('twice-c', 2), topic('twice-c'), topic(NAME)],
    timeoutMs: 9_000,
  });
  call('CreateTopics', 'the same twice, of which one cannot be', {
    topics: [topic('twice-d'), topic('twice-d', 0)],
    timeoutMs: 9_000,
    validateOnly: true,
  });
  call(
    'CreateTopics',
    'two that collide',
    {
      topics: [topic('twice.e'), topic('twice_e')],
      timeoutMs: 9_000,
      validateOnly: true,
    },
    { except: CREATED, differs: 'Kafka compares with topics of before the request alone' },
  );
  call(
    'CreateTopics',
    'a configuration twice',
    {
      topics: [
        {
          ...topic('twice-f'),
          configs: [
            { name: 'retention.ms', value: '1000' },
            { name: 'retention.ms', value: '2000' },
          ],
        },
      ],
      timeoutMs: 9_000,
      validateOnly: true,
    },
    { except: CREATED },
  );
  call('CreateTopics', 'more than ten thousand partitions', {
    ...create('twice-g', 10_001),
    validateOnly: true,
  });
  call('CreateTopics', 'the largest number of replicas', {
    ...create('twice-g', 1, 32_767),
    validateOnly: true,
  });
  call('CreateTopics', 'the least number of replicas', {
    ...create('twice-g', 1, -32_768),
    validateOnly: true,
  });
  call('CreateTopics', 'an assignment to a negative broker', {
    ...create('twice-g', -1, -1, {}, [[0, [-1]]]),
    validateOnly: true,
  });
  call('CreateTopics', 'an assignment that does not begin at 0', {
    ...create('twice-g', -1, -1, {}, [[1, [1]]]),
    validateOnly: true,
  });
  call('CreateTopics', 'an assignment of a negative partition', {
    ...create('twice-g', -1, -1, {}, [[-1, [1]]]),
    validateOnly: true,
  });
  call('CreateTopics', 'an assignment to replicas of different numbers', {
    ...create('twice-g', -1, -1, {}, [
      [0, [1]],
      [1, [1, 2]],
    ]),
    validateOnly: true,
  });
  call(
    'CreateTopics',
    'an assignment and configurations, to be checked',
    {
      ...create('twice-g', -1, -1, { 'retention.ms': '77' }, [
        [1, [1]],
        [0, [1]],
      ]),
      validateOnly: true,
    },
    { except: CREATED },
  );
  for (const name of [
    '__consumer_offsets',
    '__transaction_state',
    '__share_group_state',
    ' ',
    'é',
    'a b',
    '__x',
  ])
    call('CreateTopics', `named '${name}'`, { ...create(name), validateOnly: true }, { except: CREATED });

  call('CreatePartitions', 'of what there is beside what there is not', {
    topics: [
      { name: NAME, count: 5, assignments: null },
      { name: 'twice-never', count: 5, assignments: null },
      { name: 'twice-b', count: 1, assignments: null },
    ],
    timeoutMs: 9_000,
    validateOnly: true,
  });
  const growths: readonly (readonly [name: string, count: number, assignments: number[][] | null])[] = [
    ['the least number', -2_147_483_648, null],
    ['too many assignments', 3, [[1], [1]]],
    ['no assignments', 3, []],
    ['an assignment of no replicas', 3, [[]]],
    ['a negative broker', 3, [[-1]]],
    ['two replicas', 3, [[1, 2]]],
    ['fewer, with assignments', 1, [[1]]],
  ];
  for (const [name, count, assignments] of growths)
    call('CreatePartitions', name, {
      topics: [{ name: NAME, count, assignments: assignments?.map((brokerIds) => ({ brokerIds })) ?? null }],
      timeoutMs: 9_000,
      validateOnly: true,
    });
  call(
    'CreatePartitions',
    'more than ten thousand',
    {
      topics: [{ name: NAME, count: 10_003, assignments: null }],
      timeoutMs: 9_000,
      validateOnly: true,
    },
    { differs: 'Kafka fails inside' },
  );
  for (const name of ['', '__consumer_offsets', 'no/pe'])
    call('CreatePartitions', `of '${name}'`, {
      topics: [{ name, count: 90, assignments: null }],
      timeoutMs: 9_000,
      validateOnly: true,
    });

  const named = (...topics: [name: string | null, topicId?: string][]) => ({
    topics: topics.map(([name, topicId = NO_UUID]) => ({ name, topicId })),
    allowAutoTopicCreation: false,
  });
  call(
    'Metadata',
    'several, of which some twice',
    named([NAME], ['twice-never'], [NAME], ['twice-never'], ['']),
    {
      versions: [4, 13],
    },
  );
  call('Metadata', 'an id twice', (a) => named([null, a.topicId(NAME)], [null, a.topicId(NAME)]), {
    versions: [12, 13],
  });
  call('Metadata', 'ids and names', (a) => named([null, a.topicId(NAME)], ['twice-b']), {
    versions: [12, 13],
  });
  call(
    'Metadata',
    'ids of which one does not exist',
    (a) => named([null, UNKNOWN_UUID], [null, a.topicId(NAME)]),
    {
      versions: [12, 13],
    },
  );
  call(
    'Metadata',
    'what cannot be created',
    { topics: [{ name: 'no/pe', topicId: NO_UUID }], allowAutoTopicCreation: true },
    {
      versions: [4, 13],
    },
  );
  call('Metadata', 'internal topics', named(['__transaction_state'], ['__share_group_state']), {
    versions: [4, 13],
  });
  const page = (names: string[], limit: number, cursor: object | null = null) => ({
    topics: names.map((name) => ({ name })),
    responsePartitionLimit: limit,
    cursor,
  });
  call('DescribeTopicPartitions', 'of a negative limit', page([NAME], -5));
  call('DescribeTopicPartitions', 'of the largest limit', page([NAME, 'twice-b'], 0x7fffffff));
  call(
    'DescribeTopicPartitions',
    'a cursor without a name',
    page([NAME], 9, { topicName: '', partitionIndex: 0 }),
  );
  call(
    'DescribeTopicPartitions',
    'a cursor at the largest partition',
    page([NAME], 9, { topicName: NAME, partitionIndex: 0x7fffffff }),
    { differs: 'Kafka begins again from a number below zero' },
  );
  call(
    'DescribeTopicPartitions',
    'a cursor at a topic that is not asked for',
    page(['twice-old'], 9, { topicName: NAME, partitionIndex: 1 }),
  );
  call('DescribeTopicPartitions', 'no name', page(['', NAME], 9), { differs: 'Kafka fails inside' });
  call('DescribeTopicPartitions', 'an internal topic', page(['__transaction_state'], 2));

  const deleted = (topics: (a: Answers) => [name: string | null, topicId?: string][]) => (a: Answers) => ({
    topics: topics(a).map(([name, topicId = NO_UUID]) => ({ name, topicId })),
    timeoutMs: 9_000,
  });
  call(
    'DeleteTopics',
    'an id twice',
    deleted((a) => [
      [null, a.topicId('twice-old')],
      [null, a.topicId('twice-old')],
    ]),
    { versions: [6, 6] },
  );
  call(
    'DeleteTopics',
    'ids that do not exist, twice',
    deleted(() => [
      [null, UNKNOWN_UUID],
      [null, UNKNOWN_UUID],
    ]),
    { versions: [6, 6] },
  );
  call(
    'DeleteTopics',
    'names that do not exist, twice',
    deleted(() => [['twice-never'], ['twice-never'], ['']]),
    { versions: [6, 6] },
  );
  call(
    'DeleteTopics',
    'by neither, twice',
    deleted(() => [[null], [null]]),
    { versions: [6, 6] },
  );
  call(
    'DeleteTopics',
    'good and bad',
    deleted((a) => [['twice-new'], ['twice-never'], [null, UNKNOWN_UUID], [null, a.topicId('twice-old')]]),
    { versions: [6, 6] },
  );
  call(
    'DeleteTopics',
    'the metadata',
    deleted(() => [['__cluster_metadata']]),
    { versions: [6, 6] },
  );
});

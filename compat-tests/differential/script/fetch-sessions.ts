import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import { batch, CREATED, create, NO_UUID, produce, UNKNOWN_UUID } from './build.ts';

const A = 'fetched-a';
const B = 'fetched-b';
const FAILS: CaseOptions = { differs: 'Kafka fails inside' };
const RECORDS = {
  fields: ['records'],
  because: 'how many batches are read at once is up to the broker',
} as const;

type Wish = readonly [topic: string, partition: number, more?: object];

const idOf = (a: Answers, topic: string) =>
  topic === 'never' ? UNKNOWN_UUID : topic === '' ? NO_UUID : a.topicId(topic);
const forgotten = (a: Answers, wishes: readonly Wish[]) =>
  wishes.map(([topic, partition]) => ({ topic, topicId: idOf(a, topic), partitions: [partition] }));
const ask =
  (wishes: readonly Wish[], more: object = {}, forget: readonly Wish[] = []) =>
  (a: Answers): Body => ({
    replicaId: -1,
    maxWaitMs: 50,
    minBytes: 1,
    maxBytes: 50_000_000,
    sessionEpoch: -1,
    topics: wishes.map(([topic, partition, wish]) => ({
      topic,
      topicId: idOf(a, topic),
      partitions: [
        {
          partition,
          currentLeaderEpoch: -1,
          fetchOffset: 0n,
          lastFetchedEpoch: -1,
          logStartOffset: -1n,
          partitionMaxBytes: 1_000_000,
          replicaDirectoryId: NO_UUID,
          highWatermark: 9_223_372_036_854_775_807n,
          ...wish,
        },
      ],
    })),
    forgottenTopicsData: forgotten(a, forget),
    ...more,
  });

/** What consumers fetch in sessions (KIP-227), request by request, and outside of them. */
export const fetchSessions = chapter('fetch sessions', (call) => {
  const all = { versions: [7, 18] } as const;
  const fetch = (name: string, request: (a: Answers) => Body, options: CaseOptions = {}) =>
    call('Fetch', name, request, options);
  /** In the session of each version. */
  const goOn = (
    name: string,
    sessionEpoch: number,
    wishes: readonly Wish[],
    forget: readonly Wish[] = [],
    more: object = {},
  ) =>
    fetch(
      `in a session, ${name}`,
      (a) => ask(wishes, { sessionId: a.saved('fetched-$v'), sessionEpoch, ...more }, forget)(a),
      all,
    );

  for (const [name, partitions] of [
    [A, 3],
    [B, 2],
    ['fetched-gone-$v', 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), {
      versions: name.includes('$') ? [2, 7] : [7, 7],
      except: CREATED,
    });
  for (const [name, index] of [
    [A, 0],
    [A, 1],
    [B, 0],
  ] as const)
    call(
      'Produce',
      `records to ${name}-${index}`,
      (a) => produce(name, a.topicId(name), batch(['a', 'b', 'c']), { index }),
      { versions: [13, 13] },
    );

  fetch(
    'several topics',
    ask([
      [A, 0],
      [B, 0],
      [A, 1],
      [B, 1],
    ]),
  );
  fetch(
    'a partition twice',
    ask([
      [A, 0],
      [A, 0, { fetchOffset: 1n }],
    ]),
  );
  fetch(
    'a partition twice, and another between',
    ask([
      [A, 0],
      [B, 0],
      [A, 0, { fetchOffset: 77n }],
    ]),
  );
  fetch(
    'what there is beside what there is not',
    ask([
      [A, 0],
      ['never', 0],
      [A, 9],
      [B, 0],
    ]),
  );
  fetch(
    'a topic without a name',
    ask([
      ['', 0],
      [A, 0],
    ]),
  );
  for (const [name, wish] of [
    ['the largest offset', { fetchOffset: 9_223_372_036_854_775_807n }],
    ['the least offset', { fetchOffset: -9_223_372_036_854_775_808n }],
    ['offset -1', { fetchOffset: -1n }],
    ['no bytes of the partition', { partitionMaxBytes: 0 }],
    ['the end', { fetchOffset: 3n }],
    ['one after the end', { fetchOffset: 4n }],
  ] as const)
    fetch(name, ask([[A, 0, wish]]));
  for (const [name, wish] of [
    ['a negative leader epoch', { currentLeaderEpoch: -2 }],
    ['the largest leader epoch', { currentLeaderEpoch: 0x7fffffff }],
  ] as const)
    fetch(name, ask([[A, 0, wish]]), { versions: [9, 18] });
  for (const [name, wish] of [
    ['a last epoch to come', { fetchOffset: 1n, lastFetchedEpoch: 5 }],
    ['a negative last epoch', { fetchOffset: 1n, lastFetchedEpoch: -5 }],
    ['the last epoch at the end', { fetchOffset: 3n, lastFetchedEpoch: 0 }],
    ['the last epoch beyond the end', { fetchOffset: 9n, lastFetchedEpoch: 0 }],
  ] as const)
    fetch(name, ask([[A, 0, wish]]), { versions: [12, 18] });
  for (const [name, more] of [
    ['no time', { maxWaitMs: 0 }],
    ['negative time', { maxWaitMs: -1 }],
    ['no bytes to wait for', { minBytes: 0 }],
    ['negative bytes to wait for', { minBytes: -1 }],
    ['negative bytes in all', { maxBytes: -1 }],
  ] as const) {
    fetch(`${name}, at the end`, ask([[A, 2]], more));
    fetch(`${name}, of records`, ask([[A, 0]], more), name === 'negative bytes in all' ? FAILS : {});
  }

  fetch('negative bytes of the partition', ask([[A, 0, { partitionMaxBytes: -1 }]]), FAILS);
  fetch('an isolation that does not exist', ask([[A, 0]], { isolationLevel: 7 }), FAILS);

  for (const sessionEpoch of [1, -2, 0x7fffffff, -2_147_483_648])
    for (const sessionId of [0, -1, 77])
      fetch(`epoch ${sessionEpoch} of session ${sessionId}`, ask([[A, 0]], { sessionId, sessionEpoch }), all);
  fetch('that ends a session that is not there', ask([[A, 0]], { sessionId: 77, sessionEpoch: -1 }), all);
  fetch('in place of a session that is not there', ask([[A, 0]], { sessionId: 77, sessionEpoch: 0 }), all);
  fetch('without a session that is new', ask([], { sessionId: 0, sessionEpoch: 0 }), all);
  fetch(
    'a new session',
    ask(
      [
        [A, 0],
        [A, 2],
        [B, 0],
      ],
      { sessionEpoch: 0 },
    ),
    {
      ...all,
      save: { sessionId: 'fetched-$v' },
    },
  );
  goOn('nothing changed', 1, []);
  goOn('further in one partition', 2, [[A, 0, { fetchOffset: 3n }]]);
  goOn('one is forgotten', 3, [], [[B, 0]]);
  goOn('it is added again', 4, [[B, 0]]);
  goOn('one added that does not exist', 5, [[B, 9]]);
  goOn('it still does not exist', 6, []);
  goOn('it is forgotten', 7, [], [[B, 9]]);
  goOn('one added of a topic that does not exist', 8, [['never', 0]]);
  goOn('the topic still does not exist', 9, [['never', 0]], [[A, 0]]);
  goOn('the topic is forgotten', 10, [], [['never', 0]]);
  goOn('beyond the end', 11, [[A, 1, { fetchOffset: 50n }]]);
  goOn('still beyond the end', 12, []);
  goOn('back from there', 13, [[A, 1, { fetchOffset: 1n }]]);
  goOn('one added and forgotten', 14, [[B, 1]], [[B, 1]]);
  goOn(
    'one forgotten that was never there',
    15,
    [],
    [
      [B, 1],
      ['never', 3],
      [A, -1],
    ],
  );
  goOn('one twice', 16, [
    [A, 2, { fetchOffset: 9n }],
    [A, 2],
  ]);
  goOn('a former epoch', 16, []);
  goOn('an epoch to come', 19, []);
  goOn('the first epoch, once more', 0, [[A, 0]]);
  goOn('which has ended it', 17, []);

  fetch(
    'a session of names',
    ask(
      [
        [A, 0],
        ['never', 0],
      ],
      { sessionEpoch: 0 },
    ),
    {
      versions: [12, 12],
      save: { sessionId: 'fetched-names' },
    },
  );
  fetch(
    'a session of names, with ids',
    (a) => ask([], { sessionId: a.saved('fetched-names'), sessionEpoch: 1 })(a),
    { versions: [13, 13] },
  );
  fetch(
    'a session of ids',
    ask(
      [
        [A, 0],
        ['never', 0],
      ],
      { sessionEpoch: 0 },
    ),
    {
      versions: [13, 13],
      save: { sessionId: 'fetched-ids' },
    },
  );
  fetch(
    'a session of ids, with names',
    (a) => ask([], { sessionId: a.saved('fetched-ids'), sessionEpoch: 1 })(a),
    { versions: [12, 12] },
  );
  fetch(
    'a session of ids goes on',
    (a) => ask([], { sessionId: a.saved('fetched-ids'), sessionEpoch: 1 })(a),
    {
      versions: [17, 17],
    },
  );

  const gone = { versions: [7, 7] } as const;
  fetch(
    'a session of a topic that goes',
    ask(
      [
        ['fetched-gone-7', 0],
        [A, 0],
      ],
      { sessionEpoch: 0 },
    ),
    {
      versions: [13, 13],
      save: { sessionId: 'fetched-gone' },
    },
  );
  call(
    'Metadata',
    'of one that goes',
    { topics: [{ name: 'fetched-gone-7', topicId: NO_UUID }], allowAutoTopicCreation: false },
    { versions: [12, 12], save: { topicId: 'fetched-gone-id' } },
  );
  fetch(
    'a session of a topic that goes, by name',
    ask(
      [
        ['fetched-gone-6', 0],
        [A, 0],
      ],
      { sessionEpoch: 0 },
    ),
    {
      versions: [12, 12],
      save: { sessionId: 'fetched-gone-name' },
    },
  );
  call(
    'DeleteTopics',
    'that are fetched',
    { topicNames: ['fetched-gone-7', 'fetched-gone-6'], timeoutMs: 9_000 },
    { versions: [5, 5] },
  );
  fetch('once it is gone', (a) => ask([], { sessionId: a.saved('fetched-gone'), sessionEpoch: 1 })(a), {
    versions: [13, 13],
  });
  fetch(
    'once it is gone, by name',
    (a) => ask([], { sessionId: a.saved('fetched-gone-name'), sessionEpoch: 1 })(a),
    {
      versions: [12, 12],
    },
  );
  call('CreateTopics', 'anew', create('fetched-gone-7'), { ...gone, except: CREATED });
  call('CreateTopics', 'anew, by name', create('fetched-gone-6'), { ...gone, except: CREATED });
  fetch('once there is another', (a) => ask([], { sessionId: a.saved('fetched-gone'), sessionEpoch: 2 })(a), {
    versions: [13, 13],
  });
  fetch(
    'once there is another, by name',
    (a) => ask([], { sessionId: a.saved('fetched-gone-name'), sessionEpoch: 2 })(a),
    { versions: [12, 12] },
  );
  const before = (a: Answers) => a.saved<string>('fetched-gone-id');
  call('Produce', 'to the one that is gone', (a) => produce('fetched-gone-7', before(a), batch(['late'])), {
    versions: [13, 13],
  });
  call(
    'Metadata',
    'of the one that is gone',
    (a) => ({
      topics: [{ topicId: before(a), name: null }],
      allowAutoTopicCreation: false,
    }),
    { versions: [12, 13] },
  );
  call(
    'DeleteTopics',
    'the one that is gone',
    (a) => ({ topics: [{ name: null, topicId: before(a) }], timeoutMs: 9_000 }),
    {
      versions: [6, 6],
    },
  );
  call(
    'OffsetCommit',
    'of the one that is gone',
    (a) => ({
      groupId: 'fetched-group',
      memberId: '',
      generationIdOrMemberEpoch: -1,
      topics: [A, 'fetched-gone-7'].map((name) => ({
        name,
        topicId: name === A ? a.topicId(A) : before(a),
        partitions: [
          { partitionIndex: 0, committedOffset: 1n, committedLeaderEpoch: -1, committedMetadata: '' },
        ],
      })),
    }),
    { versions: [10, 10] },
  );
  call(
    'OffsetFetch',
    'of the one that is gone',
    (a) => ({
      groups: [
        {
          groupId: 'fetched-group',
          memberId: null,
          memberEpoch: -1,
          topics: [
            { name: '', topicId: before(a), partitionIndexes: [0] },
            { name: '', topicId: a.topicId('fetched-gone-7'), partitionIndexes: [0] },
          ],
        },
      ],
    }),
    { versions: [10, 10] },
  );
  call(
    'ShareFetch',
    'of the one that is gone',
    (a) => ({
      groupId: 'fetched-group-shared',
      memberId: 'm',
      shareSessionEpoch: 0,
      maxWaitMs: 10,
      minBytes: 1,
      maxBytes: 1_000,
      maxRecords: 1,
      batchSize: 1,
      topics: [
        {
          topicId: before(a),
          partitions: [{ partitionIndex: 0, partitionMaxBytes: 0, acknowledgementBatches: [] }],
        },
      ],
      forgottenTopicsData: [],
    }),
    { versions: [1, 1], except: RECORDS, ...FAILS },
  );
});

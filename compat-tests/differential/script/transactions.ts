import { ErrorCode } from '../../../src/protocol/errors.ts';
import type { Answers } from '../case.ts';
import { chapter } from '../case.ts';
import { batch, CREATED, create, fetchOf, listOffsets, produce } from './build.ts';

const TRANSACTIONAL = 0x10;
const init = (transactionalId: string | null, more: object = {}) => ({
  transactionalId,
  transactionTimeoutMs: 60_000,
  producerId: -1n,
  producerEpoch: -1,
  ...more,
});
const id = (a: Answers, name: string) => ({ producerId: a.saved<bigint>(name), producerEpoch: 0 });
const add = (
  transactionalId: string,
  producerId: bigint,
  producerEpoch: number,
  topic = 'txn-topic',
  partitions = [0],
) => ({
  v3AndBelowTransactionalId: transactionalId,
  v3AndBelowProducerId: producerId,
  v3AndBelowProducerEpoch: producerEpoch,
  v3AndBelowTopics: [{ name: topic, partitions }],
});
const addMany = (
  transactionalId: string,
  producerId: bigint,
  producerEpoch: number,
  verifyOnly: boolean,
) => ({
  transactions: [
    {
      transactionalId,
      producerId,
      producerEpoch,
      verifyOnly,
      topics: [{ name: 'txn-topic', partitions: [0, 1] }],
    },
  ],
});
const offsets = (
  transactionalId: string,
  producer: { producerId: bigint; producerEpoch: number },
  more: object = {},
) => ({
  transactionalId,
  groupId: 'txn-group',
  ...producer,
  generationId: -1,
  memberId: '',
  topics: [
    {
      name: 'txn-topic',
      partitions: [
        { partitionIndex: 0, committedOffset: 3n, committedLeaderEpoch: -1, committedMetadata: '' },
      ],
    },
  ],
  ...more,
});

export const transactions = chapter('transactions', (call) => {
  call('CreateTopics', 'a topic for transactions', create('txn-topic', 2), {
    versions: [7, 7],
    except: CREATED,
  });
  call('InitProducerId', 'an idempotent producer', init(null));
  call(
    'InitProducerId',
    'an idempotent producer with an id',
    init(null, { producerId: 77n, producerEpoch: 3 }),
    { versions: [3, 5] },
  );
  call('InitProducerId', 'an empty transactional id', init(''));
  call('InitProducerId', 'no time', init('t-none', { transactionTimeoutMs: 0 }));
  call('InitProducerId', 'negative time', init('t-none', { transactionTimeoutMs: -1 }));
  call('InitProducerId', 'too much time', init('t-none', { transactionTimeoutMs: 2_000_000_000 }));
  for (const [name, more] of [
    ['two phases', { enable2Pc: true }],
    ['what was prepared', { keepPreparedTxn: true }],
  ] as const)
    call('InitProducerId', `${name}, in a version that is not stable`, init('t-none', more), {
      versions: [6, 6],
    });
  call('InitProducerId', 'an id without an epoch', init('t-none', { producerId: 5n }), { versions: [3, 5] });
  call('InitProducerId', 'an epoch without an id', init('t-none', { producerEpoch: 5 }), {
    versions: [3, 5],
  });
  call(
    'InitProducerId',
    'an id that nobody has',
    init('t-none-$v', { producerId: 12345678n, producerEpoch: 5 }),
    { versions: [3, 5] },
  );
  call('InitProducerId', 'a transactional producer', init('t-$v'), { save: { producerId: 'pid-$v' } });
  call('InitProducerId', 'once more', init('t-again-$v'), { save: { producerId: 'again-$v' } });
  call('InitProducerId', 'once more, which fences', init('t-again-$v'));
  call(
    'InitProducerId',
    'with its id and epoch',
    (a) => init('t-again-$v', { producerId: a.saved('again-$v'), producerEpoch: 1 }),
    { versions: [3, 5] },
  );
  call(
    'InitProducerId',
    'with an epoch that is over',
    (a) => init('t-again-$v', { producerId: a.saved('again-$v'), producerEpoch: 0 }),
    { versions: [3, 5] },
  );
  call(
    'InitProducerId',
    'with the id of another',
    (a) => init('t-again-$v', { producerId: a.saved('pid-$v'), producerEpoch: 0 }),
    { versions: [3, 5] },
  );

  call('AddPartitionsToTxn', 'a partition', (a) => add('t-$v', a.saved('pid-$v'), 0), { versions: [0, 3] });
  call('AddPartitionsToTxn', 'a partition again', (a) => add('t-$v', a.saved('pid-$v'), 0), {
    versions: [0, 3],
  });
  call(
    'AddPartitionsToTxn',
    'a partition that does not exist',
    (a) => add('t-$v', a.saved('pid-$v'), 0, 'txn-topic', [0, 7]),
    { versions: [0, 3] },
  );
  call(
    'AddPartitionsToTxn',
    'a topic that does not exist',
    (a) => add('t-$v', a.saved('pid-$v'), 0, 'never'),
    { versions: [0, 3] },
  );
  call('AddPartitionsToTxn', 'an older epoch', (a) => add('t-$v', a.saved('pid-$v'), -1), {
    versions: [0, 3],
  });
  call('AddPartitionsToTxn', 'a newer epoch', (a) => add('t-$v', a.saved('pid-$v'), 4), { versions: [0, 3] });
  call('AddPartitionsToTxn', 'another producer', (a) => add('t-$v', a.saved('again-$v'), 0), {
    versions: [0, 3],
  });
  call('AddPartitionsToTxn', 'an unknown transactional id', add('t-never', 5n, 0), { versions: [0, 3] });
  call('AddPartitionsToTxn', 'an empty transactional id', add('', 5n, 0), { versions: [0, 3] });
  call(
    'AddPartitionsToTxn',
    'several transactions, to verify',
    (a) => addMany('t-3', a.saved('pid-3'), 0, true),
    { versions: [4, 5] },
  );
  call('AddPartitionsToTxn', 'several transactions', (a) => addMany('t-$v', a.saved('pid-$v'), 0, false), {
    versions: [4, 5],
  });

  call('DescribeTransactions', 'an open one', { transactionalIds: ['t-3'] });
  call('DescribeTransactions', 'one that is empty', { transactionalIds: ['t-again-3'] });
  call('DescribeTransactions', 'one that does not exist', { transactionalIds: ['t-never', ''] });
  call('DescribeTransactions', 'none', { transactionalIds: [] });
  call('ListTransactions', 'all', {});
  call('ListTransactions', 'open ones', { stateFilters: ['Ongoing'] });
  call('ListTransactions', 'a state that does not exist', { stateFilters: ['Asleep', 'Empty'] });
  call('ListTransactions', 'of a producer', (a) => ({ producerIdFilters: [a.saved('pid-3')] }));
  call('ListTransactions', 'of a producer that does not exist', { producerIdFilters: [123456789n] });
  call('ListTransactions', 'long ones', { durationFilter: 3_600_000n }, { versions: [1, 2] });
  call('ListTransactions', 'by a pattern', { transactionalIdPattern: 't-again-[12]' }, { versions: [2, 2] });
  call(
    'ListTransactions',
    'by a pattern that is none',
    { transactionalIdPattern: '(' },
    { versions: [2, 2] },
  );
  call(
    'ListTransactions',
    'by a pattern of RE2',
    { transactionalIdPattern: '(?i)T-AGAIN\\Q-1\\E' },
    { versions: [2, 2] },
  );
  call('ListTransactions', 'by an empty pattern', { transactionalIdPattern: '' }, { versions: [2, 2] });

  call(
    'AddOffsetsToTxn',
    'a group',
    (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), groupId: 'txn-group' }),
    { versions: [0, 4] },
  );
  call(
    'AddOffsetsToTxn',
    'an older epoch',
    (a) => ({
      transactionalId: 't-$v',
      producerId: a.saved('pid-$v'),
      producerEpoch: -1,
      groupId: 'txn-group',
    }),
    { versions: [0, 4] },
  );
  call(
    'AddOffsetsToTxn',
    'an unknown transactional id',
    { transactionalId: 't-never', producerId: 5n, producerEpoch: 0, groupId: 'txn-group' },
    { versions: [0, 4] },
  );
  call(
    'AddOffsetsToTxn',
    'an empty group',
    (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), groupId: '' }),
    { versions: [0, 4] },
  );

  call(
    'Produce',
    'in a transaction',
    (a) =>
      produce(
        'txn-topic',
        a.topicId('txn-topic'),
        batch(['t'], { attributes: TRANSACTIONAL, baseSequence: 0, ...id(a, 'pid-3') }),
        { transactionalId: 't-3' },
      ),
    { versions: [10, 10] },
  );
  call(
    'Produce',
    'in a transaction, the newer way',
    (a) =>
      produce(
        'txn-topic',
        a.topicId('txn-topic'),
        batch(['t'], { attributes: TRANSACTIONAL, baseSequence: 0, ...id(a, 'pid-2') }),
        { transactionalId: 't-2', index: 1 },
      ),
    { versions: [13, 13] },
  );
  call(
    'Produce',
    'in a transaction of a partition that was not added',
    (a) =>
      produce(
        'txn-topic',
        a.topicId('txn-topic'),
        batch(['t'], { attributes: TRANSACTIONAL, baseSequence: 0, ...id(a, 'pid-1') }),
        { transactionalId: 't-1', index: 1 },
      ),
    { versions: [3, 11] },
  );
  call('Produce', 'in a transaction with an older epoch', (a) =>
    produce(
      'txn-topic',
      a.topicId('txn-topic'),
      batch(['t'], {
        attributes: TRANSACTIONAL,
        baseSequence: 1,
        producerId: a.saved('again-3'),
        producerEpoch: 0,
      }),
      { transactionalId: 't-again-3' },
    ),
  );
  call('Produce', 'in a transaction that nobody has', (a) =>
    produce(
      'txn-topic',
      a.topicId('txn-topic'),
      batch(['t'], { attributes: TRANSACTIONAL, baseSequence: 0, producerId: 444_444n, producerEpoch: 0 }),
      { transactionalId: 't-never' },
    ),
  );
  call('Fetch', 'uncommitted', (a) => fetchOf('txn-topic', a.topicId('txn-topic')), {
    except: { fields: ['records'], because: 'holds producer ids' },
  });
  call('Fetch', 'committed, while a transaction is open', (a) =>
    fetchOf('txn-topic', a.topicId('txn-topic'), {}, { isolationLevel: 1 }),
  );
  call(
    'ListOffsets',
    'committed, while a transaction is open',
    listOffsets('txn-topic', [[0, -1n]], { isolationLevel: 1 }),
    { versions: [2, 11] },
  );
  call('DescribeProducers', 'with an open transaction', {
    topics: [{ name: 'txn-topic', partitionIndexes: [0, 1] }],
  });

  call('TxnOffsetCommit', 'offsets', (a) => offsets('t-$v', id(a, 'pid-$v')), { versions: [0, 5] });
  call(
    'TxnOffsetCommit',
    'an older epoch',
    (a) => offsets('t-$v', { producerId: a.saved('pid-$v'), producerEpoch: -1 }),
    { versions: [0, 5] },
  );
  call(
    'TxnOffsetCommit',
    'a generation',
    (a) => offsets('t-$v', id(a, 'pid-$v'), { generationId: 4, memberId: 'who' }),
    { versions: [3, 5] },
  );
  call('TxnOffsetCommit', 'without a group', (a) => offsets('t-$v', id(a, 'pid-$v'), { groupId: '' }), {
    versions: [0, 5],
  });
  call(
    'TxnOffsetCommit',
    'a topic that does not exist',
    (a) =>
      offsets('t-$v', id(a, 'pid-$v'), {
        topics: [
          {
            name: 'never',
            partitions: [
              { partitionIndex: 0, committedOffset: 3n, committedLeaderEpoch: -1, committedMetadata: '' },
            ],
          },
        ],
      }),
    { versions: [0, 5] },
  );
  call(
    'TxnOffsetCommit',
    'topics and partitions of which some do not exist',
    (a) => {
      const committed = (partitionIndex: number) => ({
        ...{ partitionIndex, committedOffset: 3n, committedLeaderEpoch: -1, committedMetadata: '' },
      });
      return offsets('t-$v', id(a, 'pid-$v'), {
        topics: [
          { name: 'txn-topic', partitions: [0, 9, 1].map(committed) },
          { name: 'never', partitions: [0].map(committed) },
          { name: 'txn-topic', partitions: [1, 8].map(committed) },
        ],
      });
    },
    { versions: [0, 5] },
  );
  call(
    'TxnOffsetCommit',
    'a transaction that nobody has',
    offsets('t-never', { producerId: 444_444n, producerEpoch: 0 }),
    { versions: [0, 5] },
  );
  call(
    'OffsetFetch',
    'before the commit',
    { groupId: 'txn-group', topics: [{ name: 'txn-topic', partitionIndexes: [0] }] },
    { versions: [1, 7] },
  );
  call(
    'OffsetFetch',
    'stable, before the commit',
    { groupId: 'txn-group', topics: [{ name: 'txn-topic', partitionIndexes: [0] }], requireStable: true },
    { versions: [7, 7] },
  );

  call('EndTxn', 'an older epoch', (a) => ({
    transactionalId: 't-$v',
    producerId: a.saved('pid-$v'),
    producerEpoch: -1,
    committed: true,
  }));
  call('EndTxn', 'another producer', (a) => ({
    transactionalId: 't-$v',
    producerId: a.saved('again-$v'),
    producerEpoch: 0,
    committed: true,
  }));
  call('EndTxn', 'an unknown transactional id', {
    transactionalId: 't-never',
    producerId: 5n,
    producerEpoch: 0,
    committed: true,
  });
  call('EndTxn', 'an empty transactional id', {
    transactionalId: '',
    producerId: 5n,
    producerEpoch: 0,
    committed: true,
  });
  call(
    'EndTxn',
    'one that is empty',
    (a) => ({
      transactionalId: 't-again-$v',
      producerId: a.saved('again-$v'),
      producerEpoch: 1,
      committed: true,
    }),
    { versions: [0, 2] },
  );
  call('EndTxn', 'commit', (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), committed: true }), {
    versions: [2, 4],
  });
  call('EndTxn', 'abort', (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), committed: false }), {
    versions: [0, 1],
  });
  call('EndTxn', 'commit again', (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), committed: true }), {
    versions: [2, 4],
  });
  call(
    'EndTxn',
    'abort after a commit',
    (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), committed: false }),
    { versions: [2, 4] },
  );
  call('EndTxn', 'the newer way', (a) => ({ transactionalId: 't-$v', ...id(a, 'pid-$v'), committed: true }), {
    versions: [5, 5],
  });
  call(
    'Fetch',
    'committed, after the end',
    (a) => fetchOf('txn-topic', a.topicId('txn-topic'), {}, { isolationLevel: 1 }),
    { except: { fields: ['records'], because: 'holds producer ids and the time of markers' } },
  );
  call(
    'OffsetFetch',
    'after the commit',
    { groupId: 'txn-group', topics: [{ name: 'txn-topic', partitionIndexes: [0] }] },
    { versions: [1, 7] },
  );
  call('DescribeTransactions', 'after the end', {
    transactionalIds: ['t-0', 't-1', 't-2', 't-3', 't-4', 't-5'],
  });
  call('WriteTxnMarkers', 'of a partition that does not exist', {
    markers: [
      {
        producerId: 900n,
        producerEpoch: 0,
        transactionResult: true,
        coordinatorEpoch: 0,
        transactionVersion: 0,
        topics: [{ name: 'txn-topic', partitionIndexes: [7] }],
      },
    ],
  });
  call('WriteTxnMarkers', 'nothing', { markers: [] });

  call('InitProducerId', 'one that is to be fenced', init('t-fenced'), {
    versions: [5, 5],
    save: { producerId: 'fenced' },
  });
  call('AddPartitionsToTxn', 'of that', (a) => add('t-fenced', a.saved('fenced'), 0), { versions: [3, 3] });
  call('InitProducerId', 'another instance of that, which aborts its transaction', init('t-fenced'), {
    versions: [5, 5],
  });
  call(
    'EndTxn',
    'abort what was aborted so',
    (a) => ({ transactionalId: 't-fenced', ...id(a, 'fenced'), committed: false }),
    { versions: [5, 5], until: ({ errorCode }) => errorCode !== ErrorCode.CONCURRENT_TRANSACTIONS },
  );
  call('InitProducerId', 'with the epoch that was fenced', (a) => init('t-fenced', id(a, 'fenced')), {
    versions: [5, 5],
  });
  call('InitProducerId', 'another instance again', init('t-fenced'), { versions: [5, 5] });
});

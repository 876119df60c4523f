import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import {
  areFound,
  batch,
  CREATED,
  create,
  fetchOf,
  initProducer as init,
  isThrough,
  listOffsets,
  produce,
} from './build.ts';

const TOPIC = 'states-topic';
const TRANSACTIONAL = 0x10;
/** Records have an older time than markers, and fetches of Kafka end with a segment. */
const SEGMENTS = {
  fields: ['records', 'abortedTransactions'],
  because: 'Kafka has begun another segment where times are far apart',
} as const;
const MARKERS = { fields: ['records'], because: 'holds producer ids and the time of markers' } as const;
const FIRST: CaseOptions = {
  versions: [10, 10],
  differs: 'the transaction is looked at before the sequence, in Kafka the sequence before the transaction',
};
const newest = { versions: [5, 5] } as const;

const end =
  (transactionalId: string, name: string, producerEpoch: number, committed: boolean) =>
  (a: Answers): Body => ({ transactionalId, producerId: a.saved<bigint>(name), producerEpoch, committed });
const add =
  (
    transactionalId: string,
    name: string,
    producerEpoch: number,
    partitions: [topic: string, ...indexes: number[]][],
  ) =>
  (a: Answers): Body => ({
    v3AndBelowTransactionalId: transactionalId,
    v3AndBelowProducerId: a.saved<bigint>(name),
    v3AndBelowProducerEpoch: producerEpoch,
    v3AndBelowTopics: partitions.map(([topic, ...indexes]) => ({ name: topic, partitions: indexes })),
  });
const write =
  (transactionalId: string, name: string, producerEpoch: number, baseSequence: number, index = 0) =>
  (a: Answers): Body =>
    produce(
      TOPIC,
      a.topicId(TOPIC),
      batch(['t'], {
        attributes: TRANSACTIONAL,
        producerId: a.saved<bigint>(name),
        producerEpoch,
        baseSequence,
      }),
      { transactionalId, index },
    );
const offsetsOf =
  (transactionalId: string, name: string, producerEpoch: number, more: object = {}) =>
  (a: Answers): Body => ({
    transactionalId,
    groupId: `${transactionalId}-group`,
    producerId: a.saved<bigint>(name),
    producerEpoch,
    generationId: -1,
    memberId: '',
    topics: [
      {
        name: TOPIC,
        partitions: [
          { partitionIndex: 0, committedOffset: 3n, committedLeaderEpoch: -1, committedMetadata: '' },
        ],
      },
    ],
    ...more,
  });

/** Transactions through all of their states, in the older protocol and in the newer (KIP-890). */
export const transactionStates = chapter('states of transactions', (call) => {
  call('CreateTopics', 'a topic for states', create(TOPIC, 3), { versions: [7, 7], except: CREATED });
  call(
    'FindCoordinator',
    'of the states of transactions',
    { keyType: 1, coordinatorKeys: ['s-older', 's-newer'] },
    { versions: [6, 6], until: areFound },
  );
  call(
    'FindCoordinator',
    'of the groups of transactions',
    { keyType: 0, coordinatorKeys: ['s-older-group', 's-newer-group'] },
    { versions: [6, 6], until: areFound },
  );
  const state = (when: string, ...transactionalIds: string[]) =>
    call('DescribeTransactions', when, { transactionalIds });
  const ends = (name: string, request: (a: Answers) => Body, versions: readonly [number, number]) =>
    call('EndTxn', name, request, { versions, until: isThrough });
  const begins = (name: string, request: Body | ((a: Answers) => Body), options: CaseOptions = newest) =>
    call('InitProducerId', name, request, { until: isThrough, ...options });
  const reads = (when: string, except: CaseOptions['except'] = MARKERS) => {
    for (const index of [0, 1])
      call(
        'Fetch',
        `committed of ${index}, ${when}`,
        (a) => fetchOf(TOPIC, a.topicId(TOPIC), { partition: index }, { isolationLevel: 1 }),
        { versions: [13, 13], except: except! },
      );
    call(
      'ListOffsets',
      `committed, ${when}`,
      listOffsets(
        TOPIC,
        [
          [0, -1n],
          [1, -1n],
        ],
        { isolationLevel: 1 },
      ),
      { versions: [5, 5] },
    );
    call('DescribeProducers', when, { topics: [{ name: TOPIC, partitionIndexes: [0, 1, 2] }] });
  };

  // The older protocol.
  begins('older', init('s-older'), { versions: [4, 4], save: { producerId: 'older' } });
  state('of one without partitions', 's-older');
  ends('older, commit of nothing', end('s-older', 'older', 0, true), [4, 4]);
  ends('older, abort of nothing', end('s-older', 'older', 0, false), [4, 4]);
  call('TxnOffsetCommit', 'older, of a group that was not added', offsetsOf('s-older', 'older', 0), {
    versions: [3, 4],
  });
  call(
    'AddPartitionsToTxn',
    'older, twice',
    add('s-older', 'older', 0, [
      [TOPIC, 0, 0],
      [TOPIC, 1],
    ]),
    { versions: [3, 3] },
  );
  call('AddPartitionsToTxn', 'older, nothing', add('s-older', 'older', 0, []), { versions: [3, 3] });
  call('AddPartitionsToTxn', 'older, no partitions', add('s-older', 'older', 0, [[TOPIC]]), {
    versions: [3, 3],
  });
  call(
    'AddPartitionsToTxn',
    'older, an internal topic',
    add('s-older', 'older', 0, [
      ['__consumer_offsets', 0],
      [TOPIC, 2],
    ]),
    { versions: [2, 3] },
  );
  call(
    'AddPartitionsToTxn',
    'older, what there is beside what there is not',
    add('s-older', 'older', 0, [
      ['states-never', 0],
      [TOPIC, 2, 9, -1],
    ]),
    { versions: [2, 3] },
  );
  state('of one with partitions', 's-older');
  call('Produce', 'older', write('s-older', 'older', 0, 0), { versions: [10, 10] });
  call('Produce', 'older, again', write('s-older', 'older', 0, 0), {
    versions: [10, 10],
    except: {
      fields: ['logAppendTimeMs'],
      because: 'Kafka gives the time of the records for a batch that it has already',
    },
  });
  call('Produce', 'older, after a gap', write('s-older', 'older', 0, 5), { versions: [10, 10] });
  call('Produce', 'older, of a later epoch', write('s-older', 'older', 1, 0), { versions: [10, 10] });
  call('Produce', 'older, where it was not added', write('s-older', 'older', 0, 0, 2), { versions: [3, 11] });
  call(
    'Produce',
    'older, without a name',
    (a) => ({ ...write('s-older', 'older', 0, 1)(a), transactionalId: null }),
    { versions: [10, 10] },
  );
  call(
    'Produce',
    'older, by another name',
    (a) => ({ ...write('s-older', 'older', 0, 1)(a), transactionalId: 's-other' }),
    FIRST,
  );
  call(
    'Produce',
    'older, plain where it is in a transaction',
    (a) =>
      produce(
        TOPIC,
        a.topicId(TOPIC),
        batch(['p'], { producerId: a.saved<bigint>('older'), producerEpoch: 0, baseSequence: 1 }),
      ),
    FIRST,
  );
  for (const name of ['older', 'older, again'])
    call(
      'AddOffsetsToTxn',
      name,
      (a) => ({
        transactionalId: 's-older',
        producerId: a.saved('older'),
        producerEpoch: 0,
        groupId: 's-older-group',
      }),
      { versions: [3, 3] },
    );
  call('TxnOffsetCommit', 'older', offsetsOf('s-older', 'older', 0), { versions: [3, 3] });
  call(
    'TxnOffsetCommit',
    'older, to a group that was not added',
    offsetsOf('s-older', 'older', 0, { groupId: 's-other-group' }),
    { versions: [3, 3] },
  );
  call('TxnOffsetCommit', 'older, of a later epoch', offsetsOf('s-older', 'older', 3), { versions: [3, 3] });
  call(
    'OffsetFetch',
    'older, while it is pending',
    {
      groups: [{ groupId: 's-older-group', memberId: null, memberEpoch: -1, topics: null }],
      requireStable: true,
    },
    { versions: [8, 9], differs: 'Kafka does not name offsets of which none was committed before' },
  );
  call('OffsetDelete', 'older, while it is pending', {
    groupId: 's-older-group',
    topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0 }] }],
  });
  reads('while the older is open');
  ends('older, abort', end('s-older', 'older', 0, false), [4, 4]);
  ends('older, abort again', end('s-older', 'older', 0, false), [4, 4]);
  ends('older, commit once aborted', end('s-older', 'older', 0, true), [4, 4]);
  state('of one that was aborted', 's-older');
  call(
    'OffsetFetch',
    'older, once it was aborted',
    {
      groups: [{ groupId: 's-older-group', memberId: null, memberEpoch: -1, topics: null }],
      requireStable: true,
    },
    { versions: [8, 9] },
  );
  reads('once the older was aborted');
  call('Produce', 'older, once it was aborted', write('s-older', 'older', 0, 1), { versions: [10, 10] });
  begins('older, once more', init('s-older'), { versions: [4, 4] });
  begins(
    'older, its epoch before',
    (a) => init('s-older', { producerId: a.saved('older'), producerEpoch: 0 }),
    { versions: [4, 4] },
  );
  ends('older, of its epoch before', end('s-older', 'older', 0, true), [3, 4]);
  ends('older, of an epoch to come', end('s-older', 'older', 9, true), [3, 4]);
  state('of one that was fenced', 's-older');

  // The newer protocol: every transaction has an epoch of its own, and partitions are added with what is written.
  begins('newer', init('s-newer'), { ...newest, save: { producerId: 'newer' } });
  ends('newer, commit of nothing', end('s-newer', 'newer', 0, true), [5, 5]);
  call('Produce', 'newer', write('s-newer', 'newer', 0, 0), { versions: [12, 12] });
  call('Produce', 'newer, by id', write('s-newer', 'newer', 0, 0, 1), { versions: [13, 13] });
  call('Produce', 'newer, to a partition that does not exist', write('s-newer', 'newer', 0, 0, 9), {
    versions: [12, 13],
  });
  call('Produce', 'newer, of a later epoch', write('s-newer', 'newer', 4, 0), { versions: [12, 12] });
  call('Produce', 'newer, beginning with a gap', write('s-newer', 'newer', 0, 7, 2), { versions: [12, 12] });
  call('TxnOffsetCommit', 'newer', offsetsOf('s-newer', 'newer', 0), { versions: [5, 5] });
  call(
    'TxnOffsetCommit',
    'newer, twice',
    offsetsOf('s-newer', 'newer', 0, {
      topics: [TOPIC, TOPIC].map((name, i) => ({
        name,
        partitions: [0, 0].map((partitionIndex) => ({
          partitionIndex,
          committedOffset: BigInt(4 + i),
          committedLeaderEpoch: -1,
          committedMetadata: null,
        })),
      })),
    }),
    { versions: [5, 5] },
  );
  call('TxnOffsetCommit', 'newer, nothing', offsetsOf('s-newer', 'newer', 0, { topics: [] }), {
    versions: [5, 5],
  });
  call(
    'TxnOffsetCommit',
    'newer, metadata that is too long',
    offsetsOf('s-newer', 'newer', 0, {
      topics: [
        {
          name: TOPIC,
          partitions: [
            {
              partitionIndex: 0,
              committedOffset: 1n,
              committedLeaderEpoch: -1,
              committedMetadata: 'x'.repeat(5_000),
            },
          ],
        },
      ],
    }),
    { versions: [5, 5] },
  );
  state('of the newer', 's-newer');
  call(
    'ListTransactions',
    'of states',
    { stateFilters: ['Ongoing', 'CompleteAbort'], transactionalIdPattern: 's-.*' },
    { versions: [2, 2] },
  );
  call(
    'ListTransactions',
    'of a negative duration',
    { durationFilter: -5n, transactionalIdPattern: 's-newer' },
    { versions: [2, 2] },
  );
  call(
    'ListTransactions',
    'of no duration',
    { durationFilter: 0n, transactionalIdPattern: 's-newer' },
    { versions: [2, 2] },
  );
  reads('while the newer is open');
  ends('newer, of an epoch to come', end('s-newer', 'newer', 3, true), [5, 5]);
  ends('newer, commit', end('s-newer', 'newer', 0, true), [5, 5]);
  ends('newer, commit again', end('s-newer', 'newer', 0, true), [5, 5]);
  ends('newer, abort once committed', end('s-newer', 'newer', 0, false), [5, 5]);
  state('of the newer, once it was committed', 's-newer');
  call('Produce', 'newer, of the epoch before', write('s-newer', 'newer', 0, 1), { versions: [12, 12] });
  call('TxnOffsetCommit', 'newer, of the epoch before', offsetsOf('s-newer', 'newer', 0), {
    versions: [5, 5],
  });
  reads('once the newer was committed');
  ends('newer, commit of nothing in the next epoch', end('s-newer', 'newer', 1, true), [5, 5]);
  ends('newer, abort of nothing in the next epoch', end('s-newer', 'newer', 1, false), [5, 5]);
  ends('newer, abort of nothing again', end('s-newer', 'newer', 1, false), [5, 5]);
  state('of the newer, once nothing was aborted', 's-newer');
  ends('newer, two epochs behind', end('s-newer', 'newer', 0, true), [5, 5]);
  call('Produce', 'newer, of the epoch after', write('s-newer', 'newer', 2, 0), { versions: [12, 12] });
  ends('newer, abort', end('s-newer', 'newer', 2, false), [5, 5]);
  ends('newer, abort again', end('s-newer', 'newer', 2, false), [5, 5]);
  ends('newer, commit once aborted', end('s-newer', 'newer', 2, true), [5, 5]);
  reads('once the newer was aborted', SEGMENTS);
  begins('newer, once more', init('s-newer'));
  begins('newer, with an epoch of before', (a) =>
    init('s-newer', { producerId: a.saved('newer'), producerEpoch: 1 }),
  );
  state('of the newer, at its end', 's-newer');
});

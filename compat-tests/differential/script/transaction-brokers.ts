import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import { CREATED, create, initProducer as init, isThrough } from './build.ts';

const TOPIC = 'brokers-topic';

/** What brokers ask of the coordinators of transactions and of each other, and producers at the bounds of what they may say. */
export const transactionBrokers = chapter('transactions between brokers', (call) => {
  call('CreateTopics', 'a topic for brokers', create(TOPIC, 3), { versions: [7, 7], except: CREATED });
  const newest = { versions: [5, 5] } as const;
  const begins = (name: string, request: Body | ((a: Answers) => Body), options: CaseOptions = newest) =>
    call('InitProducerId', name, request, { until: isThrough, ...options });
  begins('another', init('b-other'), { ...newest, save: { producerId: 'b-other' } });
  // What brokers ask coordinators.
  begins('asked about', init('b-asked'), { ...newest, save: { producerId: 'asked' } });
  const several = (
    name: string,
    transactions: (
      a: Answers,
    ) => [
      id: string,
      producerId: bigint,
      epoch: number,
      verifyOnly: boolean,
      ...topics: [string, ...number[]][],
    ][],
    options: CaseOptions = {},
  ) =>
    call(
      'AddPartitionsToTxn',
      name,
      (a) => ({
        transactions: transactions(a).map(
          ([transactionalId, producerId, producerEpoch, verifyOnly, ...topics]) => ({
            transactionalId,
            producerId,
            producerEpoch,
            verifyOnly,
            topics: topics.map(([topic, ...partitions]) => ({ name: topic, partitions })),
          }),
        ),
      }),
      { versions: [4, 5], ...options },
    );
  const asked = (a: Answers) => a.saved<bigint>('asked');
  several('to verify, one that is empty', (a) => [['b-asked', asked(a), 0, true, [TOPIC, 0]]]);
  several('of no topics', (a) => [['b-asked', asked(a), 0, false]]);
  several('several', (a) => [
    ['b-asked', asked(a), 0, false, [TOPIC, 0, 1]],
    ['b-never', 5n, 0, false, [TOPIC, 0]],
    ['', 5n, 0, false, [TOPIC, 0]],
  ]);
  several('to verify, several', (a) => [
    ['b-asked', asked(a), 0, true, [TOPIC, 0, 2, 9]],
    ['b-never', 5n, 0, true, [TOPIC, 0]],
    ['b-other', asked(a), 0, true, [TOPIC, 0]],
  ]);
  several('of epochs that are wrong', (a) => [
    ['b-asked', asked(a), 7, false, [TOPIC, 0]],
    ['b-other', a.saved<bigint>('b-other'), 5, true, [TOPIC, 0]],
  ]);
  several(
    'the same twice',
    (a) => [
      ['b-asked', asked(a), 0, true, [TOPIC, 0]],
      ['b-asked', asked(a), 0, true, [TOPIC, 2]],
    ],
    { differs: 'Kafka answers the last, as often as it is named' },
  );
  several('of partitions that do not exist', (a) => [
    ['b-asked', asked(a), 0, false, [TOPIC, 0, 9], ['brokers-never', 0]],
  ]);
  several('to verify, what does not exist', (a) => [
    ['b-asked', asked(a), 0, true, [TOPIC, 9], ['brokers-never', 0]],
  ]);

  const marker = (producerId: bigint, more: object = {}) => ({
    producerId,
    producerEpoch: 0,
    transactionResult: true,
    coordinatorEpoch: 0,
    transactionVersion: 0,
    topics: [{ name: TOPIC, partitionIndexes: [2] }],
    ...more,
  });
  const marks = (name: string, ...markers: object[]) => call('WriteTxnMarkers', name, { markers });
  marks('of nobody', marker(910n));
  marks('of nobody again', marker(910n));
  call(
    'WriteTxnMarkers',
    'of nobody, an older epoch',
    { markers: [marker(910n, { producerEpoch: -1 })] },
    { differs: 'Kafka fails inside' },
  );
  marks('of nobody, a later epoch', marker(910n, { producerEpoch: 3 }));
  marks('of nobody, an epoch between', marker(910n, { producerEpoch: 2 }));
  marks('of an older coordinator', marker(910n, { producerEpoch: 3, coordinatorEpoch: -1 }));
  marks('of a later coordinator', marker(910n, { producerEpoch: 3, coordinatorEpoch: 5 }));
  marks('of the coordinator before', marker(910n, { producerEpoch: 3, coordinatorEpoch: 4 }));
  marks(
    'of what there is beside what there is not',
    marker(911n, {
      topics: [
        { name: TOPIC, partitionIndexes: [1, 9] },
        { name: 'brokers-never', partitionIndexes: [0] },
      ],
    }),
  );
  marks('of two producers', marker(913n), marker(914n, { transactionResult: false }));
  call('DescribeProducers', 'after markers of nobody', { topics: [{ name: TOPIC, partitionIndexes: [2] }] });

  begins('of the same epoch and another id', (a) =>
    init('b-asked', { producerId: a.saved<bigint>('b-other'), producerEpoch: 0 }),
  );
  begins('of the largest epoch', (a) => init('b-asked', { producerId: asked(a), producerEpoch: 32_767 }), {
    versions: [3, 5],
  });
  begins('of a negative id', init('b-asked', { producerId: -5n, producerEpoch: -1 }), { versions: [3, 5] });
  begins('of a negative epoch', (a) => init('b-asked', { producerId: asked(a), producerEpoch: -3 }), {
    versions: [3, 5],
  });
  begins('of the least time', init('b-time', { transactionTimeoutMs: 1 }));
  begins('of the most time', init('b-time', { transactionTimeoutMs: 900_000 }));
  begins('of more than the most time', init('b-time', { transactionTimeoutMs: 900_001 }));
  begins(
    'of an idempotent producer, with an epoch',
    { ...init(''), transactionalId: null, producerEpoch: 3 },
    { versions: [3, 5] },
  );
});

import { buildBatch } from '../../../src/protocol/records/builder.ts';
import { chapter } from '../case.ts';
import { batch, CREATED, create, fetchOf, listOffsets, produce, TIME, UNKNOWN_UUID } from './build.ts';

const WORDS = {
  fields: ['errorMessage', 'batchIndexErrorMessage'],
  because: 'the same in other words',
} as const;
const WORDS_AND_START = {
  fields: [...WORDS.fields, 'logStartOffset'],
  because: 'Kafka tells where the log starts with some errors',
};
const damaged = () => {
  const bytes = Buffer.from(batch(['damaged']));
  bytes[bytes.length - 1]! ^= 0xff;
  return bytes;
};
const withoutKey = () => buildBatch([{ key: null, value: Buffer.from('no key') }], { timestamp: TIME });
const withMagic = (magic: number) => {
  const bytes = Buffer.from(batch(['magic']));
  bytes[16] = magic;
  return bytes;
};
const deleteRecords = (name: string, partitionIndex: number, offset: bigint) => ({
  topics: [{ name, partitions: [{ partitionIndex, offset }] }],
  timeoutMs: 5_000,
});
const epochs = (topic: string, partition: number, leaderEpoch: number, currentLeaderEpoch = -1) => ({
  replicaId: -1,
  topics: [{ topic, partitions: [{ partition, leaderEpoch, currentLeaderEpoch }] }],
});
/** The topic, by name or id as the version has it. */
const to =
  (name: string, records: Uint8Array | null, options: Parameters<typeof produce>[3] = {}) =>
  (a: { topicId(name: string): string }) =>
    produce(name, a.topicId(name), records, options);
const from =
  (name: string, ...wish: [Parameters<typeof fetchOf>[2]?, object?]) =>
  (a: { topicId(name: string): string }) =>
    fetchOf(name, a.topicId(name), ...wish);

export const data = chapter('records', (call) => {
  call('CreateTopics', 'a topic for records', create('data-$v', 2), { except: CREATED });
  call(
    'CreateTopics',
    'a topic for times of arrival',
    create('data-append', 1, 1, { 'message.timestamp.type': 'LogAppendTime' }),
    { versions: [7, 7], except: CREATED },
  );
  call('CreateTopics', 'a compacted topic', create('data-compacted', 1, 1, { 'cleanup.policy': 'compact' }), {
    versions: [7, 7],
    except: CREATED,
  });
  call(
    'CreateTopics',
    'a topic for small records',
    create('data-small', 1, 1, { 'max.message.bytes': '200' }),
    { versions: [7, 7], except: CREATED },
  );
  call(
    'CreateTopics',
    'a topic that wants recent times',
    create('data-recent', 1, 1, { 'message.timestamp.before.max.ms': '1000' }),
    { versions: [7, 7], except: CREATED },
  );

  call('Produce', 'three records', to('data-7', batch(['a', 'b', 'c'])));
  call('Produce', 'acks=1', to('data-7', batch(['d']), { acks: 1 }));
  call('Produce', 'acks=0', to('data-7', batch(['e']), { acks: 0 }), { unanswered: true });
  call('Produce', 'acks=2', to('data-7', batch(['f']), { acks: 2 }));
  call(
    'Produce',
    'acks=0 to a partition that does not exist',
    to('data-7', batch(['g']), { acks: 0, index: 9 }),
    { unanswered: true },
  );
  call('Produce', 'a partition that does not exist', to('data-7', batch(['h']), { index: 9 }));
  call('Produce', 'a negative partition', to('data-7', batch(['i']), { index: -1 }));
  call('Produce', 'a topic that does not exist', produce('never', UNKNOWN_UUID, batch(['j'])));
  call('Produce', 'a damaged batch', to('data-7', damaged()));
  call('Produce', 'magic 1', to('data-7', withMagic(1)), { except: WORDS });
  call('Produce', 'magic 7', to('data-7', withMagic(7)), { except: WORDS });
  call('Produce', 'no records', to('data-7', new Uint8Array(0)));
  call('Produce', 'half a batch', to('data-7', batch(['half']).subarray(0, 40)), {
    differs: 'what is not whole is CORRUPT_MESSAGE, which clients try again',
  });
  call(
    'Produce',
    'a batch and a half',
    to('data-small', Buffer.concat([batch(['k']), batch(['l']).subarray(0, 30)])),
    { differs: 'Kafka drops what follows the last whole batch without a word' },
  );
  call('Produce', 'two batches', to('data-7', Buffer.concat([batch(['k']), batch(['l'])])), {
    except: WORDS,
  });
  call('Produce', 'a control batch', to('data-7', batch(['m'], { attributes: 0x20 })), {
    except: WORDS_AND_START,
  });
  call('Produce', 'an unknown codec', to('data-7', batch(['n'], { attributes: 5 })), {
    differs: 'Kafka answers UNKNOWN_SERVER_ERROR',
  });
  call('Produce', 'larger than the topic allows', to('data-small', batch(['x'.repeat(300)])));
  call('Produce', 'a record without a key to a compacted topic', to('data-compacted', withoutKey()), {
    except: WORDS_AND_START,
  });
  call('Produce', 'times of arrival', to('data-append', batch(['o'])));
  call('Produce', 'a time long past', to('data-recent', batch(['p'])), { except: WORDS });
  call(
    'Produce',
    'an idempotent batch',
    to('data-6', batch(['q'], { producerId: 500_000n, producerEpoch: 0, baseSequence: 0 })),
    { versions: [3, 3] },
  );
  call(
    'Produce',
    'an idempotent batch again',
    to('data-6', batch(['q'], { producerId: 500_000n, producerEpoch: 0, baseSequence: 0 })),
    {
      except: {
        fields: ['logAppendTimeMs'],
        because: 'Kafka gives the time of the records here, also when it is not the time of arrival',
      },
    },
  );
  call(
    'Produce',
    'a gap in the sequence',
    to('data-6', batch(['r'], { producerId: 500_000n, producerEpoch: 0, baseSequence: 7 })),
  );
  call(
    'Produce',
    'a new producer that does not begin at 0',
    to('data-6', batch(['s'], { producerId: 500_001n, producerEpoch: 0, baseSequence: 3 })),
    { versions: [3, 3] },
  );
  call(
    'Produce',
    'an older epoch',
    to('data-6', batch(['t'], { producerId: 500_002n, producerEpoch: 5, baseSequence: 0 })),
    { versions: [3, 3] },
  );
  call(
    'Produce',
    'an older epoch, now',
    to('data-6', batch(['t'], { producerId: 500_002n, producerEpoch: 4, baseSequence: 1 })),
  );
  call(
    'Produce',
    'a transactional batch without a transactional id',
    to('data-6', batch(['u'], { attributes: 0x10, producerId: 5n, producerEpoch: 0, baseSequence: 0 })),
  );
  call(
    'Produce',
    'a plain batch with a transactional id',
    to('data-6', batch(['v'], { producerId: 5n, producerEpoch: 0, baseSequence: 0 }), {
      transactionalId: 'nobody',
    }),
    {
      except: {
        fields: ['logAppendTimeMs'],
        because: 'Kafka gives the time of the records for a batch that it has already',
      },
    },
  );
  call('DescribeProducers', 'a partition', { topics: [{ name: 'data-6', partitionIndexes: [0] }] });
  call('DescribeProducers', 'a partition that does not exist', {
    topics: [{ name: 'data-6', partitionIndexes: [0, 9] }],
  });
  call('DescribeProducers', 'a topic that does not exist', {
    topics: [{ name: 'never', partitionIndexes: [0] }],
  });
  call('DescribeProducers', 'a topic that cannot exist', {
    topics: [{ name: 'no/pe', partitionIndexes: [0] }],
  });
  call('DescribeProducers', 'nothing', { topics: [] });

  call('Fetch', 'from the beginning', from('data-6'));
  call('Fetch', 'from the middle of a batch', from('data-7', { offset: 1n }));
  call('Fetch', 'from the end', from('data-7', { partition: 1 }));
  call('Fetch', 'beyond the end', from('data-7', { offset: 1_000_000n }));
  call('Fetch', 'before the beginning', from('data-7', { offset: -5n }));
  call('Fetch', 'one byte', from('data-7', { maxBytes: 1 }));
  call('Fetch', 'one byte in all', from('data-7', {}, { maxBytes: 1 }));
  call('Fetch', 'no bytes in all', from('data-7', {}, { maxBytes: 0 }));
  call('Fetch', 'a partition twice', (a) => {
    const [first, second] = [0n, 2n].map((offset) => fetchOf('data-7', a.topicId('data-7'), { offset }));
    return { ...first, topics: [...first!.topics, ...second!.topics] };
  });
  call('Fetch', 'a partition that does not exist', from('data-7', { partition: 9 }));
  call('Fetch', 'a topic that does not exist', fetchOf('never', UNKNOWN_UUID));
  call('Fetch', 'an older leader epoch', from('data-7', { epoch: 0 }));
  call('Fetch', 'a newer leader epoch', from('data-7', { epoch: 99 }), { versions: [9, 18] });
  call('Fetch', 'with the last epoch', from('data-7', { offset: 1n, lastEpoch: 0 }), { versions: [12, 18] });
  call('Fetch', 'committed', from('data-6', {}, { isolationLevel: 1 }));
  call('Fetch', 'a session of its own', from('data-7', { offset: 2n }, { sessionEpoch: 0 }), {
    versions: [7, 18],
    save: { sessionId: 'session-$v' },
  });
  call(
    'Fetch',
    'the session, nothing new',
    (a) => ({
      ...fetchOf(
        'data-7',
        a.topicId('data-7'),
        { offset: 1_000n },
        { sessionId: a.saved('session-$v'), sessionEpoch: 1, topics: [] },
      ),
    }),
    { versions: [7, 18] },
  );
  call(
    'Fetch',
    'the session, an old epoch',
    (a) => ({
      ...fetchOf(
        'data-7',
        a.topicId('data-7'),
        {},
        { sessionId: a.saved('session-$v'), sessionEpoch: 9, topics: [] },
      ),
    }),
    { versions: [7, 18] },
  );
  call(
    'Fetch',
    'the session ends',
    (a) => ({
      ...fetchOf(
        'data-7',
        a.topicId('data-7'),
        {},
        { sessionId: a.saved('session-$v'), sessionEpoch: -1, topics: [] },
      ),
    }),
    { versions: [7, 18] },
  );
  call(
    'Fetch',
    'an unknown session',
    (a) => fetchOf('data-7', a.topicId('data-7'), {}, { sessionId: 123_456, sessionEpoch: 1 }),
    { versions: [7, 18] },
  );
  call('Fetch', 'a replica', from('data-7', {}, { replicaId: 5 }), { versions: [4, 14] });
  call('Fetch', 'nothing', { ...fetchOf('data-7', UNKNOWN_UUID), topics: [] });

  call(
    'ListOffsets',
    'earliest and latest',
    listOffsets('data-6', [
      [0, -1n],
      [1, -2n],
    ]),
  );
  call('ListOffsets', 'the largest time', listOffsets('data-6', [[0, -3n]]), { versions: [7, 11] });
  call('ListOffsets', 'the largest time, too early', listOffsets('data-6', [[0, -3n]]), { versions: [1, 6] });
  call('ListOffsets', 'the earliest local', listOffsets('data-6', [[0, -4n]]));
  call('ListOffsets', 'the latest tiered', listOffsets('data-6', [[0, -5n]]));
  call('ListOffsets', 'the earliest pending upload', listOffsets('data-6', [[0, -6n]]));
  call('ListOffsets', 'a time that does not exist', listOffsets('data-6', [[0, -7n]]));
  call(
    'ListOffsets',
    'a time',
    listOffsets('data-7', [
      [0, TIME + 1n],
      [1, TIME],
    ]),
  );
  call('ListOffsets', 'a time before all', listOffsets('data-7', [[0, 1n]]));
  call('ListOffsets', 'a time after all', listOffsets('data-7', [[0, TIME + 1_000_000n]]));
  call('ListOffsets', 'committed', listOffsets('data-7', [[0, -1n]], { isolationLevel: 1 }));
  call('ListOffsets', 'a partition that does not exist', listOffsets('data-7', [[9, -1n]]));
  call('ListOffsets', 'a topic that does not exist', listOffsets('never', [[0, -1n]]));
  call(
    'ListOffsets',
    'the same partition twice',
    listOffsets('data-7', [
      [0, -1n],
      [0, -2n],
    ]),
  );
  call('ListOffsets', 'a newer leader epoch', listOffsets('data-7', [[0, -1n, 99]]), { versions: [4, 11] });
  call('ListOffsets', 'the leader epoch', listOffsets('data-7', [[0, -1n, 0]]), { versions: [4, 11] });
  call('ListOffsets', 'an unknown replica', listOffsets('data-7', [[0, -1n]], { replicaId: 5 }));
  call('ListOffsets', 'a debugging consumer', listOffsets('data-7', [[0, -1n]], { replicaId: -2 }));
  call('ListOffsets', 'nothing', { replicaId: -1, topics: [] });

  call('OffsetForLeaderEpoch', 'epoch 0', epochs('data-7', 0, 0));
  call('OffsetForLeaderEpoch', 'an epoch to come', epochs('data-7', 0, 5));
  call('OffsetForLeaderEpoch', 'no epoch', epochs('data-7', 0, -1));
  call('OffsetForLeaderEpoch', 'as the leader', epochs('data-7', 0, 0, 0));
  call('OffsetForLeaderEpoch', 'as a later leader', epochs('data-7', 0, 0, 9));
  call('OffsetForLeaderEpoch', 'a partition that does not exist', epochs('data-7', 9, 0));
  call('OffsetForLeaderEpoch', 'a topic that does not exist', epochs('never', 0, 0));
  call('OffsetForLeaderEpoch', 'nothing', { replicaId: -1, topics: [] });

  call('DeleteRecords', 'before an offset', deleteRecords('data-7', 0, 2n));
  call('DeleteRecords', 'what is deleted', deleteRecords('data-7', 0, 1n));
  call('DeleteRecords', 'beyond the end', deleteRecords('data-7', 0, 1_000_000n));
  call('DeleteRecords', 'minus two', deleteRecords('data-7', 0, -2n));
  call('DeleteRecords', 'all', deleteRecords('data-6', 0, -1n));
  call('DeleteRecords', 'a partition that does not exist', deleteRecords('data-7', 9, 1n));
  call('DeleteRecords', 'a topic that does not exist', deleteRecords('never', 0, 1n));
  call('DeleteRecords', 'a compacted topic', deleteRecords('data-compacted', 0, 0n));
  call('DeleteRecords', 'the metadata', deleteRecords('__cluster_metadata', 0, 1n));
  call('DeleteRecords', 'the same partition twice', {
    topics: [
      {
        name: 'data-7',
        partitions: [
          { partitionIndex: 0, offset: 2n },
          { partitionIndex: 0, offset: 3n },
        ],
      },
    ],
    timeoutMs: 5_000,
  });
  call('DeleteRecords', 'nothing', { topics: [], timeoutMs: 1_000 });
  call('ListOffsets', 'after records were deleted', listOffsets('data-7', [[0, -2n]]));
  call('Fetch', 'deleted records', from('data-7', { offset: 0n }));
  call(
    'DeleteTopics',
    'a topic with records',
    { topicNames: ['data-$v'], timeoutMs: 9_000 },
    { versions: [2, 5] },
  );
  call('Fetch', 'a topic that was deleted', fetchOf('data-5', UNKNOWN_UUID));
});

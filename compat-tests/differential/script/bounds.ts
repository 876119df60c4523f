import { type Answers, chapter } from '../case.ts';
import { batch, CREATED, create, fetchOf, listOffsets, produce, TIME } from './build.ts';

const LARGEST = 9_223_372_036_854_775_807n;
const LEAST = -9_223_372_036_854_775_808n;
const NAME = 'bounds';
const EPOCH = { fields: ['leaderEpoch'], because: 'Kafka names one also where it finds nothing' } as const;

const deletions = (...topics: [name: string, ...partitions: [partition: number, offset: bigint][]][]) => ({
  topics: topics.map(([name, ...partitions]) => ({
    name,
    partitions: partitions.map(([partitionIndex, offset]) => ({ partitionIndex, offset })),
  })),
  timeoutMs: 5_000,
});
const epochs = (
  topics: readonly (readonly [
    name: string,
    ...partitions: [partition: number, epoch: number, current?: number][],
  ])[],
  replicaId = -1,
) => ({
  replicaId,
  topics: topics.map(([topic, ...partitions]) => ({
    topic,
    partitions: partitions.map(([partition, leaderEpoch, currentLeaderEpoch = -1]) => ({
      partition,
      leaderEpoch,
      currentLeaderEpoch,
    })),
  })),
});

/** Offsets, times and epochs at and beyond the ends of a log, before and after records were deleted. */
export const bounds = chapter('bounds of logs', (call) => {
  call('CreateTopics', 'a topic with bounds', create(NAME, 3), { versions: [7, 7], except: CREATED });
  call('CreateTopics', 'another', create('bounds-other', 1), { versions: [7, 7], except: CREATED });
  for (const index of [0, 1])
    for (const values of [
      ['a', 'b', 'c'],
      ['d', 'e'],
      ['f', 'g', 'h'],
    ])
      call(
        'Produce',
        `${values.join('')} to ${index}`,
        (a: Answers) => produce(NAME, a.topicId(NAME), batch(values), { index }),
        { versions: [13, 13] },
      );

  const look = (when: string) => {
    for (const timestamp of [
      -1n,
      -2n,
      -3n,
      -4n,
      -5n,
      -6n,
      -7n,
      LEAST,
      LARGEST,
      0n,
      TIME,
      TIME + 1n,
      TIME + 2n,
      TIME + 3n,
    ])
      call(
        'ListOffsets',
        `${timestamp}${when}`,
        listOffsets(NAME, [
          [0, timestamp],
          [2, timestamp],
        ]),
        timestamp === -3n ? { except: EPOCH } : {},
      );
    call('ListOffsets', `committed${when}`, listOffsets(NAME, [[0, -1n]], { isolationLevel: 1 }));
    call('OffsetForLeaderEpoch', `epochs${when}`, epochs([[NAME, [0, 0], [1, 0], [2, 0]]]));
    call(
      'OffsetForLeaderEpoch',
      `epochs that cannot be${when}`,
      epochs([[NAME, [0, -1], [1, -2], [2, 0x7fffffff]]]),
    );
    for (const offset of [0n, 1n, 2n, 4n, 5n, 8n, 9n])
      call('Fetch', `from ${offset}${when}`, (a) => fetchOf(NAME, a.topicId(NAME), { offset }), {
        versions: [11, 18],
      });
  };
  look('');
  call(
    'ListOffsets',
    'with an isolation that does not exist',
    listOffsets(NAME, [[0, -1n]], { isolationLevel: 9 }),
    {
      versions: [2, 11],
      differs: 'Kafka fails inside',
    },
  );
  call('ListOffsets', 'of several topics', {
    replicaId: -1,
    topics: [NAME, 'bounds-never', 'bounds-other', NAME].map((name, i) => ({
      name,
      partitions: [0, i, 99].map((partitionIndex) => ({
        partitionIndex,
        timestamp: -1n,
        currentLeaderEpoch: -1,
      })),
    })),
  });
  call('ListOffsets', 'of a topic twice', {
    replicaId: -1,
    topics: [0, 1].map((partitionIndex) => ({
      name: NAME,
      partitions: [{ partitionIndex, timestamp: -1n, currentLeaderEpoch: -1 }],
    })),
  });
  call('ListOffsets', 'of a topic without partitions', {
    replicaId: -1,
    topics: [{ name: NAME, partitions: [] }],
  });
  call('ListOffsets', 'of a topic without a name', {
    replicaId: -1,
    topics: [{ name: '', partitions: [{ partitionIndex: 0, timestamp: -1n, currentLeaderEpoch: -1 }] }],
  });
  call('ListOffsets', 'of a topic that cannot be', listOffsets('no/pe', [[0, -1n]]));
  call('ListOffsets', 'of a negative partition', listOffsets(NAME, [[-1, -1n]]));
  call('ListOffsets', 'in a negative leader epoch', listOffsets(NAME, [[0, -1n, -5]]), { versions: [4, 11] });
  call('ListOffsets', 'in an old leader epoch, by time', listOffsets(NAME, [[0, TIME, 7]]), {
    versions: [4, 11],
  });

  call(
    'OffsetForLeaderEpoch',
    'of a partition twice',
    epochs([
      [NAME, [0, 0], [0, 5]],
      [NAME, [1, 0]],
    ]),
  );
  call(
    'OffsetForLeaderEpoch',
    'of what there is beside what there is not',
    epochs([
      ['bounds-never', [0, 0]],
      [NAME, [0, 0], [9, 0], [-1, 0]],
    ]),
  );
  call('OffsetForLeaderEpoch', 'of no partitions', epochs([[NAME]]));
  call('OffsetForLeaderEpoch', 'of a debugging consumer', epochs([[NAME, [0, 0]]], -2), { versions: [3, 4] });
  call('OffsetForLeaderEpoch', 'of a replica', epochs([[NAME, [0, 0]]], 1), { versions: [3, 4] });
  call('OffsetForLeaderEpoch', 'in a negative leader epoch', epochs([[NAME, [0, 0, -5]]]));

  call('DeleteRecords', 'to offset 0', deletions([NAME, [0, 0n]]));
  call('DeleteRecords', 'within a batch', deletions([NAME, [0, 4n]]));
  look(' once four are gone');
  call('DeleteRecords', 'to before what is gone', deletions([NAME, [0, 2n]]));
  call('DeleteRecords', 'to the end', deletions([NAME, [1, 8n]]));
  call('DeleteRecords', 'to one after the end', deletions([NAME, [1, 9n]]));
  call('DeleteRecords', 'to the largest offset', deletions([NAME, [0, LARGEST]]));
  call('DeleteRecords', 'to the least offset', deletions([NAME, [0, LEAST]]));
  call('DeleteRecords', 'to the end of an empty one', deletions([NAME, [2, -1n]]));
  call('DeleteRecords', 'to after the end of an empty one', deletions([NAME, [2, 1n]]));
  call(
    'DeleteRecords',
    'of what there is beside what there is not',
    deletions([NAME, [0, 4n], [9, 0n], [-1, 0n]], ['bounds-never', [0, 0n]]),
  );
  call(
    'DeleteRecords',
    'of a topic twice',
    deletions([NAME, [0, 4n]], ['bounds-other', [0, 0n]], [NAME, [1, 8n]]),
  );
  call('DeleteRecords', 'of a partition of a topic twice', deletions([NAME, [0, 4n]], [NAME, [0, 5n]]));
  call('DeleteRecords', 'of no partitions', deletions([NAME]));
  call('DeleteRecords', 'of an internal topic', deletions(['__consumer_offsets', [0, 0n]]));
  call('DeleteRecords', 'of a topic without a name', deletions(['', [0, 0n]]));
  look(' once five are gone');
  call('ListOffsets', 'of one of which all is gone', listOffsets(NAME, [[1, -1n]]));
  for (const timestamp of [-2n, -3n, TIME])
    call('ListOffsets', `of one of which all is gone, ${timestamp}`, listOffsets(NAME, [[1, timestamp]]), {
      versions: [7, 11],
      ...(timestamp === -3n ? { except: EPOCH } : {}),
    });
  call(
    'Produce',
    'to one of which all is gone',
    (a) => produce(NAME, a.topicId(NAME), batch(['i']), { index: 1 }),
    {
      versions: [13, 13],
    },
  );
  call('Fetch', 'from one of which all was gone', (a) =>
    fetchOf(NAME, a.topicId(NAME), { partition: 1, offset: 8n }),
  );
});

import { chapter } from '../case.ts';
import { create, describeConfigs, NO_UUID, ResourceType, topic, UNKNOWN_UUID } from './build.ts';

const named = (...names: (string | null)[]) => ({
  topics: names.map((name) => ({ name, topicId: NO_UUID })),
  allowAutoTopicCreation: false,
});
const DYNAMIC_TABLE = {
  fields: ['apiKeys', 'supportedFeatures', 'finalizedFeatures', 'finalizedFeaturesEpoch'],
  because: 'a test of its own compares what is announced',
} as const;
const software = (clientSoftwareName: string, clientSoftwareVersion: string) => ({
  clientSoftwareName,
  clientSoftwareVersion,
});
const deleted = (...names: string[]) => ({
  topicNames: names,
  topics: names.map((name) => ({ name, topicId: NO_UUID })),
  timeoutMs: 10_000,
});
const grown = (name: string, count: number, assignments: number[][] | null = null, more: object = {}) => ({
  topics: [{ name, count, assignments: assignments?.map((brokerIds) => ({ brokerIds })) ?? null }],
  timeoutMs: 10_000,
  ...more,
});
const CREATED_CONFIGS = {
  fields: ['configs'],
  because: 'Kafabric lists keys of its own too; DescribeConfigs is compared key by key',
} as const;
const page = (names: string[], limit: number, cursor: [string, number] | null = null) => ({
  topics: names.map((name) => ({ name })),
  responsePartitionLimit: limit,
  cursor: cursor === null ? null : { topicName: cursor[0], partitionIndex: cursor[1] },
});

export const topics = chapter('topics', (call) => {
  call('ApiVersions', 'a name and a version', software('differential', '1.0'), { except: DYNAMIC_TABLE });
  call('ApiVersions', 'a name with a space', software('two words', '1'), {
    versions: [3, 4],
    except: DYNAMIC_TABLE,
  });
  call('ApiVersions', 'no name', software('', ''), { versions: [3, 4], except: DYNAMIC_TABLE });
  call('ApiVersions', 'a version with a slash', software('x', '1/2'), {
    versions: [3, 4],
    except: DYNAMIC_TABLE,
  });

  call('CreateTopics', 'one partition', create('one-$v'), { except: CREATED_CONFIGS });
  call(
    'CreateTopics',
    'three partitions and configurations',
    create('three-$v', 3, 1, { 'retention.ms': '3600000', 'cleanup.policy': 'compact,delete' }),
    { except: CREATED_CONFIGS },
  );
  call('CreateTopics', 'the same again', create('one-$v'));
  call('CreateTopics', 'defaults', create('defaults-$v', -1, -1), {
    versions: [4, 7],
    except: CREATED_CONFIGS,
  });
  call('CreateTopics', 'no partitions', create('none-$v', 0));
  call('CreateTopics', 'minus two partitions', create('none-$v', -2));
  call('CreateTopics', 'no replicas', create('none-$v', 1, 0));
  call('CreateTopics', 'three replicas', create('none-$v', 1, 3));
  call('CreateTopics', 'minus two replicas', create('none-$v', 1, -2));
  call('CreateTopics', 'an empty name', create(''));
  call('CreateTopics', 'a dot', create('.'));
  call('CreateTopics', 'two dots', create('..'));
  call('CreateTopics', 'a slash', create('a/b'));
  call('CreateTopics', 'a name of 249 characters', create('x'.repeat(246).concat('-$v')), {
    except: CREATED_CONFIGS,
  });
  call('CreateTopics', 'a name of 250 characters', create('x'.repeat(250)));
  call('CreateTopics', 'a name that collides', create('one.with_dot-$v'), { except: CREATED_CONFIGS });
  call('CreateTopics', 'a name that collides with it', create('one_with.dot-$v'));
  call(
    'CreateTopics',
    'an assignment',
    create('assigned-$v', -1, -1, {}, [
      [0, [1]],
      [1, [1]],
    ]),
    { except: CREATED_CONFIGS },
  );
  call('CreateTopics', 'an assignment and a number', create('none-$v', 2, -1, {}, [[0, [1]]]));
  call('CreateTopics', 'an assignment and replicas', create('none-$v', -1, 1, {}, [[0, [1]]]));
  call(
    'CreateTopics',
    'an assignment to a broker that is not there',
    create('none-$v', -1, -1, {}, [[0, [2]]]),
  );
  call(
    'CreateTopics',
    'an assignment to the same broker twice',
    create('none-$v', -1, -1, {}, [[0, [1, 1]]]),
  );
  call(
    'CreateTopics',
    'an assignment with a gap',
    create('none-$v', -1, -1, {}, [
      [0, [1]],
      [2, [1]],
    ]),
  );
  call(
    'CreateTopics',
    'an assignment that repeats a partition',
    create('none-$v', -1, -1, {}, [
      [0, [1]],
      [0, [1]],
    ]),
  );
  call('CreateTopics', 'an assignment of no replicas', create('none-$v', -1, -1, {}, [[0, []]]));
  call('CreateTopics', 'an unknown configuration', create('none-$v', 1, 1, { 'no.such.key': '1' }));
  call('CreateTopics', 'a configuration of null', create('none-$v', 1, 1, { 'retention.ms': null }));
  call('CreateTopics', 'a number that is none', create('none-$v', 1, 1, { 'retention.ms': 'soon' }));
  call('CreateTopics', 'a number that is too small', create('none-$v', 1, 1, { 'segment.bytes': '1' }));
  call('CreateTopics', 'a policy that does not exist', create('none-$v', 1, 1, { 'cleanup.policy': 'burn' }));
  call(
    'CreateTopics',
    'validate only',
    { ...create('none-$v'), validateOnly: true },
    { except: CREATED_CONFIGS },
  );
  call('CreateTopics', 'validate only, what exists', { ...create('one-$v'), validateOnly: true });
  call('CreateTopics', 'the same name twice', {
    topics: [topic('twice-$v'), topic('twice-$v')],
    timeoutMs: 1000,
  });
  call(
    'CreateTopics',
    'good and bad together',
    { topics: [topic('mixed-$v'), topic('one-$v'), topic('no/pe')], timeoutMs: 9000 },
    { except: CREATED_CONFIGS },
  );
  call('CreateTopics', 'nothing', { topics: [], timeoutMs: 1000 });
  call('CreateTopics', 'an internal topic of Kafka', create('__cluster_metadata'));

  call('Metadata', 'a topic', named('one-$v'));
  call('Metadata', 'several topics', named('three-$v', 'one-$v', 'assigned-$v'));
  call('Metadata', 'a topic that does not exist', named('never'), { versions: [4, 13] });
  call('Metadata', 'a name that cannot be', named('no/pe'), { versions: [4, 13] });
  call('Metadata', 'an empty name', named(''), { versions: [4, 13] });
  call('Metadata', 'no topics', { topics: [], allowAutoTopicCreation: false }, { versions: [4, 13] });
  call('Metadata', 'the same topic twice', named('one-$v', 'one-$v'), { versions: [4, 13] });
  call(
    'Metadata',
    'what may be done',
    { ...named('one-8'), includeTopicAuthorizedOperations: true },
    { versions: [8, 13] },
  );
  call(
    'Metadata',
    'what may be done with the cluster',
    { ...named('one-8'), includeClusterAuthorizedOperations: true },
    { versions: [8, 10] },
  );
  call(
    'Metadata',
    'by id',
    (a) => ({ topics: [{ topicId: a.topicId('three-7'), name: null }], allowAutoTopicCreation: false }),
    { versions: [12, 13] },
  );
  call(
    'Metadata',
    'by an id that does not exist',
    { topics: [{ topicId: UNKNOWN_UUID, name: null }], allowAutoTopicCreation: false },
    { versions: [12, 13] },
  );
  call('Metadata', 'by neither', named(null), {
    versions: [12, 13],
    differs: 'Kafka answers UNKNOWN_SERVER_ERROR',
  });
  call(
    'Metadata',
    'by id and name',
    (a) => ({ topics: [{ topicId: a.topicId('three-7'), name: 'three-7' }], allowAutoTopicCreation: false }),
    { versions: [10, 13] },
  );
  call(
    'Metadata',
    'creates a topic',
    { topics: [{ name: 'auto-$v', topicId: NO_UUID }], allowAutoTopicCreation: true },
    { versions: [4, 13] },
  );

  call('DescribeTopicPartitions', 'one topic', page(['three-7'], 100));
  call('DescribeTopicPartitions', 'in the order of names', page(['three-7', 'one-7', 'three-6'], 100));
  call('DescribeTopicPartitions', 'a page of two', page(['three-7', 'three-6'], 2));
  call('DescribeTopicPartitions', 'the page after it', page(['three-7', 'three-6'], 2, ['three-6', 2]));
  call('DescribeTopicPartitions', 'a page that ends with a topic', page(['three-7', 'three-6'], 3));
  call(
    'DescribeTopicPartitions',
    'a cursor beyond the last partition',
    page(['three-6', 'three-7'], 10, ['three-6', 9]),
  );
  call('DescribeTopicPartitions', 'a cursor beyond all topics', page(['three-6'], 10, ['zzz', 0]));
  call(
    'DescribeTopicPartitions',
    'a cursor at a topic that does not exist',
    page(['three-6', 'three-7'], 10, ['three-6x', 0]),
  );
  call('DescribeTopicPartitions', 'a negative partition', page(['three-6'], 10, ['three-6', -1]));
  call('DescribeTopicPartitions', 'a limit of zero', page(['three-6'], 0));
  call('DescribeTopicPartitions', 'a topic that does not exist', page(['never', 'three-6'], 100));
  call('DescribeTopicPartitions', 'a name that cannot be', page(['no/pe'], 100));
  call('DescribeTopicPartitions', 'the same topic twice', page(['three-6', 'three-6'], 100));

  call('CreatePartitions', 'one more', grown('one-$v', 2), { versions: [2, 3] });
  call('CreatePartitions', 'fewer', grown('three-$v', 1), { versions: [2, 3] });
  call('CreatePartitions', 'as many', grown('three-$v', 3), { versions: [2, 3] });
  call('CreatePartitions', 'none', grown('three-2', 0));
  call('CreatePartitions', 'minus one', grown('three-2', -1));
  call('CreatePartitions', 'of a topic that does not exist', grown('never', 2));
  call('CreatePartitions', 'with assignments', grown('three-$v', 5, [[1], [1]]), { versions: [2, 3] });
  call('CreatePartitions', 'too few assignments', grown('three-3', 7, [[1]]));
  call('CreatePartitions', 'an unknown broker', grown('three-3', 6, [[9]]));
  call('CreatePartitions', 'a broker twice', grown('three-3', 6, [[1, 1]]));
  call('CreatePartitions', 'validate only', grown('three-3', 50, null, { validateOnly: true }));
  call('CreatePartitions', 'the same topic twice', {
    topics: [
      { name: 'three-3', count: 9, assignments: null },
      { name: 'three-3', count: 10, assignments: null },
    ],
    timeoutMs: 1000,
  });
  call('CreatePartitions', 'nothing', { topics: [], timeoutMs: 1000 });
  call('Metadata', 'after partitions were added', named('one-2', 'three-2', 'three-3', 'one-3'), {
    versions: [1, 13],
  });

  call(
    'DescribeConfigs',
    'a topic as it was created',
    describeConfigs(ResourceType.TOPIC, 'three-7', ['retention.ms', 'cleanup.policy']),
  );

  call(
    'DeleteTopics',
    'a topic',
    { ...deleted('one-$v'), topics: [{ name: 'one-$v', topicId: NO_UUID }] },
    { versions: [6, 6] },
  );
  call('DeleteTopics', 'by name', { topicNames: ['one-$v'], timeoutMs: 9000 }, { versions: [2, 5] });
  call(
    'DeleteTopics',
    'what does not exist',
    { topicNames: ['never'], timeoutMs: 9000 },
    { versions: [1, 5] },
  );
  call(
    'DeleteTopics',
    'the same twice',
    { topicNames: ['three-4', 'three-4'], timeoutMs: 9000 },
    { versions: [1, 5] },
  );
  call('DeleteTopics', 'what does not exist, by name', deleted('never'), { versions: [6, 6] });
  call('DeleteTopics', 'by an id that does not exist', {
    topics: [{ name: null, topicId: UNKNOWN_UUID }],
    timeoutMs: 9000,
  });
  call('DeleteTopics', 'by neither', { topics: [{ name: null, topicId: NO_UUID }], timeoutMs: 9000 });
  call('DeleteTopics', 'by id', (a) => ({
    topics: [{ name: null, topicId: a.topicId('assigned-7') }],
    timeoutMs: 9000,
  }));
  call('DeleteTopics', 'by id and name', (a) => ({
    topics: [{ name: 'three-7', topicId: a.topicId('three-7') }],
    timeoutMs: 9000,
  }));
  call('DeleteTopics', 'by id and by name', (a) => ({
    topics: [
      { name: 'three-7', topicId: NO_UUID },
      { name: null, topicId: a.topicId('three-7') },
    ],
    timeoutMs: 9000,
  }));
  call('DeleteTopics', 'nothing', { topicNames: [], timeoutMs: 1000 });
  call('Metadata', 'after topics were deleted', named('one-5', 'one-6', 'assigned-7', 'three-7'), {
    versions: [4, 13],
  });
});

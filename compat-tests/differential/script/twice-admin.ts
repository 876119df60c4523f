import { type CaseOptions, chapter } from '../case.ts';
import { CREATED, create, DESCRIBED_ONCE, describeConfigs, ResourceType, replace } from './build.ts';

const NAME = 'redoubled';
const FIXED: CaseOptions = { differs: 'here the levels of features are fixed' };
const LEVELS: CaseOptions = {
  except: { fields: ['errorMessage'], because: 'each names the levels that it has' },
};
const SPACE = {
  fields: ['totalBytes', 'usableBytes'],
  because: 'others use the file system meanwhile',
} as const;

/** What administrators ask of which something is named twice, or nothing, or what cannot be. */
export const twiceAdmin = chapter('administration twice, none, and too much', (call) => {
  for (const [name, partitions] of [
    [NAME, 2],
    ['redoubled-b', 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });

  call(
    'DescribeProducers',
    'the same twice',
    {
      topics: [
        { name: NAME, partitionIndexes: [0, 0, 9, -1] },
        { name: NAME, partitionIndexes: [1] },
        { name: 'twice-never', partitionIndexes: [] },
      ],
    },
    DESCRIBED_ONCE,
  );
  call(
    'DescribeTransactions',
    'the same twice',
    {
      transactionalIds: ['twice-never', 'twice-never', '', ''],
    },
    DESCRIBED_ONCE,
  );
  call('ListTransactions', 'of filters twice', {
    stateFilters: ['Asleep', 'Asleep', 'Dead', 'ongoing', ''],
    producerIdFilters: [-1n, -1n],
  });
  call(
    'DescribeLogDirs',
    'topics twice',
    {
      topics: [
        { topic: NAME, partitions: [0, 0, 9] },
        { topic: NAME, partitions: [1] },
        { topic: 'redoubled-b', partitions: [] },
        { topic: 'twice-never', partitions: [-1] },
      ],
    },
    { except: SPACE },
  );
  const elect = (electionType: number, ...topicPartitions: [topic: string, ...partitions: number[]][]) => ({
    electionType,
    topicPartitions: topicPartitions.map(([name, ...partitions]) => ({ topic: name, partitions })),
    timeoutMs: 5_000,
  });
  call('ElectLeaders', 'twice', elect(0, [NAME, 0, 0, -1], ['twice-never', 0], [NAME, 1]), {
    versions: [1, 2],
  });
  call('ElectLeaders', 'of no partitions', elect(0, [NAME]), { versions: [1, 2] });
  call('ElectLeaders', 'of a negative kind', elect(-1, [NAME, 0]), { versions: [1, 2] });
  const reassign = (
    ...topics: [name: string, ...partitions: [index: number, replicas: number[] | null][]][]
  ) => ({
    timeoutMs: 5_000,
    topics: topics.map(([name, ...partitions]) => ({
      name,
      partitions: partitions.map(([partitionIndex, replicas]) => ({ partitionIndex, replicas })),
    })),
  });
  call(
    'AlterPartitionReassignments',
    'twice',
    reassign([NAME, [0, [1]], [0, [2]]], ['twice-never', [0, null]], [NAME, [-1, [1]]]),
  );
  call('AlterPartitionReassignments', 'of no partitions', reassign([NAME]));
  call('AlterPartitionReassignments', 'to a negative broker', reassign([NAME, [0, [-1]]]));
  call('ListPartitionReassignments', 'twice', {
    timeoutMs: 5_000,
    topics: [
      { name: NAME, partitionIndexes: [0, 0, 9] },
      { name: NAME, partitionIndexes: [1] },
      { name: 'twice-never', partitionIndexes: [-1] },
    ],
  });
  call('ListPartitionReassignments', 'of none', { timeoutMs: 5_000, topics: [] });
  call(
    'DescribeQuorum',
    'twice',
    {
      topics: [0, 0].map((partitionIndex) => ({
        topicName: '__cluster_metadata',
        partitions: [{ partitionIndex }],
      })),
    },
    {
      except: {
        fields: ['partitions', 'nodes', 'topics'],
        because: 'the metadata logs hold different records',
      },
    },
  );
  const update = (...features: [feature: string, level: number, type?: number][]) => ({
    timeoutMs: 5_000,
    featureUpdates: features.map(([feature, maxVersionLevel, upgradeType = 1]) => ({
      feature,
      maxVersionLevel,
      upgradeType,
      allowDowngrade: false,
    })),
    validateOnly: true,
  });
  call('UpdateFeatures', 'the same twice', update(['transaction.version', 2], ['transaction.version', 1]), {
    versions: [1, 2],
  });
  call('UpdateFeatures', 'good and bad', update(['transaction.version', 2], ['no.such', 1]), {
    versions: [1, 2],
  });
  call('UpdateFeatures', 'without a name', update(['', 1]), { versions: [1, 2] });
  call('UpdateFeatures', 'safely down, in trial', update(['transaction.version', 1, 2]), {
    versions: [1, 2],
    ...FIXED,
  });
  call('UpdateFeatures', 'unsafely down, in trial', update(['transaction.version', 1, 3]), {
    versions: [1, 2],
    ...FIXED,
  });
  for (const feature of ['group.version', 'share.version', 'streams.version'])
    for (const level of [0, 1, 2])
      call('UpdateFeatures', `${feature}, to ${level}, in trial`, update([feature, level]), {
        versions: [1, 2],
      });
  for (const feature of ['eligible.leader.replicas.version', 'kraft.version'])
    for (const [level, options] of [
      [0, {}],
      [1, FIXED],
      [2, LEVELS],
    ] as const)
      call('UpdateFeatures', `${feature}, to ${level}, in trial`, update([feature, level]), {
        versions: [1, 2],
        ...options,
      });

  const { TOPIC, BROKER, GROUP, CLIENT_METRICS } = ResourceType;
  call(
    'DescribeConfigs',
    'a resource and a key twice',
    {
      resources: [
        ...describeConfigs(TOPIC, NAME, ['retention.ms', 'retention.ms', 'no.such']).resources,
        ...describeConfigs(TOPIC, NAME, ['segment.ms']).resources,
        ...describeConfigs(TOPIC, 'twice-never').resources,
        ...describeConfigs(GROUP, 'twice-never', ['consumer.session.timeout.ms']).resources,
        ...describeConfigs(CLIENT_METRICS, 'twice-never', ['interval.ms']).resources,
        ...describeConfigs(BROKER, '1', []).resources.map((each) => ({
          ...each,
          configurationKeys: ['no.such'],
        })),
      ],
    },
    { except: { fields: ['documentation'], because: 'each describes its keys in its own words' } },
  );
  call(
    'AlterConfigs',
    'a resource and a key twice',
    {
      resources: [
        {
          resourceType: TOPIC,
          resourceName: NAME,
          configs: [
            { name: 'retention.ms', value: '1000' },
            { name: 'retention.ms', value: '2000' },
          ],
        },
        ...replace(TOPIC, 'redoubled-b', { 'retention.ms': '3' }).resources,
        ...replace(TOPIC, 'redoubled-b', { 'segment.ms': '4000' }).resources,
        ...replace(TOPIC, 'twice-never', {}).resources,
      ],
      validateOnly: true,
    },
    { differs: 'Kafka fails inside' },
  );
  call('ListConfigResources', 'types twice', { resourceTypes: [16, 16, 32] }, { versions: [1, 1] });
  call(
    'ListConfigResources',
    'types that do not exist',
    { resourceTypes: [16, 99, -1] },
    { versions: [1, 1] },
  );
});

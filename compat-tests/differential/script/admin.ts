import { chapter } from '../case.ts';
import { CREATED, create } from './build.ts';

const reassign = (name: string, partitionIndex: number, replicas: number[] | null) => ({
  timeoutMs: 5_000,
  topics: [{ name, partitions: [{ partitionIndex, replicas }] }],
});
const elect = (electionType: number, topic: string, partitions: number[]) => ({
  electionType,
  topicPartitions: [{ topic, partitions }],
  timeoutMs: 5_000,
});
const update = (feature: string, maxVersionLevel: number, upgradeType: number) => ({
  timeoutMs: 5_000,
  featureUpdates: [{ feature, maxVersionLevel, upgradeType, allowDowngrade: false }],
});
const older = (feature: string, maxVersionLevel: number, allowDowngrade: boolean) => ({
  timeoutMs: 5_000,
  featureUpdates: [{ feature, maxVersionLevel, upgradeType: 1, allowDowngrade }],
});
const acl = {
  resourceType: 2,
  resourceName: 'x',
  resourcePatternType: 3,
  principal: 'User:x',
  host: '*',
  operation: 3,
  permissionType: 3,
};
const aclFilter = {
  resourceTypeFilter: 2,
  resourceNameFilter: 'x',
  patternTypeFilter: 3,
  principalFilter: null,
  hostFilter: null,
  operation: 1,
  permissionType: 1,
};
const quorum = (topicName: string, ...indexes: number[]) => ({
  topics: [{ topicName, partitions: indexes.map((partitionIndex) => ({ partitionIndex })) }],
});
const LOG_POSITIONS = {
  fields: [
    'leaderEpoch',
    'highWatermark',
    'logEndOffset',
    'lastFetchTimestamp',
    'lastCaughtUpTimestamp',
    'listeners',
  ],
  because: 'the metadata logs hold different records, and the controller of Kafka has a listener of its own',
} as const;

const DIRECTORY = 'UVVVVVVVVVVVVVVVVVVVVQ';
const voter = (voterId: number) => ({
  clusterId: null,
  timeoutMs: 1_000,
  voterId,
  voterDirectoryId: DIRECTORY,
  listeners: [{ name: 'CONTROLLER', host: '127.0.0.1', port: 1 }],
});

export const admin = chapter('administration', (call) => {
  call('CreateTopics', 'a topic to administer', create('admin-topic', 2), {
    versions: [7, 7],
    except: CREATED,
  });

  call('DescribeCluster', 'brokers', {}, {});
  call('DescribeCluster', 'what may be done', { includeClusterAuthorizedOperations: true });
  call('DescribeCluster', 'controllers', { endpointType: 2 }, { versions: [1, 2] });
  call('DescribeCluster', 'something else', { endpointType: 9 }, { versions: [1, 2] });
  call('DescribeCluster', 'fenced brokers', { includeFencedBrokers: true }, { versions: [2, 2] });

  call('ElectLeaders', 'preferred', elect(0, 'admin-topic', [0, 1]));
  call('ElectLeaders', 'unclean', elect(1, 'admin-topic', [0]));
  call('ElectLeaders', 'a partition that does not exist', elect(0, 'admin-topic', [7]));
  call('ElectLeaders', 'a topic that does not exist', elect(0, 'never', [0]));
  call('ElectLeaders', 'an unknown kind', elect(5, 'admin-topic', [0]));
  call('ElectLeaders', 'nothing', { electionType: 0, topicPartitions: [], timeoutMs: 5_000 });

  call('AlterPartitionReassignments', 'to where it is', reassign('admin-topic', 0, [1]));
  call('AlterPartitionReassignments', 'to a broker that is not there', reassign('admin-topic', 0, [2]));
  call('AlterPartitionReassignments', 'to a second one', reassign('admin-topic', 0, [1, 2]));
  call('AlterPartitionReassignments', 'to the same twice', reassign('admin-topic', 0, [1, 1]));
  call('AlterPartitionReassignments', 'to none', reassign('admin-topic', 0, []));
  call('AlterPartitionReassignments', 'cancelled', reassign('admin-topic', 0, null));
  call('AlterPartitionReassignments', 'a partition that does not exist', reassign('admin-topic', 7, [1]));
  call('AlterPartitionReassignments', 'a topic that does not exist', reassign('never', 0, [1]));
  call(
    'AlterPartitionReassignments',
    'as many replicas',
    { ...reassign('admin-topic', 0, [1]), allowReplicationFactorChange: false },
    { versions: [1, 1] },
  );
  call('AlterPartitionReassignments', 'nothing', { timeoutMs: 5_000, topics: [] });
  call('ListPartitionReassignments', 'all', { timeoutMs: 5_000, topics: null });
  call('ListPartitionReassignments', 'of a partition', {
    timeoutMs: 5_000,
    topics: [{ name: 'admin-topic', partitionIndexes: [0] }],
  });
  call('ListPartitionReassignments', 'of a topic that does not exist', {
    timeoutMs: 5_000,
    topics: [{ name: 'never', partitionIndexes: [0] }],
  });

  call('DescribeQuorum', 'the metadata', quorum('__cluster_metadata', 0), { except: LOG_POSITIONS });
  call('DescribeQuorum', 'a partition that does not exist', quorum('__cluster_metadata', 1));
  call('DescribeQuorum', 'a topic', quorum('admin-topic', 0));
  call('DescribeQuorum', 'two partitions', quorum('__cluster_metadata', 0, 1));
  call('DescribeQuorum', 'nothing', { topics: [] });

  call('AddRaftVoter', 'to a quorum that is fixed', voter(3));
  call('AddRaftVoter', 'of another cluster', { ...voter(3), clusterId: 'BBBBBBBBBBBBBBBBBBBBBQ' });
  call('RemoveRaftVoter', 'from a quorum that is fixed', {
    clusterId: null,
    voterId: 1,
    voterDirectoryId: DIRECTORY,
  });
  call('RemoveRaftVoter', 'of another cluster', {
    clusterId: 'BBBBBBBBBBBBBBBBBBBBBQ',
    voterId: 1,
    voterDirectoryId: DIRECTORY,
  });

  call('UpdateFeatures', 'as it is', update('transaction.version', 2, 1), { versions: [1, 2] });
  call('UpdateFeatures', 'metadata as it is', update('metadata.version', 30, 1), { versions: [1, 2] });
  call('UpdateFeatures', 'down, without saying so', update('transaction.version', 1, 1), {
    versions: [1, 2],
  });
  call('UpdateFeatures', 'beyond what there is', update('transaction.version', 99, 1), { versions: [1, 2] });
  call('UpdateFeatures', 'below zero', update('transaction.version', -1, 1), { versions: [1, 2] });
  call('UpdateFeatures', 'an unknown kind', update('transaction.version', 2, 9), { versions: [1, 2] });
  call('UpdateFeatures', 'an unknown feature', update('no.such.feature', 1, 1), { versions: [1, 2] });
  call('UpdateFeatures', 'the older way, as it is', older('transaction.version', 2, false), {
    versions: [0, 0],
  });
  call('UpdateFeatures', 'the older way, down', older('transaction.version', 1, false), { versions: [0, 0] });
  call('UpdateFeatures', 'nothing', { featureUpdates: [], timeoutMs: 5_000 });
  call('UnregisterBroker', 'one that is not there', { brokerId: 77 });

  call('DescribeAcls', 'all', aclFilter);
  call('CreateAcls', 'one', { creations: [acl] });
  call('CreateAcls', 'none', { creations: [] });
  call('DeleteAcls', 'all', { filters: [aclFilter, aclFilter] });
  call('DescribeUserScramCredentials', 'of all', { users: null });
  call('DescribeUserScramCredentials', 'of nobody', { users: [] });
  call('DescribeUserScramCredentials', 'of one', { users: [{ name: 'alice' }] });
  call('DescribeUserScramCredentials', 'of one twice', { users: [{ name: 'alice' }, { name: 'alice' }] });
  const upsertion = (name: string, more: object = {}) => ({
    ...{ name, mechanism: 1, iterations: 4096 },
    ...{ salt: Buffer.from('salt'), saltedPassword: Buffer.from('salted password'), ...more },
  });
  const deletion = (name: string, mechanism = 1) => ({ name, mechanism });
  const scram = (name: string, deletions: object[], upsertions: object[]) =>
    call('AlterUserScramCredentials', name, { deletions, upsertions });
  scram('nothing', [], []);
  scram(
    'of some users',
    [],
    [
      upsertion('alice'),
      upsertion('bob', { mechanism: 2, iterations: 16384 }),
      upsertion('few', { iterations: 4095 }),
      upsertion('many', { iterations: 16385 }),
      upsertion('unknown', { mechanism: 0 }),
      upsertion('later', { mechanism: 3 }),
      upsertion(''),
      upsertion('unsalted', { salt: Buffer.alloc(0) }),
      upsertion('empty', { saltedPassword: Buffer.alloc(0) }),
    ],
  );
  scram('of a user twice', [], [upsertion('carol'), upsertion('carol', { mechanism: 2 })]);
  scram('of a user, another mechanism', [], [upsertion('alice', { mechanism: 2, iterations: 5000 })]);
  scram('of users, deleted and set', [deletion('alice')], [upsertion('alice'), upsertion('dave')]);
  scram('of users that have none', [deletion('erin'), deletion('bob', 1), deletion('bob', 9)], []);
  call('DescribeUserScramCredentials', 'of all that there are', { users: null });
  call('DescribeUserScramCredentials', 'of those that there are, by no name', { users: [] });
  call('DescribeUserScramCredentials', 'of some', {
    users: [{ name: 'alice' }, { name: 'bob' }, { name: 'erin' }, { name: 'bob' }],
  });
  scram('to be deleted', [deletion('alice'), deletion('bob', 2)], []);
  scram('to be deleted again', [deletion('alice'), deletion('')], []);
  call('DescribeUserScramCredentials', 'of what is left', { users: null });
  call('SaslHandshake', 'on a plain listener', { mechanism: 'PLAIN' });
  call('SaslAuthenticate', 'on a plain listener', { authBytes: Buffer.from('x') });
  call('CreateDelegationToken', 'on a plain listener', { renewers: [], maxLifetimeMs: -1n });
  call('RenewDelegationToken', 'on a plain listener', { hmac: Buffer.from('x'), renewPeriodMs: -1n });
  call('ExpireDelegationToken', 'on a plain listener', { hmac: Buffer.from('x'), expiryTimePeriodMs: -1n });
  call('DescribeDelegationToken', 'on a plain listener', { owners: null });

  call(
    'DescribeLogDirs',
    'a topic',
    { topics: [{ topic: 'admin-topic', partitions: [0, 1] }] },
    {
      except: {
        fields: ['totalBytes', 'usableBytes'],
        because: 'others use the file system meanwhile',
      },
    },
  );
  call(
    'DescribeLogDirs',
    'a topic that does not exist',
    { topics: [{ topic: 'never', partitions: [0] }] },
    {
      except: {
        fields: ['totalBytes', 'usableBytes'],
        because: 'others use the file system meanwhile',
      },
    },
  );
  call(
    'DescribeLogDirs',
    'nothing',
    { topics: [] },
    {
      except: {
        fields: ['totalBytes', 'usableBytes'],
        because: 'others use the file system meanwhile',
      },
    },
  );
});

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import {
  MemoryMetadataLog,
  newTopic,
  startBroker,
  type TestBroker,
} from '../../broker/metadata/metadata.fixture.ts';
import { ClientQuotas } from '../../broker/quotas/client-quotas.ts';
import type { MutationQuota } from '../../broker/quotas/mutation-quota.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { type MetadataDeps, metadataHandler } from './03-metadata.ts';
import { createTopicsHandler } from './19-create-topics.ts';
import { deleteTopicsHandler } from './20-delete-topics.ts';
import { createPartitionsHandler } from './37-create-partitions.ts';
import { listPartitionReassignmentsHandler } from './46-list-partition-reassignments.ts';
import { describeClusterHandler } from './60-describe-cluster.ts';
import { describeTopicPartitionsHandler } from './75-describe-topic-partitions.ts';
import { CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS } from './authorized-operations.ts';
import { call, versionsOf } from './handler.fixture.ts';

let broker: TestBroker;
let deps: MetadataDeps & { quota: MutationQuota };
let offline: string | null;

async function start(...overrides: string[]): Promise<void> {
  broker = await startBroker(new MemoryMetadataLog(), { overrides });
  offline = null;
  deps = {
    ...broker,
    quota: new ClientQuotas(broker.metadata.config, new VirtualClock()).mutations,
    advertised: (listener) => ({ host: `${listener.toLowerCase()}.example`, port: 19092 }),
    isOffline: ({ name }, index) => offline === `${name}-${index}`,
  };
}

const byName = (name: string) => ({ name, topicId: ZERO_UUID });

describe('Metadata', () => {
  beforeEach(() => start());

  it('describes the broker and topics in every version', async () => {
    await broker.topics.createTopics([newTopic('a', 3), newTopic('b')]);
    const handler = metadataHandler(deps);
    for (const version of versionsOf(handler)) {
      const answer = await call(handler, version, { topics: [byName('a')], allowAutoTopicCreation: true });
      assert.deepEqual(
        answer.brokers.map(({ nodeId, host, port }) => ({ nodeId, host, port })),
        [{ nodeId: 1, host: 'plaintext.example', port: 19092 }],
      );
      const [topic] = answer.topics;
      assert.equal(topic?.name, 'a');
      assert.equal(topic.errorCode, 0);
      assert.deepEqual(
        topic.partitions.map(({ partitionIndex, leaderId, isrNodes }) => ({
          partitionIndex,
          leaderId,
          isrNodes,
        })),
        [0, 1, 2].map((partitionIndex) => ({ partitionIndex, leaderId: 1, isrNodes: [1] })),
      );
      if (version >= 2) assert.equal(answer.clusterId, broker.metadata.clusterId);
      if (version >= 1) assert.equal(answer.controllerId, 1);
      if (version >= 7) assert.equal(topic.partitions[0]?.leaderEpoch, 0);
      if (version >= 10) assert.equal(topic.topicId, broker.metadata.topicByName('a')?.id);
    }
  });

  it('takes null for all topics, and an empty list for all only in version 0', async () => {
    await broker.topics.createTopics([newTopic('a'), newTopic('b')]);
    const handler = metadataHandler(deps);
    for (const version of versionsOf(handler)) {
      const empty = await call(handler, version, { topics: [] });
      assert.equal(empty.topics.length, version === 0 ? 2 : 0);
      if (version === 0) continue;
      const all = await call(handler, version, { topics: null });
      assert.deepEqual(
        all.topics.map(({ name }) => name),
        ['a', 'b'],
      );
    }
  });

  it('creates topics when request and broker allow it, and shows them from the next request on', async () => {
    const handler = metadataHandler(deps);
    const refused = await call(handler, 4, { topics: [byName('new')], allowAutoTopicCreation: false });
    assert.equal(refused.topics[0]?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    const request = {
      topics: [byName('new'), byName('new'), byName('not valid'), byName('__consumer_offsets')],
      allowAutoTopicCreation: true,
    };
    const described = async () =>
      (await call(handler, 12, request)).topics.map((topic) => [
        topic.name,
        topic.errorCode,
        topic.isInternal,
        topic.partitions.length,
      ]);
    assert.deepEqual(await described(), [
      ['new', ErrorCode.LEADER_NOT_AVAILABLE, false, 0],
      ['not valid', ErrorCode.INVALID_TOPIC_EXCEPTION, false, 0],
      ['__consumer_offsets', ErrorCode.LEADER_NOT_AVAILABLE, true, 0],
    ]);
    assert.deepEqual(await described(), [
      ['new', 0, false, 1],
      ['not valid', ErrorCode.INVALID_TOPIC_EXCEPTION, false, 0],
      ['__consumer_offsets', 0, true, 8],
    ]);
  });

  it('counts partitions that it creates in the quota of whoever asked', async () => {
    deps.quota.update([
      { entity: new Map([['client-id', 'test']]), values: new Map([['controller_mutation_rate', 0.001]]) },
    ]);
    const handler = metadataHandler(deps);
    const request = { topics: [byName('new')], allowAutoTopicCreation: true };
    const created = await call(handler, 12, request);
    assert.equal(created.topics[0]?.errorCode, ErrorCode.LEADER_NOT_AVAILABLE);
    assert.ok(created.throttleTimeMs > 0);
    assert.equal((await call(handler, 12, { topics: [byName('new')] })).throttleTimeMs, 0);
  });

  it('does not create topics where the broker forbids it', async () => {
    await start('auto.create.topics.enable=false');
    const answer = await call(metadataHandler(deps), 0, { topics: [byName('new'), byName('..')] });
    assert.deepEqual(
      answer.topics.map(({ errorCode }) => errorCode),
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.INVALID_TOPIC_EXCEPTION],
    );
  });

  it('finds topics by id from version 12 on, and refuses ids before', async () => {
    await broker.topics.createTopics([newTopic('a')]);
    const { id } = broker.metadata.topicByName('a')!;
    const handler = metadataHandler(deps);
    const unknown = 'xxxxxxxxxxxxxxxxxxxxxw';
    for (const version of [12, 13]) {
      const answer = await call(handler, version, {
        topics: [
          { name: null, topicId: id },
          { name: null, topicId: unknown },
        ],
      });
      assert.deepEqual(
        answer.topics.map(({ name, topicId, errorCode }) => [name, topicId, errorCode]),
        [
          ['a', id, 0],
          [null, unknown, ErrorCode.UNKNOWN_TOPIC_ID],
        ],
      );
    }
    const refused = await call(handler, 11, { topics: [{ name: 'a', topicId: id }] });
    assert.equal(refused.topics[0]?.errorCode, ErrorCode.INVALID_REQUEST);
  });

  it('says what may be done when asked', async () => {
    await broker.topics.createTopics([newTopic('a')]);
    const handler = metadataHandler(deps);
    for (const version of [8, 9, 10, 11, 13]) {
      const answer = await call(handler, version, {
        topics: [byName('a')],
        includeTopicAuthorizedOperations: true,
        includeClusterAuthorizedOperations: version <= 10,
      });
      assert.equal(answer.topics[0]?.topicAuthorizedOperations, TOPIC_OPERATIONS);
      if (version <= 10) assert.equal(answer.clusterAuthorizedOperations, CLUSTER_OPERATIONS);
    }
    const silent = await call(handler, 10, { topics: [byName('a')] });
    assert.equal(silent.topics[0]?.topicAuthorizedOperations, NO_OPERATIONS);
    assert.equal(CLUSTER_OPERATIONS, 8096);
    assert.equal(TOPIC_OPERATIONS, 3576);
  });

  it('shows a partition whose directory failed as offline', async () => {
    await broker.topics.createTopics([newTopic('a', 2)]);
    offline = 'a-1';
    const answer = await call(metadataHandler(deps), 9, { topics: [byName('a')] });
    assert.deepEqual(
      answer.topics[0]?.partitions.map((p) => [p.errorCode, p.leaderId, p.offlineReplicas]),
      [
        [0, 1, []],
        [ErrorCode.LEADER_NOT_AVAILABLE, -1, [1]],
      ],
    );
  });
});

describe('CreateTopics', () => {
  beforeEach(() => start('num.partitions=4'));

  it('creates with defaults, and tells partitions, id and configuration', async () => {
    const handler = createTopicsHandler(deps);
    for (const version of versionsOf(handler)) {
      const name = `v${version}`;
      const topic = {
        ...newTopic(name, version < 4 ? 4 : -1, { 'retention.ms': '60000' }),
        replicationFactor: 1,
      };
      const answer = await call(handler, version, { topics: [topic] });
      const [result] = answer.topics;
      assert.equal(result?.errorCode, 0);
      assert.equal(broker.metadata.topicByName(name)?.partitions.length, 4);
      assert.equal(broker.metadata.topicConfig(name).get('retention.ms'), 60000);
      if (version >= 5) {
        assert.equal(result.numPartitions, 4);
        assert.equal(result.replicationFactor, 1);
        const retention = result.configs?.find((config) => config.name === 'retention.ms');
        assert.deepEqual(retention, {
          name: 'retention.ms',
          value: '60000',
          readOnly: false,
          configSource: 1,
          isSensitive: false,
        });
      }
      if (version >= 7) assert.equal(result.topicId, broker.metadata.topicByName(name)?.id);
    }
  });

  it('refuses what Kafka refuses, with its messages', async () => {
    await broker.topics.createTopics([newTopic('exists'), newTopic('a.b')]);
    const handler = createTopicsHandler(deps);
    const manual = (assignments: [number, number[]][], numPartitions = -1, replicationFactor = -1) => ({
      numPartitions,
      replicationFactor,
      assignments: assignments.map(([partitionIndex, brokerIds]) => ({ partitionIndex, brokerIds })),
    });
    const cases: [object, number, RegExp][] = [
      [{ name: 'exists' }, 36, /^Topic 'exists' already exists\.$/],
      [{ name: 'a_b' }, 17, /^Topic 'a_b' collides with existing topic: a\.b$/],
      [{ name: 'x y' }, 17, /^Topic name is invalid: 'x y' contains one or more characters other than/],
      [{ name: 'x'.repeat(250) }, 17, /longer than the max allowed length 249$/],
      [{ name: '' }, 17, /the empty string is not allowed/],
      [{ name: '__cluster_metadata' }, 42, /prohibited/],
      [
        { replicationFactor: 3 },
        38,
        /^Unable to replicate the partition 3 time\(s\): The target replication factor/,
      ],
      [{ replicationFactor: 0 }, 38, /^Replication factor must be larger than 0, or -1/],
      [{ numPartitions: 0 }, 37, /^Number of partitions was set to an invalid non-positive value\.$/],
      [{ numPartitions: 10_001 }, 44, /Excessively large number/],
      [
        { configs: [{ name: 'retention.ms', value: null }] },
        40,
        /^Null value not supported for topic configs: ret/,
      ],
      [
        { configs: [{ name: 'retention.ms', value: '-2' }] },
        40,
        /^Invalid value -2 for configuration retention\.ms: /,
      ],
      [
        { configs: [{ name: 'retention.m', value: '1' }] },
        40,
        /^Unknown topic config name: retention\.m \(did you/,
      ],
      [manual([[0, [1]]], 1), 42, /numPartitions was not set to -1/],
      [manual([[0, [1]]], -1, 1), 42, /replication factor was not set to -1/],
      [manual([[0, [5]]]), 39, /includes broker 5, but no such broker is registered\.$/],
      [manual([[0, [1, 1]]]), 39, /includes the broker 1 more than once\.$/],
      [manual([[0, []]]), 39, /includes an empty replica list\.$/],
      [manual([[1, [1]]]), 39, /consecutive 0-based integer sequence$/],
    ];
    for (const [fields, code, message] of cases) {
      const topic = { ...newTopic('fresh'), ...fields };
      const { topics } = await call(handler, 7, { topics: [topic] });
      assert.equal(topics[0]?.errorCode, code, JSON.stringify(fields));
      assert.match(topics[0]?.errorMessage ?? '', message);
      assert.equal(broker.metadata.topicByName('fresh'), undefined);
    }
  });

  it('answers duplicates once, and creates the others', async () => {
    const topics = [newTopic('twice'), newTopic('twice'), newTopic('one.x'), newTopic('one_x')];
    const answer = await call(createTopicsHandler(deps), 6, { topics });
    assert.deepEqual(
      answer.topics.map(({ name, errorCode, errorMessage }) => [name, errorCode, errorMessage]),
      [
        ['twice', ErrorCode.INVALID_REQUEST, 'Duplicate topic name.'],
        ['one.x', 0, null],
        ['one_x', ErrorCode.INVALID_TOPIC_EXCEPTION, "Topic 'one_x' collides with existing topic: one.x"],
      ],
    );
  });

  it('changes nothing when it only validates', async () => {
    const answer = await call(createTopicsHandler(deps), 7, {
      topics: [newTopic('a', 2)],
      validateOnly: true,
    });
    assert.equal(answer.topics[0]?.errorCode, 0);
    assert.equal(answer.topics[0]?.numPartitions, 2);
    assert.equal(broker.metadata.topicByName('a'), undefined);
  });

  it('takes manual assignments', async () => {
    const assignments = [1, 0].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }));
    const topic = { ...newTopic('a', -1), replicationFactor: -1, assignments };
    const answer = await call(createTopicsHandler(deps), 7, { topics: [topic] });
    assert.equal(answer.topics[0]?.numPartitions, 2);
  });
});

describe('DeleteTopics', () => {
  beforeEach(() => start());

  it('deletes by name in every version', async () => {
    const handler = deleteTopicsHandler(deps);
    for (const version of versionsOf(handler)) {
      await broker.topics.createTopics([newTopic('a')]);
      const request = version >= 6 ? { topics: ['a', 'b'].map(byName) } : { topicNames: ['a', 'b'] };
      const { responses } = await call(handler, version, request);
      const codes = new Map(responses.map(({ name, errorCode }) => [name, errorCode]));
      assert.equal(codes.get('a'), 0);
      assert.equal(codes.get('b'), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      assert.equal(broker.metadata.topicByName('a'), undefined);
    }
  });

  it('deletes by id, and refuses mixtures', async () => {
    await broker.topics.createTopics([newTopic('a'), newTopic('b')]);
    const id = broker.metadata.topicByName('a')!.id;
    const unknown = 'xxxxxxxxxxxxxxxxxxxxxw';
    const { responses } = await call(deleteTopicsHandler(deps), 6, {
      topics: [
        { name: null, topicId: id },
        { name: 'a', topicId: ZERO_UUID },
        { name: 'b', topicId: broker.metadata.topicByName('b')!.id },
        { name: null, topicId: unknown },
        { name: null, topicId: ZERO_UUID },
      ],
    });
    assert.deepEqual(
      responses.map(({ name, errorCode }) => [name, errorCode]),
      [
        ['b', ErrorCode.INVALID_REQUEST],
        [null, ErrorCode.UNKNOWN_TOPIC_ID],
        [null, ErrorCode.INVALID_REQUEST],
        ['a', ErrorCode.INVALID_REQUEST],
      ],
    );
  });

  it('is switched off by delete.topic.enable', async () => {
    await start('delete.topic.enable=false');
    await broker.topics.createTopics([newTopic('a')]);
    const { responses } = await call(deleteTopicsHandler(deps), 6, { topics: [byName('a')] });
    assert.equal(responses[0]?.errorCode, ErrorCode.TOPIC_DELETION_DISABLED);
  });
});

describe('CreatePartitions', () => {
  beforeEach(() => start());

  it('answers every topic in every version', async () => {
    await broker.topics.createTopics([newTopic('a'), newTopic('b', 3)]);
    const handler = createPartitionsHandler(deps);
    for (const version of versionsOf(handler)) {
      const more = broker.metadata.topicByName('a')!.partitions.length + 1;
      const { results } = await call(handler, version, {
        topics: [
          { name: 'a', count: more, assignments: null },
          { name: 'b', count: 2, assignments: null },
          { name: 'missing', count: 2, assignments: null },
        ],
      });
      assert.deepEqual(
        results.map(({ name, errorCode }) => [name, errorCode]),
        [
          ['a', 0],
          ['b', ErrorCode.INVALID_PARTITIONS],
          ['missing', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
        ],
      );
      assert.equal(
        results[1]?.errorMessage,
        'The topic b currently has 3 partition(s); 2 would not be an increase.',
      );
      assert.equal(broker.metadata.topicByName('a')?.partitions.length, more);
    }
  });

  it('validates only when asked, and checks assignments', async () => {
    await broker.topics.createTopics([newTopic('a')]);
    const handler = createPartitionsHandler(deps);
    const request = { topics: [{ name: 'a', count: 3, assignments: [{ brokerIds: [1] }] }] };
    const short = await call(handler, 3, request);
    assert.match(
      short.results[0]?.errorMessage ?? '',
      /^Attempted to add 2 additional partition\(s\), but only 1/,
    );
    await call(handler, 3, { topics: [{ name: 'a', count: 3, assignments: null }], validateOnly: true });
    assert.equal(broker.metadata.topicByName('a')?.partitions.length, 1);
  });
});

describe('DescribeTopicPartitions', () => {
  beforeEach(async () => {
    await start('max.request.partition.size.limit=4');
    await broker.topics.createTopics([newTopic('a', 3), newTopic('b', 3), newTopic('c', 1)]);
  });

  it('pages through all topics and never sends null lists', async () => {
    const handler = describeTopicPartitionsHandler(deps);
    const seen: string[] = [];
    let cursor: { topicName: string; partitionIndex: number } | null = null;
    let pages = 0;
    do {
      const answer: Awaited<ReturnType<typeof handler.handle>> = await call(handler, 0, { cursor });
      for (const topic of answer!.topics) {
        for (const partition of topic.partitions) {
          seen.push(`${topic.name}-${partition.partitionIndex}`);
          assert.deepEqual(partition.eligibleLeaderReplicas, []);
          assert.deepEqual(partition.lastKnownElr, []);
        }
      }
      cursor = answer!.nextCursor;
      pages++;
    } while (cursor !== null);
    assert.deepEqual(seen, ['a-0', 'a-1', 'a-2', 'b-0', 'b-1', 'b-2', 'c-0']);
    assert.equal(pages, 2);
  });

  it('names topics that do not exist', async () => {
    const answer = await call(describeTopicPartitionsHandler(deps), 0, {
      topics: [{ name: 'zzz' }, { name: 'c' }, { name: 'no such' }],
    });
    assert.deepEqual(
      answer.topics.map(({ name, errorCode }) => [name, errorCode]),
      [
        ['c', 0],
        ['no such', ErrorCode.INVALID_TOPIC_EXCEPTION],
        ['zzz', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      ],
    );
  });
});

describe('DescribeCluster and ListPartitionReassignments', () => {
  beforeEach(() => start('broker.rack=r1'));

  it('describe one broker in every version', async () => {
    const handler = describeClusterHandler(deps);
    for (const version of versionsOf(handler)) {
      const answer = await call(handler, version, { includeClusterAuthorizedOperations: true });
      assert.equal(answer.clusterId, broker.metadata.clusterId);
      assert.deepEqual(answer.brokers, [
        { brokerId: 1, host: 'plaintext.example', port: 19092, rack: 'r1', isFenced: false },
      ]);
      assert.equal(answer.clusterAuthorizedOperations, CLUSTER_OPERATIONS);
    }
    const controllers = await call(handler, 1, { endpointType: 2 });
    assert.equal(controllers.errorCode, ErrorCode.MISMATCHED_ENDPOINT_TYPE);
    const none = await call(listPartitionReassignmentsHandler(), 0, { topics: null });
    assert.deepEqual([none.errorCode, none.errorMessage, none.topics], [0, null, []]);
  });
});

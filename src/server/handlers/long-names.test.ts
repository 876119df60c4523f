import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { AlterOperation } from '../../broker/configs/alteration.ts';
import { ConfigManager } from '../../broker/configs/config-manager.ts';
import { READER, startStreams } from '../../broker/groups/streams/streams.fixture.ts';
import { MemoryMetadataLog, newTopic, startBroker } from '../../broker/metadata/metadata.fixture.ts';
import { ResourceType } from '../../broker/metadata/state.ts';
import { ClientQuotas } from '../../broker/quotas/client-quotas.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { describeGroupsHandler } from './15-describe-groups.ts';
import { createTopicsHandler } from './19-create-topics.ts';
import { electLeadersHandler } from './43-elect-leaders.ts';
import { incrementalAlterConfigsHandler } from './44-incremental-alter-configs.ts';
import { alterPartitionReassignmentsHandler } from './45-alter-partition-reassignments.ts';
import { updateFeaturesHandler } from './57-update-features.ts';
import { describeProducersHandler } from './61-describe-producers.ts';
import { consumerGroupDescribeHandler } from './69-consumer-group-describe.ts';
import { shareGroupDescribeHandler } from './77-share-group-describe.ts';
import { addRaftVoterHandler } from './80-add-raft-voter.ts';
import { removeRaftVoterHandler } from './81-remove-raft-voter.ts';
import { streamsGroupHeartbeatHandler } from './88-streams-group-heartbeat.ts';
import { streamsGroupDescribeHandler } from './89-streams-group-describe.ts';
import { call } from './handler.fixture.ts';

/** A message that names it is longer than a string of the protocol may be. */
const LONG = 'x'.repeat(32_767);

describe('errors that name something very long', () => {
  it('are told', async () => {
    const { metadata, topics } = await startBroker(new MemoryMetadataLog());
    const quota = new ClientQuotas(metadata.config, new VirtualClock()).mutations;
    const created = await call(createTopicsHandler({ metadata, topics, quota }), 7, {
      topics: [newTopic(LONG)],
    });
    assert.equal(created.topics[0]!.errorCode, ErrorCode.INVALID_TOPIC_EXCEPTION);
    assert.match(created.topics[0]!.errorMessage!, /^Topic name is invalid: the length of 'x/);

    await topics.createTopics([newTopic('t')]);
    const configs = new ConfigManager(metadata);
    const altered = await call(incrementalAlterConfigsHandler({ configs }), 1, {
      resources: [
        {
          resourceType: ResourceType.TOPIC,
          resourceName: 't',
          configs: [{ name: 'retention.ms', configOperation: AlterOperation.SET, value: LONG }],
        },
      ],
    });
    assert.equal(altered.responses[0]!.errorCode, ErrorCode.INVALID_CONFIG);

    const partition = { topic: LONG, partitions: [0] };
    const elected = await call(electLeadersHandler({ metadata }), 2, { topicPartitions: [partition] });
    const [outcome] = elected.replicaElectionResults[0]!.partitionResult;
    assert.equal(outcome!.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);

    const reassigned = await call(alterPartitionReassignmentsHandler({ metadata }), 1, {
      topics: [{ name: LONG, partitions: [{ partitionIndex: 0, replicas: [1] }] }],
    });
    const { errorCode } = reassigned.responses[0]!.partitions[0]!;
    assert.equal(errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);

    const update = { feature: LONG, maxVersionLevel: 1, allowDowngrade: false, upgradeType: 1 };
    const updated = await call(updateFeaturesHandler({ metadata }), 1, { featureUpdates: [update] });
    assert.equal(updated.errorCode, ErrorCode.INVALID_UPDATE_VERSION);

    const partitions = {} as Parameters<typeof describeProducersHandler>[0]['partitions'];
    const producers = await call(describeProducersHandler({ partitions }), 0, {
      topics: [{ name: LONG, partitionIndexes: [0] }],
    });
    assert.equal(producers.topics[0]!.partitions[0]!.errorCode, ErrorCode.INVALID_TOPIC_EXCEPTION);

    const voters = [
      await call(addRaftVoterHandler({ metadata }), 0, { clusterId: LONG }),
      await call(removeRaftVoterHandler({ metadata }), 0, { clusterId: LONG }),
    ];
    for (const answer of voters) assert.equal(answer.errorCode, ErrorCode.INCONSISTENT_CLUSTER_ID);
  });

  it('are told of each of many partitions in a few words', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const partitions = Array.from({ length: 100 }, (_, index) => index);
    const elected = await call(electLeadersHandler({ metadata }), 2, {
      topicPartitions: [{ topic: LONG, partitions }],
    });
    const reassigned = await call(alterPartitionReassignmentsHandler({ metadata }), 1, {
      topics: [
        {
          name: LONG,
          partitions: partitions.map((partitionIndex) => ({ partitionIndex, replicas: [1] })),
        },
      ],
    });
    const broker = {} as Parameters<typeof describeProducersHandler>[0];
    const producers = await call(describeProducersHandler(broker), 0, {
      topics: [{ name: LONG, partitionIndexes: partitions }],
    });
    const answers = [
      elected.replicaElectionResults[0]!.partitionResult,
      reassigned.responses[0]!.partitions,
      producers.topics[0]!.partitions,
    ];
    for (const told of answers) {
      assert.equal(told.length, partitions.length);
      for (const { errorMessage } of told)
        assert.ok(errorMessage!.length < 400, String(errorMessage!.length));
    }
  });

  it('are told of groups that are not there', async () => {
    const deps = await startStreams();
    const groupIds = [LONG];
    const described = [
      await call(describeGroupsHandler(deps), 6, { groups: groupIds }),
      await call(consumerGroupDescribeHandler(deps), 1, { groupIds }),
      await call(shareGroupDescribeHandler(deps), 1, { groupIds }),
      await call(streamsGroupDescribeHandler(deps), 0, { groupIds }),
    ];
    for (const { groups } of described) assert.equal(groups[0]!.errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
  });

  it('are told to streams applications', async () => {
    const heartbeat = streamsGroupHeartbeatHandler(await startStreams());
    const member = { groupId: 'g', memberId: LONG };
    const { memberEpoch } = await call(heartbeat, 0, {
      ...{ ...member, rebalanceTimeoutMs: 30_000, processId: 'p', topology: READER },
      ...{ activeTasks: [], standbyTasks: [], warmupTasks: [] },
    });
    await call(heartbeat, 0, { ...member, memberEpoch, shutdownApplication: true });
    const { status } = await call(heartbeat, 0, { ...member, memberEpoch });
    assert.match(status![0]!.statusDetail, /^Streams group member x/);
  });
});

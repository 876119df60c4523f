import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { createConsumerGroupHeartbeatRequest } from '../../protocol/generated/consumer-group-heartbeat-request.ts';
import {
  createOffsetCommitRequest,
  type OffsetCommitRequest,
} from '../../protocol/generated/offset-commit-request.ts';
import { createOffsetDeleteRequest } from '../../protocol/generated/offset-delete-request.ts';
import { createOffsetFetchRequest } from '../../protocol/generated/offset-fetch-request.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import {
  createGroups,
  GROUP,
  heartbeat,
  join,
  stableGroup,
  startGroups,
  stateOf,
  type TestBroker,
  TestTopics,
  topicId,
} from './coordinator.fixture.ts';
import { listGroups } from './group-listing.ts';
import { commitOffsets, deleteOffsets } from './offset-commit.ts';
import { fetchOffsets } from './offset-fetch.ts';
import type { TopicNames } from './ports.ts';

const names: TopicNames = {
  partitionCount: (name) => (name === 'missing' ? null : 3),
  idOf: (name) => (name === 'missing' ? null : `id-of-${name}`),
  nameOf: (id) => (id.startsWith('id-of-') ? id.slice('id-of-'.length) : null),
};

interface CommitOptions extends Partial<OffsetCommitRequest> {
  readonly topic?: string;
  readonly partition?: number;
  readonly metadata?: string | null;
  readonly version?: number;
}

/** Commits one offset and returns its error code. */
async function commit(broker: TestBroker, offset: bigint, options: CommitOptions = {}): Promise<number> {
  const { topic = 'events', partition = 0, metadata = '', version = 9, ...request } = options;
  const part = {
    partitionIndex: partition,
    committedOffset: offset,
    committedLeaderEpoch: 5,
    committedMetadata: metadata,
  };
  const topics = [{ name: topic, topicId: `id-of-${topic}`, partitions: [part] }];
  const response = await commitOffsets(
    broker.groups,
    names,
    createOffsetCommitRequest({ groupId: GROUP, topics, ...request }),
    version,
  );
  return response.topics[0]!.partitions[0]!.errorCode;
}

function fetchAll(broker: TestBroker, version = 9) {
  const group = { groupId: GROUP, memberId: null, memberEpoch: -1, topics: null };
  return fetchOffsets(broker.groups, names, createOffsetFetchRequest({ groups: [group] }), version)
    .groups[0]!;
}

/** The committed offsets as topic-partition:offset. */
function committed(broker: TestBroker): string[] {
  return fetchAll(broker).topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, committedOffset }) => `${name}-${partitionIndex}:${committedOffset}`),
  );
}

async function deleteOne(
  broker: TestBroker,
  topic: string,
  partition = 0,
): Promise<[number, number | undefined]> {
  const topics = [{ name: topic, partitions: [{ partitionIndex: partition }] }];
  const request = createOffsetDeleteRequest({ groupId: GROUP, topics });
  const response = await deleteOffsets(broker.groups, names, request);
  return [response.errorCode, response.topics[0]?.partitions[0]?.errorCode];
}

describe('committing offsets', () => {
  it('gives back what a group without members stored, also after a restart', async () => {
    const broker = await startGroups();
    assert.equal(await commit(broker, 42n, { metadata: 'größer' }), ErrorCode.NONE);
    assert.equal(await commit(broker, 43n, { partition: 1, metadata: null }), ErrorCode.NONE);
    broker.groups.close();
    const restarted = await startGroups(broker);
    const [topic] = fetchAll(restarted).topics;
    assert.deepEqual(topic!.partitions, [
      { partitionIndex: 0, committedOffset: 42n, committedLeaderEpoch: 5, metadata: 'größer', errorCode: 0 },
      { partitionIndex: 1, committedOffset: 43n, committedLeaderEpoch: 5, metadata: '', errorCode: 0 },
    ]);
    assert.equal(stateOf(restarted), 'Empty');
  });

  it('writes a partition that is named many times once, as it is named last', async () => {
    const broker = await startGroups();
    const partitions = [1n, 2n, 3n].map((committedOffset) => ({
      ...{ partitionIndex: 0, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' },
    }));
    const topic = { name: 'events', topicId: '', partitions };
    const request = createOffsetCommitRequest({ groupId: GROUP, topics: [topic, topic] });
    await commitOffsets(broker.groups, names, request, 9);
    assert.equal(broker.log.records.length, 1);
    assert.deepEqual(committed(broker), ['events-0:3']);
  });

  it('takes members of the current generation only', async () => {
    const broker = await startGroups();
    const [member] = await stableGroup(broker, ['a']);
    const { memberId } = member!;
    const by = (generation: number, id: string, groupInstanceId: string | null = null) =>
      commit(broker, 1n, { generationIdOrMemberEpoch: generation, memberId: id, groupInstanceId });
    assert.equal(await by(1, memberId), ErrorCode.NONE);
    assert.equal(await by(1, memberId, 'a'), ErrorCode.NONE);
    assert.equal(await by(0, memberId), ErrorCode.ILLEGAL_GENERATION);
    assert.equal(await by(-1, memberId), ErrorCode.ILLEGAL_GENERATION);
    assert.equal(await by(1, 'who'), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(await by(1, 'who', 'a'), ErrorCode.FENCED_INSTANCE_ID);
    assert.equal(await by(-1, ''), ErrorCode.UNKNOWN_MEMBER_ID);
    await join(broker, { memberId, groupInstanceId: 'a' }, 5);
    assert.equal(await by(2, memberId), ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('keeps the session of a member alive', async () => {
    const broker = await startGroups();
    const [member] = await stableGroup(broker);
    for (let i = 0; i < 5; i++) {
      await broker.clock.advance(9_000);
      const { memberId, generationId } = member!;
      assert.equal(await commit(broker, 1n, { memberId, generationIdOrMemberEpoch: generationId }), 0);
    }
  });

  it('refuses generations of groups that do not exist, in the terms of the version', async () => {
    const broker = await startGroups();
    const request = { generationIdOrMemberEpoch: 3, memberId: 'm' };
    assert.equal(await commit(broker, 1n, { ...request, version: 8 }), ErrorCode.ILLEGAL_GENERATION);
    assert.equal(await commit(broker, 1n, { ...request, version: 9 }), ErrorCode.GROUP_ID_NOT_FOUND);
  });

  it('refuses unknown topics and long metadata, and commits the rest', async () => {
    const broker = await startGroups();
    const part = (partitionIndex: number, committedMetadata: string) => ({
      partitionIndex,
      committedOffset: 7n,
      committedLeaderEpoch: -1,
      committedMetadata,
    });
    const topics = [
      { name: 'missing', topicId: '?', partitions: [part(0, '')] },
      {
        name: 'events',
        topicId: 'id-of-events',
        partitions: [part(0, 'x'.repeat(21)), part(1, 'x'.repeat(20)), part(3, ''), part(-1, '')],
      },
    ];
    const request = createOffsetCommitRequest({ groupId: GROUP, topics });
    const codes = async (version: number) => {
      const response = await commitOffsets(broker.groups, names, request, version);
      return response.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode));
    };
    const { UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, OFFSET_METADATA_TOO_LARGE } = ErrorCode;
    const known = [UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, 0];
    assert.deepEqual(await codes(9), [[UNKNOWN_TOPIC_OR_PARTITION], known]);
    assert.deepEqual(await codes(10), [[UNKNOWN_TOPIC_ID], known]);
    assert.deepEqual(committed(broker), ['events-1:7']);
  });

  it('answers for ids of no topic after all others', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    const asked = ['?', 'id-of-events'].map((topicId) => ({ name: 'x', topicId, partitionIndexes: [0] }));
    const request = createOffsetFetchRequest({
      groups: [{ groupId: GROUP, memberId: null, memberEpoch: -1, topics: asked }],
    });
    const order = (version: number) =>
      fetchOffsets(broker.groups, names, request, version).groups[0]!.topics.map(({ topicId }) => topicId);
    assert.deepEqual(order(10), ['id-of-events', '?']);
    assert.deepEqual(order(9), ['?', 'id-of-events']);
  });

  it('shows an offset when it is written, and keeps the old one if it cannot be', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    broker.log.hold();
    const pending = commit(broker, 2n);
    await settled();
    assert.deepEqual(committed(broker), ['events-0:1']);
    broker.log.release();
    await pending;
    assert.deepEqual(committed(broker), ['events-0:2']);
    broker.log.failure = ErrorCode.MESSAGE_TOO_LARGE;
    assert.equal(await commit(broker, 3n), ErrorCode.INVALID_COMMIT_OFFSET_SIZE);
    broker.log.failure = ErrorCode.NOT_ENOUGH_REPLICAS;
    assert.equal(await commit(broker, 3n), ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.deepEqual(committed(broker), ['events-0:2']);
  });

  it('leaves no group when it was the first and could not be written', async () => {
    const broker = await startGroups();
    const listed = () => listGroups(broker.groups, [], []).groups.length;
    broker.log.failure = ErrorCode.NOT_ENOUGH_REPLICAS;
    broker.log.hold();
    const commits = [commit(broker, 1n), commit(broker, 2n)];
    assert.equal(listed(), 1);
    broker.log.release();
    for (const one of commits) assert.equal(await one, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.equal(listed(), 0);
  });

  it('is told after offsets.commit.timeout.ms that it takes too long', async () => {
    const broker = await startGroups();
    broker.log.hold();
    const slow = commit(broker, 1n);
    await broker.clock.advance(5_000);
    assert.equal(await slow, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.deepEqual(committed(broker), []);
    broker.log.release();
    await settled();
    assert.deepEqual(committed(broker), ['events-0:1']);
  });

  it('is refused while groups are loading and after the end', async () => {
    const broker = await startGroups();
    const [member] = await stableGroup(broker);
    await commit(broker, 1n, { memberId: member!.memberId, generationIdOrMemberEpoch: 1 });
    broker.groups.close();
    assert.equal(await commit(broker, 2n), ErrorCode.NOT_COORDINATOR);
    assert.equal(fetchAll(broker).errorCode, ErrorCode.NOT_COORDINATOR);

    const { groups, clock, log } = createGroups(broker);
    const loading = { groups, clock, log };
    const done = groups.start();
    assert.equal(await commit(loading, 2n), ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    assert.equal(fetchAll(loading).errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    assert.equal((await join(loading)).errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    assert.equal(heartbeat(loading, member!), ErrorCode.NONE);
    await done;
    assert.deepEqual(committed(loading), ['events-0:1']);
  });
});

describe('loading groups', () => {
  it('lists the groups that are served when the log of others has failed', async () => {
    const topic = {
      name: '__consumer_offsets',
      partitionCount: () => 2,
      isOffline: () => false,
      ensure: async () => 2,
    };
    const broker = await startGroups(undefined, {}, topic);
    await commit(broker, 1n);
    broker.groups.resign(1 - broker.groups.partitionOf(GROUP)!);
    const { errorCode, groups } = listGroups(broker.groups, [], []);
    assert.equal(errorCode, ErrorCode.NONE);
    assert.deepEqual(
      groups.map(({ groupId }) => groupId),
      [GROUP],
    );
  });

  it('leaves nothing of what was read when the log fails meanwhile', async () => {
    const broker = await startGroups();
    await stableGroup(broker);
    broker.groups.close();
    const restarted = createGroups(broker);
    const loading = restarted.groups.start();
    restarted.groups.resign(0);
    await loading;
    assert.deepEqual(listGroups(restarted.groups, [], []).groups, []);
  });

  it('is tried again until the log can be read', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    broker.groups.close();
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const restarted = await startGroups(broker);
    await restarted.clock.advance(3_500);
    assert.equal(fetchAll(restarted).errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    broker.log.failure = null;
    await restarted.clock.advance(500);
    await settled();
    assert.deepEqual(committed(restarted), ['events-0:1']);
    restarted.groups.close();
    assert.equal(restarted.clock.pending, 0);
  });

  it('happens once when several clients look for their coordinator first', async () => {
    let opened = 0;
    const { groups } = createGroups(
      undefined,
      {},
      {
        name: '__consumer_offsets',
        partitionCount: () => null,
        isOffline: () => false,
        ensure: async () => {
          opened++;
          await settled();
          return 1;
        },
      },
    );
    assert.deepEqual(await Promise.all([groups.prepare(), groups.prepare()]), [0, 0]);
    assert.equal(opened, 1);
  });
});

describe('deleting offsets and groups', () => {
  it('deletes offsets of topics that the group does not read', async () => {
    const broker = await startGroups();
    assert.deepEqual(await deleteOne(broker, 'events'), [ErrorCode.GROUP_ID_NOT_FOUND, undefined]);
    await commit(broker, 1n);
    await commit(broker, 2n, { topic: 'other' });
    await stableGroup(broker);
    assert.deepEqual(await deleteOne(broker, 'events'), [0, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC]);
    assert.deepEqual(await deleteOne(broker, 'missing'), [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]);
    assert.deepEqual(await deleteOne(broker, 'other'), [0, 0]);
    assert.deepEqual(committed(broker), ['events-0:1']);
  });

  it('deletes an offset that is still being written', async () => {
    const broker = await startGroups();
    broker.log.hold();
    const pending = [commit(broker, 1n), deleteOne(broker, 'events')];
    broker.log.release();
    await Promise.all(pending);
    assert.deepEqual(committed(broker), []);
  });

  it('leaves groups alone whose subscriptions it cannot know', async () => {
    const broker = await startGroups();
    await stableGroup(broker, [null], { protocolType: 'connect' });
    assert.deepEqual(await deleteOne(broker, 'events'), [ErrorCode.NON_EMPTY_GROUP, undefined]);
  });

  it('deletes groups without members, for good', async () => {
    const broker = await startGroups();
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.GROUP_ID_NOT_FOUND);
    await commit(broker, 1n);
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NOT_COORDINATOR);
    broker.log.failure = null;
    assert.deepEqual(committed(broker), ['events-0:1']);
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NONE);
    assert.deepEqual(committed(broker), []);
    await stableGroup(broker);
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NON_EMPTY_GROUP);
    broker.groups.close();
    assert.deepEqual(committed(await startGroups(broker)), []);
  });

  it('deletes groups with very many offsets, in batches of a sensible size', async () => {
    const broker = await startGroups();
    const topics = Array.from({ length: 5_000 }, (_, i) => `${'t'.repeat(200)}-${i}`);
    for (const topic of topics) await commit(broker, 1n, { topic });
    const appends: number[] = [];
    const { log } = broker;
    const append = log.append.bind(log);
    log.append = (partition, records) => {
      appends.push(records.length);
      return append(partition, records);
    };
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NONE);
    assert.equal(appends.length, 3);
    assert.equal(
      appends.reduce((sum, length) => sum + length),
      5_001,
    );
    assert.deepEqual(committed(broker), []);
  });

  it('deletes a group that somebody with no protocol wanted to join', async () => {
    const broker = await startGroups();
    const heartbeat = (memberEpoch: number) =>
      broker.groups.consumerHeartbeat(
        createConsumerGroupHeartbeatRequest({
          ...{ groupId: GROUP, memberId: 'a', memberEpoch, rebalanceTimeoutMs: 30_000 },
          ...{ subscribedTopicNames: ['events'], topicPartitions: [] },
        }),
        1,
        { clientId: 'client', clientHost: '/127.0.0.1' },
      );
    for (const epoch of [0, -1]) assert.equal((await heartbeat(epoch)).errorCode, ErrorCode.NONE);
    assert.equal(await commit(broker, 1n), ErrorCode.NONE);
    const refused = await join(broker, { protocols: [] });
    assert.equal(refused.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NONE);
    assert.deepEqual(committed(broker), []);
  });

  it('removes the offsets of a topic that was deleted', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    await commit(broker, 2n, { topic: 'other' });
    await broker.groups.topicDeleted('events');
    assert.deepEqual(committed(broker), ['other-0:2']);
  });

  it('removes at a start the offsets of topics that were deleted right before a crash, for good', async () => {
    const topics = new TestTopics({ events: 4, other: 1 });
    const start = (former?: TestBroker) => startGroups(former, {}, undefined, { topics });
    const broker = await start();
    await commit(broker, 1n);
    await commit(broker, 2n, { topic: 'other' });
    broker.groups.close();
    topics.set('events', 0);
    const restarted = await start(broker);
    await settled();
    topics.set('events', 4);
    assert.deepEqual(committed(restarted), ['other-0:2']);
    restarted.groups.close();
    assert.deepEqual(committed(await start(restarted)), ['other-0:2']);
  });

  it('takes no offset of a topic for one of the next that has its name', async () => {
    const topics = new TestTopics({ events: 4, other: 1 });
    const start = (former?: TestBroker) => startGroups(former, {}, undefined, { topics });
    const broker = await start();
    await commit(broker, 1n);
    await commit(broker, 2n, { topic: 'other' });
    broker.log.failure = ErrorCode.NOT_ENOUGH_REPLICAS;
    topics.set('events', 0);
    await broker.groups.topicDeleted('events');
    broker.log.failure = null;
    topics.set('events', 4, topicId('the next'));
    assert.deepEqual(committed(broker), ['other-0:2']);
    broker.groups.close();
    const restarted = await start(broker);
    await settled();
    assert.deepEqual(committed(restarted), ['other-0:2']);
    assert.equal(restarted.groups.shards[0]!.offsets.get(GROUP, 'events', 0), null);
    await commit(restarted, 3n);
    restarted.groups.close();
    assert.deepEqual(committed(await start(restarted)), ['other-0:2', 'events-0:3']);
  });
});

describe('retention of offsets (KIP-211)', () => {
  const HOUR_MS = 3600_000;

  it('counts from the commit for groups that only store offsets', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    await broker.clock.advance(HOUR_MS / 2);
    await commit(broker, 2n, { partition: 1 });
    await broker.clock.advance(HOUR_MS / 2);
    assert.deepEqual(committed(broker), ['events-1:2']);
    await broker.clock.advance(HOUR_MS / 2);
    assert.equal(stateOf(broker), undefined);
    broker.groups.close();
    assert.equal(stateOf(await startGroups(broker)), undefined);
  });

  it('counts from the last member’s leaving for groups of members', async () => {
    const broker = await startGroups();
    const [member] = await stableGroup(broker, [null], { sessionTimeoutMs: 60_000 });
    await commit(broker, 1n, { memberId: member!.memberId, generationIdOrMemberEpoch: 1 });
    await broker.clock.advance(60_000);
    assert.equal(stateOf(broker), 'Empty');
    await broker.clock.advance(HOUR_MS - 60_000);
    assert.deepEqual(committed(broker), ['events-0:1']);
    await broker.clock.advance(120_000);
    assert.equal(stateOf(broker), undefined);
  });

  it('expires topics that nobody in a working group subscribes to', async () => {
    const broker = await startGroups();
    await commit(broker, 1n);
    await commit(broker, 2n, { topic: 'other' });
    const [member] = await stableGroup(broker);
    for (let ms = 0; ms < 2 * HOUR_MS; ms += 9_000) {
      await broker.clock.advance(9_000);
      const { memberId } = member!;
      await commit(broker, 3n, { memberId, generationIdOrMemberEpoch: 1, partition: 1 });
    }
    assert.deepEqual(committed(broker), ['events-0:1', 'events-1:3']);
  });

  it('keeps to the retention time of old clients', async () => {
    const broker = await startGroups();
    await commit(broker, 1n, { retentionTimeMs: 120_000n, version: 4 });
    broker.groups.close();
    const restarted = await startGroups(broker);
    await restarted.clock.advance(60_000);
    assert.deepEqual(committed(restarted), ['events-0:1']);
    await restarted.clock.advance(60_000);
    assert.deepEqual(committed(restarted), []);
  });
});

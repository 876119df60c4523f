import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/errors.ts';
import { createOffsetCommitRequest } from '../../../protocol/generated/offset-commit-request.ts';
import { createOffsetFetchRequest } from '../../../protocol/generated/offset-fetch-request.ts';
import { createTxnOffsetCommitRequest } from '../../../protocol/generated/txn-offset-commit-request.ts';
import { GROUP, topicId } from '../coordinator.fixture.ts';
import { commitOffsets, commitPendingOffsets } from '../offset-commit.ts';
import { fetchOffsets } from '../offset-fetch.ts';
import type { TopicNames } from '../ports.ts';
import { type ConsumerBroker, groupOf, settle, startConsumers, TestMember } from './consumer.fixture.ts';

const EVENTS = topicId('events');

const names: TopicNames = {
  partitionCount: (name) => (name === 'events' ? 6 : null),
  idOf: (name) => (name === 'events' ? EVENTS : null),
  nameOf: (id) => (id === EVENTS ? 'events' : null),
};

function commit(broker: ConsumerBroker, memberId: string, epoch: number, partition: number, version = 10) {
  const part = {
    partitionIndex: partition,
    committedOffset: 5n,
    committedLeaderEpoch: -1,
    committedMetadata: null,
  };
  const request = createOffsetCommitRequest({
    groupId: GROUP,
    memberId,
    generationIdOrMemberEpoch: epoch,
    topics: [{ name: 'events', topicId: EVENTS, partitions: [part] }],
  });
  return commitOffsets(broker.groups, names, request, version).then(
    ({ topics }) => topics[0]!.partitions[0]!.errorCode,
  );
}

describe('offsets of consumer groups', () => {
  it('are committed in the epoch of the member, or in that since which it has the partition', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    const b = new TestMember(broker, 'b');
    await a.join();
    assert.equal(await commit(broker, 'a', 2, 0), ErrorCode.NONE);
    assert.equal(await commit(broker, 'a', 3, 0), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit(broker, 'b', 1, 0), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(await commit(broker, '', -1, 0), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(await commit(broker, 'a', 2, 0, 8), ErrorCode.UNSUPPORTED_VERSION);
    await b.join();
    await settle(a, b);
    const kept = Number(a.owned[0]!.split(':')[1]);
    const given = Number(b.owned[0]!.split(':')[1]);
    assert.equal(a.epoch, 3);
    assert.equal(await commit(broker, 'a', 2, kept), ErrorCode.NONE);
    assert.equal(await commit(broker, 'a', 2, given), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit(broker, 'b', 2, given), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit(broker, 'b', 3, given), ErrorCode.NONE);
  });

  it('are committed in transactions under the same rules, with the error that their clients know', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    await a.join();
    const commitPending = async (memberId: string, generationId: number) => {
      const part = {
        partitionIndex: 0,
        committedOffset: 5n,
        committedLeaderEpoch: -1,
        committedMetadata: null,
      };
      const request = createTxnOffsetCommitRequest({
        transactionalId: 'tx',
        groupId: GROUP,
        producerId: 1n,
        memberId,
        generationId,
        topics: [{ name: 'events', partitions: [part] }],
      });
      const { topics } = await commitPendingOffsets(broker.groups, names, request, () => ErrorCode.NONE);
      return topics[0]!.partitions[0]!.errorCode;
    };
    assert.equal(await commitPending('a', 2), ErrorCode.NONE);
    assert.equal(await commitPending('', -1), ErrorCode.NONE);
    assert.equal(await commitPending('a', 3), ErrorCode.ILLEGAL_GENERATION);
    assert.equal(await commitPending('a', 1), ErrorCode.ILLEGAL_GENERATION);
    assert.equal(await commitPending('z', 2), ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('are fetched by members in their epoch, and by who is none', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    await a.join();
    await commit(broker, 'a', 2, 0);
    const fetch = (memberId: string | null, memberEpoch: number) => {
      const topics = [{ name: 'events', topicId: EVENTS, partitionIndexes: [0] }];
      const request = createOffsetFetchRequest({
        groups: [{ groupId: GROUP, memberId, memberEpoch, topics }],
      });
      const group = fetchOffsets(broker.groups, names, request, 10).groups[0]!;
      return [group.errorCode, group.topics[0]?.partitions[0]?.committedOffset];
    };
    assert.deepEqual(fetch(null, -1), [0, 5n]);
    assert.deepEqual(fetch('a', 2), [0, 5n]);
    assert.deepEqual(fetch('a', 3), [ErrorCode.STALE_MEMBER_EPOCH, undefined]);
    assert.deepEqual(fetch('z', 1), [ErrorCode.UNKNOWN_MEMBER_ID, undefined]);
  });

  it('expire when nobody subscribes to their topic any more, however long somebody did', async () => {
    const broker = await startConsumers({ events: 6, other: 1 });
    const { offsets, groups } = broker.groups.shards[0]!;
    const a = new TestMember(broker, 'a');
    const live = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 30_000) {
        await broker.clock.advance(30_000);
        await a.beat();
      }
    };
    await a.join();
    await commit(broker, 'a', a.epoch, 0);
    await live(2 * 3600_000);
    assert.deepEqual([...offsets.groupIds()], [GROUP]);
    await a.beat({ subscribedTopicNames: ['other'] });
    await settle(a);
    await live(120_000);
    assert.deepEqual([...offsets.groupIds()], []);
    assert.ok(groups.has(GROUP));
  });

  it('go with their group', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    await a.join();
    await commit(broker, 'a', 2, 0);
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NON_EMPTY_GROUP);
    await a.leave();
    assert.equal(groupOf(broker).state, 'Empty');
    await broker.clock.advance(3600_000 + 60_000);
    assert.equal(broker.groups.shards[0]!.groups.has(GROUP), false);
    const restarted = await startConsumers({}, { former: broker });
    assert.equal(restarted.groups.shards[0]!.groups.size, 0);
    assert.deepEqual([...restarted.groups.shards[0]!.offsets.groupIds()], []);
  });
});

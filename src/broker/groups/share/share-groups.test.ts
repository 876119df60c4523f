import assert from 'node:assert/strict';
import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import { createOffsetCommitRequest } from '../../../protocol/generated/offset-commit-request.ts';
import {
  createShareGroupHeartbeatRequest,
  type ShareGroupHeartbeatRequest,
} from '../../../protocol/generated/share-group-heartbeat-request.ts';
import { settled } from '../../../util/testing/virtual-clock.ts';
import { GROUP, startGroups, type TestBroker, TestTopics, topicId } from '../coordinator.fixture.ts';
import { commitOffsets } from '../offset-commit.ts';
import { MemoryStates, testShares } from './share.fixture.ts';

const CLIENT = { clientId: 'client', clientHost: '/127.0.0.1' };

function heartbeat({ groups }: TestBroker, request: Partial<ShareGroupHeartbeatRequest>) {
  return groups.shareHeartbeat(
    createShareGroupHeartbeatRequest({ groupId: GROUP, memberId: 'a', ...request }),
    CLIENT,
  );
}

function join(broker: TestBroker, memberId: string, ...subscribedTopicNames: string[]) {
  return heartbeat(broker, { memberId, memberEpoch: 0, subscribedTopicNames });
}

function partitionsOf(response: Awaited<ReturnType<typeof heartbeat>>): string[] {
  return (response.assignment?.topicPartitions ?? []).flatMap((topic) =>
    topic.partitions.map((partition) => `${topic.topicId}:${partition}`),
  );
}

describe('share groups', () => {
  let topics: TestTopics;
  let states: MemoryStates;
  /** The ids of topics whose states were changed or are gone. */
  let forgotten: string[];
  let broker: TestBroker;

  const start = (former?: TestBroker) =>
    startGroups(former, {}, undefined, {
      topics,
      share: testShares(states, {
        forget: (_, topicIds) => forgotten.push(...topicIds),
      }),
    });
  const groupOf = () => broker.groups.shards[0]!.groups.get(GROUP);

  beforeEach(async () => {
    topics = new TestTopics({ events: 4, audits: 1 });
    states = new MemoryStates();
    forgotten = [];
    broker = await start();
  });
  afterEach(() => broker.groups.close());

  it('gives the first member everything, with a state for each partition', async () => {
    const joined = await join(broker, 'a', 'events');
    assert.equal(joined.errorCode, ErrorCode.NONE);
    assert.ok(joined.memberEpoch > 0);
    assert.equal(partitionsOf(joined).length, 4);
    assert.equal(states.states.size, 4);
    assert.equal(groupOf()?.state, 'Stable');
    const again = await heartbeat(broker, { memberEpoch: joined.memberEpoch });
    assert.equal(again.memberEpoch, joined.memberEpoch);
    assert.equal(again.assignment, null);
  });

  it('shares partitions among more members than there are', async () => {
    for (const memberId of ['a', 'b', 'c']) await join(broker, memberId, 'audits');
    for (const memberId of ['a', 'b', 'c']) {
      const settled = await join(broker, memberId, 'audits');
      assert.deepEqual(partitionsOf(settled), [`${topicId('audits')}:0`], memberId);
    }
  });

  it('splits partitions among fewer members', async () => {
    await join(broker, 'a', 'events');
    await join(broker, 'b', 'events');
    const both = [
      ...partitionsOf(await join(broker, 'a', 'events')),
      ...partitionsOf(await join(broker, 'b', 'events')),
    ];
    assert.equal(both.length, 4);
    assert.equal(new Set(both).size, 4);
  });

  it('is the same after a restart', async () => {
    const { memberEpoch } = await join(broker, 'a', 'events');
    broker.groups.close();
    broker = await start(broker);
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.equal(group.states.initialized.get(topicId('events'))?.partitions.size, 4);
    const next = await heartbeat(broker, { memberEpoch });
    assert.equal(next.errorCode, ErrorCode.NONE);
    assert.equal(next.memberEpoch, memberEpoch);
  });

  it('fences members with other epochs, and those that nobody knows', async () => {
    const { memberEpoch } = await join(broker, 'a', 'events');
    assert.equal(
      (await heartbeat(broker, { memberEpoch: memberEpoch + 1 })).errorCode,
      ErrorCode.FENCED_MEMBER_EPOCH,
    );
    assert.equal(
      (await heartbeat(broker, { memberId: 'b', memberEpoch })).errorCode,
      ErrorCode.UNKNOWN_MEMBER_ID,
    );
    assert.equal(
      (await heartbeat(broker, { groupId: 'none', memberEpoch })).errorCode,
      ErrorCode.GROUP_ID_NOT_FOUND,
    );
    assert.equal((await heartbeat(broker, { memberEpoch: -2 })).errorCode, ErrorCode.INVALID_REQUEST);
    assert.equal((await join(broker, 'c')).errorCode, ErrorCode.INVALID_REQUEST);
  });

  it('removes a member that is silent, or leaves', async () => {
    await join(broker, 'a', 'events');
    await join(broker, 'b', 'events');
    assert.equal((await heartbeat(broker, { memberId: 'b', memberEpoch: -1 })).memberEpoch, -1);
    assert.equal(groupOf()?.size, 1);
    await broker.clock.advance(45_000);
    assert.equal(groupOf()?.state, 'Empty');
  });

  it('takes new topics and partitions into account', async () => {
    const { memberEpoch } = await join(broker, 'a', 'events', 'later');
    topics.set('later', 2);
    topics.set('events', 5);
    broker.groups.topicChanged('later');
    broker.groups.topicChanged('events');
    const next = await heartbeat(broker, { memberEpoch });
    assert.ok(next.memberEpoch > memberEpoch);
    assert.equal(partitionsOf(next).length, 7);
  });

  describe('that wait between assignments', () => {
    const times = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 1_000 };

    beforeEach(async () => {
      broker.groups.close();
      const share = testShares(states, { config: { maxSize: 10, timesOf: () => times } });
      broker = await startGroups(undefined, {}, undefined, { topics, share });
    });

    it('count new partitions in with one epoch', async () => {
      const { memberEpoch } = await join(broker, 'a', 'events', 'later');
      topics.set('later', 2);
      broker.groups.topicChanged('later');
      const early = await heartbeat(broker, { memberEpoch });
      assert.deepEqual([early.memberEpoch, early.assignment], [memberEpoch, null]);
      assert.equal(states.states.size, 6);
      await broker.clock.advance(1_000);
      const next = await heartbeat(broker, { memberEpoch });
      assert.equal(next.memberEpoch, memberEpoch + 1);
      assert.equal(partitionsOf(next).length, 6);
    });

    it('take a deleted topic back at once', async () => {
      const { memberEpoch } = await join(broker, 'a', 'events', 'audits');
      topics.set('events', 0);
      await broker.groups.topicDeleted('events');
      const early = await heartbeat(broker, { memberEpoch });
      assert.equal(early.memberEpoch, memberEpoch);
      assert.deepEqual(partitionsOf(early), [`${topicId('audits')}:0`]);
      await broker.clock.advance(1_000);
      assert.equal((await heartbeat(broker, { memberEpoch })).memberEpoch, memberEpoch + 1);
    });
  });

  it('gives nothing whose state could not be made, and tries again', async () => {
    states.failure = ErrorCode.COORDINATOR_NOT_AVAILABLE;
    const joined = await join(broker, 'a', 'events');
    assert.equal(joined.errorCode, ErrorCode.NONE);
    assert.deepEqual(partitionsOf(joined), []);
    states.failure = null;
    const next = await heartbeat(broker, { memberEpoch: joined.memberEpoch });
    assert.equal(partitionsOf(next).length, 4);
  });

  it('is full at its limit', async () => {
    for (let i = 0; i < 10; i++) await join(broker, `m${i}`, 'events');
    assert.equal((await join(broker, 'late', 'events')).errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED);
  });

  it('deletes a group without members, with its states', async () => {
    await join(broker, 'a', 'events');
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NON_EMPTY_GROUP);
    await heartbeat(broker, { memberEpoch: -1 });
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NONE);
    assert.equal(states.states.size, 0);
    assert.equal(groupOf(), undefined);
    broker.groups.close();
    broker = await start(broker);
    assert.equal(groupOf(), undefined);
  });

  it('forgets the states of a topic that is deleted', async () => {
    await join(broker, 'a', 'events', 'audits');
    topics.set('events', 0);
    await broker.groups.topicDeleted('events');
    assert.equal(states.states.size, 1);
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.deepEqual([...group.states.initialized.keys()], [topicId('audits')]);
    assert.equal(group.states.deleting.size, 0);
    assert.deepEqual(forgotten, [topicId('events')], 'others go on with what they have');
  });

  for (const [name, failure] of [
    ['the broker ended before', null],
    ['they could not be', ErrorCode.NOT_COORDINATOR],
  ] as const)
    it(`forgets with the next start the states of a topic that is deleted, where ${name}`, async () => {
      await join(broker, 'a', 'events', 'audits');
      topics.set('events', 0);
      states.failure = failure;
      if (failure !== null) await broker.groups.topicDeleted('events');
      states.failure = null;
      broker.groups.close();
      let goOn = () => {};
      states.loaded = () =>
        new Promise((resolve) => {
          goOn = resolve;
        });
      broker = await start(broker);
      await settled();
      assert.equal(states.states.size, 5, 'nothing is deleted of what is being loaded');
      goOn();
      await settled();
      assert.equal(states.states.size, 1);
      const group = groupOf();
      assert.ok(group?.type === 'share');
      assert.deepEqual([...group.states.initialized.keys()], [topicId('audits')]);
      assert.deepEqual([group.states.initializing.size, group.states.deleting.size], [0, 0]);
    });

  it('keeps no states of a topic that is deleted while they are made', async () => {
    const initialize = states.initialize.bind(states);
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    states.initialize = async (...parameters) => {
      await held;
      await initialize(...parameters);
    };
    const joined = join(broker, 'a', 'events', 'audits');
    await settled();
    topics.set('events', 0);
    await broker.groups.topicDeleted('events');
    goOn();
    assert.deepEqual(partitionsOf(await joined), [`${topicId('audits')}:0`]);
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.deepEqual([...group.states.initialized.keys()], [topicId('audits')]);
    assert.equal(group.states.initializing.size, 0);
    assert.equal(states.states.size, 1);
  });

  it('describes, alters and deletes offsets', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    const id = topicId('events');
    await join(broker, 'a', 'events');
    const part = { topicId: id, name: 'events', partition: 1, startOffset: 40n };
    await assert.rejects(offsets.alter(GROUP, [part]), { code: ErrorCode.NON_EMPTY_GROUP });
    await heartbeat(broker, { memberEpoch: -1 });
    assert.deepEqual(await offsets.alter(GROUP, [part]), [{ errorCode: 0, errorMessage: null }]);
    assert.deepEqual(forgotten, [id]);
    assert.deepEqual(offsets.describe(GROUP, id, [0, 1, 9]), [
      { partition: 0, startOffset: -1n, leaderEpoch: 0, lag: -1n },
      { partition: 1, startOffset: 40n, leaderEpoch: 0, lag: 60n },
      { partition: 9, startOffset: -1n, leaderEpoch: 0, lag: -1n },
    ]);
    assert.deepEqual(await offsets.delete(GROUP, [id]), [{ errorCode: 0, errorMessage: null }]);
    assert.deepEqual(offsets.known(GROUP), []);
    assert.deepEqual(offsets.known('none'), []);
    assert.equal(offsets.describe('none', id, [1])[0]!.startOffset, -1n);
    const nothing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    assert.deepEqual(
      (await offsets.delete(GROUP, [id])).map(({ errorCode }) => errorCode),
      [nothing],
    );
  });

  it('does not forget after a restart what it has read since its offsets could not be deleted', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    const id = topicId('events');
    await join(broker, 'a', 'events');
    await heartbeat(broker, { memberEpoch: -1 });
    states.failure = ErrorCode.NOT_COORDINATOR;
    const [failed] = await offsets.delete(GROUP, [id]);
    assert.equal(failed!.errorCode, ErrorCode.NOT_COORDINATOR);
    states.failure = null;
    assert.equal(partitionsOf(await join(broker, 'a', 'events')).length, 4);
    broker.groups.close();
    broker = await start(broker);
    await settled();
    assert.equal(states.states.size, 4);
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.equal(group.states.initialized.get(id)?.partitions.size, 4);
  });

  it('can try again to delete what could not be deleted, and has changed nothing while it is being loaded', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    const id = topicId('events');
    await join(broker, 'a', 'events');
    await heartbeat(broker, { memberEpoch: -1 });
    const { summary } = states;
    states.summary = () => {
      throw new ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    };
    const [loading] = await offsets.delete(GROUP, [id]);
    assert.equal(loading!.errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    states.summary = summary;
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.equal(group.states.initialized.get(id)?.partitions.size, 4);
    states.failure = ErrorCode.NOT_COORDINATOR;
    await offsets.delete(GROUP, [id]);
    states.failure = null;
    const [deleted] = await offsets.delete(GROUP, [id]);
    assert.equal(deleted!.errorCode, ErrorCode.NONE);
    assert.equal(states.states.size, 0);
    assert.deepEqual([group.states.initializing.size, group.states.deleting.size], [0, 0]);
  });

  it('makes the group whose offsets are altered', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    assert.deepEqual(await offsets.alter(GROUP, []), []);
    assert.equal(groupOf(), undefined, 'not for nothing');
    const part = { topicId: topicId('events'), name: 'events', partition: 1, startOffset: 40n };
    await offsets.alter(GROUP, [part]);
    const group = groupOf();
    assert.ok(group?.type === 'share');
    assert.deepEqual([group.state, group.groupEpoch, group.assignmentEpoch], ['Empty', 1, 1]);
    assert.equal(offsets.describe(GROUP, part.topicId, [1])[0]!.startOffset, 40n);
  });

  it('does not tell of the offsets in a topic that is gone, though they were not deleted', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    await offsets.alter(GROUP, [
      { topicId: topicId('events'), name: 'events', partition: 1, startOffset: 40n },
      { topicId: topicId('audits'), name: 'audits', partition: 0, startOffset: 1n },
    ]);
    topics.set('events', 0);
    assert.deepEqual(
      offsets.known(GROUP).map(({ name }) => name),
      ['audits'],
    );
  });

  it('begins where offsets were altered, also when a member joins before they are', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    const part = { topicId: topicId('events'), name: 'events', partition: 1, startOffset: 40n };
    broker.log.hold();
    const altered = offsets.alter(GROUP, [part]);
    const joined = join(broker, 'a', 'events');
    await settled();
    broker.log.release();
    assert.deepEqual(await altered, [{ errorCode: 0, errorMessage: null }]);
    assert.equal(partitionsOf(await joined).length, 4);
    assert.equal(offsets.describe(GROUP, part.topicId, [1])[0]!.startOffset, 40n);
  });

  it('leaves no state behind that is being made when the group is deleted', async () => {
    const { offsets } = broker.groups.shards[0]!.shares;
    const part = { topicId: topicId('events'), name: 'events', partition: 1, startOffset: 40n };
    const initialize = states.initialize.bind(states);
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    states.initialize = async (...parameters) => {
      await held;
      await initialize(...parameters);
    };
    const altered = offsets.alter(GROUP, [part]);
    await settled();
    const deleted = broker.groups.deleteGroup(GROUP);
    await settled();
    goOn();
    assert.deepEqual([(await altered).length, await deleted], [1, ErrorCode.NONE]);
    assert.equal(groupOf(), undefined);
    assert.equal(states.states.size, 0);
  });

  it('takes no offsets of consumers, whatever their version', async () => {
    await join(broker, 'a', 'events');
    const names = { partitionCount: () => 4, idOf: () => null, nameOf: () => null };
    const partitions = [
      { partitionIndex: 0, committedOffset: 5n, committedLeaderEpoch: -1, committedMetadata: '' },
    ];
    const request = createOffsetCommitRequest({
      ...{ groupId: GROUP, memberId: 'a', generationIdOrMemberEpoch: 1 },
      topics: [{ name: 'events', topicId: '', partitions }],
    });
    for (const version of [2, 8, 9]) {
      const { topics: answered } = await commitOffsets(broker.groups, names, request, version);
      assert.equal(answered[0]!.partitions[0]!.errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
    }
  });

  it('is read again when it cannot be written', async () => {
    const { memberEpoch } = await join(broker, 'a', 'events');
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    assert.notEqual((await join(broker, 'b', 'events')).errorCode, ErrorCode.NONE);
    broker.log.failure = null;
    await broker.clock.advance(2_000);
    const next = await heartbeat(broker, { memberEpoch });
    assert.equal(next.errorCode, ErrorCode.NONE);
    assert.equal(groupOf()?.size, 1);
  });
});

import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/errors.ts';
import { settled } from '../../../util/testing/virtual-clock.ts';
import { GROUP, topicId } from '../coordinator.fixture.ts';
import { describeGroup, listGroups } from '../group-listing.ts';
import { groupOf, pair, settle, startConsumers, TestMember } from './consumer.fixture.ts';

const EVENTS = topicId('events');
const all = (topic: string, count: number) =>
  Array.from({ length: count }, (_, partition) => `${topicId(topic)}:${partition}`).sort();

describe('consumer groups (KIP-848)', () => {
  it('give the only member everything, in its first answer', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    const response = await a.join();
    assert.deepEqual(
      [response.errorCode, response.memberId, response.memberEpoch, response.heartbeatIntervalMs],
      [0, 'a', 2, 5_000],
    );
    assert.deepEqual(a.owned, all('events', 6));
    assert.equal(groupOf(broker).state, 'Stable');
  });

  it('take partitions away from their owner before they give them to another', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    const b = new TestMember(broker, 'b');
    await a.join();
    assert.deepEqual((await b.join()).assignment?.topicPartitions, []);
    assert.equal(b.epoch, 3);
    // The owner is told, and stays in its epoch until it says that it has let go.
    const told = await a.send({});
    assert.equal(told.memberEpoch, 2);
    assert.equal(told.assignment?.topicPartitions[0]?.partitions.length, 3);
    await b.beat();
    assert.deepEqual(b.owned, []);
    assert.equal((await a.send({})).memberEpoch, 2);
    a.take(told);
    await a.beat();
    assert.equal(a.epoch, 3);
    await b.beat();
    assert.equal(b.owned.length, 3);
    assert.deepEqual([...a.owned, ...b.owned].sort(), all('events', 6));
  });

  it('remove a member that does not let go in time', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    const b = new TestMember(broker, 'b');
    await a.join();
    await b.join();
    await a.send({});
    for (let i = 0; i < 7; i++) {
      await broker.clock.advance(5_000);
      await a.send({ topicPartitions: null });
      await b.beat();
    }
    assert.equal((await a.send({})).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    await b.beat();
    assert.deepEqual(b.owned, all('events', 6));
  });

  it('remove a member whose session ends, and share its partitions out', async () => {
    const broker = await startConsumers();
    const [a, b] = await pair(broker);
    await broker.clock.advance(30_000);
    await b.beat();
    await broker.clock.advance(20_000);
    assert.equal(groupOf(broker).size, 1);
    await settle(b);
    assert.deepEqual(b.owned, all('events', 6));
    assert.equal((await a.beat()).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('fence epochs that are not theirs, but repeat an answer that was lost', async () => {
    const broker = await startConsumers();
    const [a] = await pair(broker);
    const { epoch } = a;
    assert.equal((await a.send({ memberEpoch: epoch + 1 })).errorCode, ErrorCode.FENCED_MEMBER_EPOCH);
    assert.equal((await a.send({ memberEpoch: epoch - 1 })).errorCode, ErrorCode.FENCED_MEMBER_EPOCH);
    const repeated = await a.send({ memberEpoch: epoch - 1, topicPartitions: [] });
    assert.deepEqual([repeated.errorCode, repeated.memberEpoch], [0, epoch]);
    assert.equal((await new TestMember(broker, 'c').send({ memberEpoch: 3 })).errorCode, 25);
  });

  it('refuse requests that say too little', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    const refused = async (request: Parameters<TestMember['send']>[0]) => {
      const { errorCode, errorMessage } = await a.send(request);
      return [errorCode, errorMessage];
    };
    const full = { rebalanceTimeoutMs: 1_000, topicPartitions: [], subscribedTopicNames: [] };
    const { INVALID_REQUEST } = ErrorCode;
    assert.deepEqual(await refused({ ...full, groupId: '' }), [INVALID_REQUEST, "GroupId can't be empty."]);
    assert.deepEqual(await refused({ ...full, memberId: '' }), [INVALID_REQUEST, "MemberId can't be empty."]);
    assert.deepEqual(await refused({ ...full, rebalanceTimeoutMs: -1 }), [
      INVALID_REQUEST,
      'RebalanceTimeoutMs must be provided in first request.',
    ]);
    assert.equal((await refused({ ...full, topicPartitions: null }))[0], INVALID_REQUEST);
    assert.equal((await refused({ ...full, subscribedTopicNames: null }))[0], INVALID_REQUEST);
    assert.equal((await refused({ memberEpoch: -2 }))[0], INVALID_REQUEST);
    assert.equal((await refused({ memberEpoch: -3 }))[0], INVALID_REQUEST);
    assert.deepEqual(await refused({ ...full, serverAssignor: 'sticky' }), [
      ErrorCode.UNSUPPORTED_ASSIGNOR,
      'ServerAssignor sticky is not supported. Supported assignors: uniform, range.',
    ]);
    assert.deepEqual(await refused({ memberEpoch: 1 }), [
      ErrorCode.GROUP_ID_NOT_FOUND,
      'Consumer group group not found.',
    ]);
  });

  it('are not served when the configuration leaves them out', async () => {
    const broker = await startConsumers({}, { consumer: { enabled: false } });
    assert.equal((await new TestMember(broker, 'a').join()).errorCode, ErrorCode.UNSUPPORTED_VERSION);
    const { groupId, errorCode } = broker.groups.describeConsumerGroup(GROUP);
    assert.deepEqual([groupId, errorCode], [GROUP, ErrorCode.UNSUPPORTED_VERSION]);
  });

  it('turn away who is too many', async () => {
    const broker = await startConsumers({ events: 6 }, { consumer: { maxSize: 2 } });
    await pair(broker);
    const { errorCode } = await new TestMember(broker, 'c').join();
    assert.equal(errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED);
  });

  it('keep the partitions of a static member that leaves for a while', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a', 'instance-1');
    const b = new TestMember(broker, 'b', 'instance-2');
    await a.join();
    await b.join();
    await settle(a, b);
    const { owned } = a;
    const early = await new TestMember(broker, 'a2', 'instance-1').join();
    assert.equal(early.errorCode, ErrorCode.UNRELEASED_INSTANCE_ID);
    assert.equal((await a.leave(-2)).memberEpoch, -2);
    await settle(b);
    assert.equal(b.owned.length, 3);
    const back = new TestMember(broker, 'a2', 'instance-1');
    await back.join();
    assert.deepEqual(back.owned, owned);
    assert.equal(back.epoch, b.epoch);
    assert.equal((await a.beat()).errorCode, ErrorCode.FENCED_INSTANCE_ID);
    await back.leave(-2);
    await broker.clock.advance(44_000);
    await b.beat();
    await broker.clock.advance(2_000);
    await settle(b);
    assert.deepEqual(b.owned, all('events', 6));
  });

  it('follow topics that are created, extended and deleted', async () => {
    const broker = await startConsumers({ events: 2 });
    const a = new TestMember(broker, 'a');
    a.subscription = { subscribedTopicNames: ['events', 'later'] };
    await a.join();
    assert.deepEqual(a.owned, all('events', 2));
    broker.topics.set('later', 3);
    broker.groups.topicChanged('later');
    await settle(a);
    assert.deepEqual(a.owned, [...all('events', 2), ...all('later', 3)].sort());
    broker.topics.set('events', 4);
    broker.groups.topicChanged('events');
    await settle(a);
    assert.equal(a.owned.length, 7);
    broker.topics.set('events', 0);
    broker.groups.topicChanged('events');
    await settle(a);
    assert.deepEqual(a.owned, all('later', 3));
  });

  it('follow members that change what they subscribe to', async () => {
    const broker = await startConsumers({ events: 2, audits: 2 });
    const [a, b] = await pair(broker);
    await a.beat({ subscribedTopicNames: ['audits'] });
    await settle(a, b);
    assert.deepEqual(a.owned, all('audits', 2));
    assert.deepEqual(b.owned, all('events', 2));
  });

  it('wait between two assignments as long as the group wants', async () => {
    const times = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 1_000 };
    const broker = await startConsumers({ events: 6 }, { consumer: { timesOf: () => times } });
    const a = new TestMember(broker, 'a');
    const b = new TestMember(broker, 'b');
    await a.join();
    await b.join();
    assert.equal(groupOf(broker).assignmentEpoch, 2);
    assert.equal(groupOf(broker).state, 'Assigning');
    await broker.clock.advance(1_000);
    await settle(a, b);
    assert.equal(groupOf(broker).assignmentEpoch, 3);
    assert.equal(b.owned.length, 3);
  });

  it('are what they were after a restart, and go on', async () => {
    const broker = await startConsumers();
    const [a, b] = await pair(broker);
    const before = groupOf(broker);
    broker.groups.close();
    const restarted = await startConsumers({}, { former: broker });
    const after = groupOf(restarted);
    assert.deepEqual([...after.members()], [...before.members()]);
    assert.deepEqual(
      [after.groupEpoch, after.assignmentEpoch, after.metadataHash, after.state],
      [before.groupEpoch, before.assignmentEpoch, before.metadataHash, 'Stable'],
    );
    for (const { memberId } of before.members())
      assert.deepEqual(after.targetOf(memberId), before.targetOf(memberId));
    // Sessions begin anew.
    await restarted.clock.advance(44_000);
    assert.equal(groupOf(restarted).size, 2);
    await restarted.clock.advance(2_000);
    assert.equal(groupOf(restarted).state, 'Empty');
    assert.deepEqual([a.owned.length, b.owned.length], [3, 3]);
  });

  it('answer when it is written, and take everything back that cannot be', async () => {
    const broker = await startConsumers();
    const [a, b] = await pair(broker);
    broker.log.hold();
    const c = new TestMember(broker, 'c');
    let answered = false;
    const joining = c.join().then((response) => {
      answered = true;
      return response;
    });
    await settled();
    assert.equal(answered, false);
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    broker.log.release();
    assert.equal((await joining).errorCode, ErrorCode.NOT_COORDINATOR);
    assert.equal((await a.beat()).errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    broker.log.failure = null;
    await broker.clock.advance(2_000);
    assert.equal(groupOf(broker).size, 2);
    await settle(a, b);
    assert.equal((await c.join()).errorCode, ErrorCode.NONE);
  });

  it('match topics with regular expressions', async () => {
    const broker = await startConsumers({ 'events-1': 2, 'events-2': 1, other: 1 });
    const a = new TestMember(broker, 'a');
    a.subscription = { subscribedTopicNames: null, subscribedTopicRegex: 'events-[0-9]+' };
    await a.join();
    await settled();
    await settle(a);
    const first = [...all('events-1', 2), ...all('events-2', 1)].sort();
    assert.deepEqual(a.owned, first);
    broker.topics.set('events-3', 1);
    await a.beat();
    assert.deepEqual(a.owned, first);
    // Not more often than every ten seconds.
    await broker.clock.advance(11_000);
    await a.beat();
    await settled();
    await settle(a);
    assert.deepEqual(a.owned, [...first, ...all('events-3', 1)].sort());
    const restarted = await startConsumers({}, { former: broker });
    assert.deepEqual([...groupOf(restarted).subscriptions.resolved.keys()], ['events-[0-9]+']);
    const { errorCode, errorMessage } = await a.send({ subscribedTopicRegex: '(' });
    assert.equal(errorCode, ErrorCode.INVALID_REGULAR_EXPRESSION);
    assert.match(errorMessage ?? '', /^SubscribedTopicRegex `\(` is not a valid regular expression: /);
    await a.beat({ subscribedTopicRegex: '', subscribedTopicNames: ['other'] });
    await settle(a);
    assert.deepEqual(a.owned, all('other', 1));
    assert.equal(groupOf(broker).subscriptions.resolved.size, 0);
  });

  it('match and assign topics also when the clock was set back', async () => {
    const times = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 1_000 };
    const broker = await startConsumers({ 'events-1': 2 }, { consumer: { timesOf: () => times } });
    const a = new TestMember(broker, 'a');
    a.subscription = { subscribedTopicNames: null, subscribedTopicRegex: 'events-.*' };
    await a.join();
    await broker.clock.advance(1_000);
    await settle(a);
    assert.deepEqual(a.owned, all('events-1', 2));
    broker.topics.set('events-2', 1);
    broker.clock.standStill(-3_600_000);
    await a.beat();
    await settled();
    await settle(a);
    assert.deepEqual(a.owned, [...all('events-1', 2), ...all('events-2', 1)].sort());
  });

  it('get no topics of regular expressions while they are read again', async () => {
    const broker = await startConsumers({ events: 6, audits: 2 });
    const { clock, log, topics } = broker;
    const names = topics.names.bind(topics);
    // Matching takes so long that others get their turn.
    topics.names = () => {
      clock.standStill(10);
      return names();
    };
    const a = new TestMember(broker, 'a');
    a.subscription = { subscribedTopicRegex: 'e.*' };
    await a.join();
    let goOn = () => {};
    const replay = log.replay.bind(log);
    log.replay = async (...parameters) => {
      await replay(...parameters);
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    };
    log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    assert.notEqual((await new TestMember(broker, 'b').join()).errorCode, ErrorCode.NONE);
    log.failure = null;
    await settled();
    const written = log.records.length;
    await clock.advance(1_000);
    assert.equal(log.records.length, written);
    goOn();
    await settled();
    await a.beat();
    await clock.advance(1_000);
    await a.beat();
    assert.equal(a.owned.length, 6);
  });
});

describe('lists and descriptions of consumer groups', () => {
  it('say their type and state', async () => {
    const broker = await startConsumers();
    await pair(broker);
    const listed = (states: string[], types: string[]) =>
      listGroups(broker.groups, states, types).groups.map(({ groupType, groupState, protocolType }) => [
        groupType,
        groupState,
        protocolType,
      ]);
    assert.deepEqual(listed([], []), [['consumer', 'Stable', 'consumer']]);
    assert.deepEqual(listed(['stable'], ['Consumer']), [['consumer', 'Stable', 'consumer']]);
    assert.deepEqual(listed([], ['classic']), []);
    assert.deepEqual(listed(['Empty'], []), []);
    assert.deepEqual([...broker.groups.states('consumer')], [['Stable', 1]]);
    assert.deepEqual([...broker.groups.states('classic')], []);
    const described = describeGroup(broker.groups, GROUP, 6);
    assert.equal(described.errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
    assert.equal(described.errorMessage, 'Group group is not a classic group.');
  });

  it('show members with what they have and what they are to have', async () => {
    const broker = await startConsumers();
    const a = new TestMember(broker, 'a');
    await a.join({ rackId: 'rack-1', serverAssignor: 'range' });
    await new TestMember(broker, 'b').join();
    const described = broker.groups.describeConsumerGroup(GROUP);
    assert.deepEqual(
      [described.groupState, described.groupEpoch, described.assignmentEpoch, described.assignorName],
      ['Reconciling', 3, 3, 'range'],
    );
    const [first, second] = described.members;
    assert.deepEqual(
      [first!.memberId, first!.rackId, first!.memberType, first!.subscribedTopicNames],
      ['a', 'rack-1', 1, ['events']],
    );
    assert.deepEqual(first!.assignment.topicPartitions, [
      { topicId: EVENTS, topicName: 'events', partitions: [0, 1, 2, 3, 4, 5] },
    ]);
    assert.deepEqual(second!.targetAssignment.topicPartitions, [
      { topicId: EVENTS, topicName: 'events', partitions: [3, 4, 5] },
    ]);
    const missing = broker.groups.describeConsumerGroup('other');
    assert.deepEqual([missing.errorCode, missing.errorMessage], [69, 'Group other not found.']);
  });
});

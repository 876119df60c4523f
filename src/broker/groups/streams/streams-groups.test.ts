import assert from 'node:assert/strict';
import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import { createOffsetCommitRequest } from '../../../protocol/generated/offset-commit-request.ts';
import { settled } from '../../../util/testing/virtual-clock.ts';
import { GROUP, join } from '../coordinator.fixture.ts';
import { listGroups } from '../group-listing.ts';
import { commitOffsets } from '../offset-commit.ts';
import { Status } from './status.ts';
import {
  COUNTER,
  READER,
  StreamsThread,
  settle,
  startStreams,
  streamsGroupOf,
  topologyOf,
} from './streams.fixture.ts';

const names = (count: number) => Array.from({ length: count }, (_, i) => `active 0_${i}`);

describe('streams groups', () => {
  it('give the first member all tasks, and share them with the next', async () => {
    const broker = await startStreams();
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    const joined = await a.join();
    assert.deepEqual([joined.errorCode, joined.memberEpoch, joined.status], [0, 2, []]);
    assert.deepEqual(a.owned, names(4));
    await b.join();
    assert.deepEqual([b.epoch, b.owned], [3, []]);
    assert.equal(streamsGroupOf(broker).state, 'Reconciling');
    // The first gives up two tasks, stays in its epoch until it has confirmed that, and only then the second gets them.
    await a.beat();
    assert.deepEqual([a.epoch, a.owned.length], [2, 2]);
    await b.beat();
    assert.deepEqual(b.owned, []);
    await a.beat();
    assert.equal(a.epoch, 3);
    await b.beat();
    assert.deepEqual([...a.owned, ...b.owned].sort(), names(4));
    assert.equal(streamsGroupOf(broker).state, 'Stable');
    const silent = await a.beat();
    assert.deepEqual([silent.activeTasks, silent.memberEpoch], [null, 3]);
  });

  it('keep copies in other instances, and let them take over', async () => {
    const broker = await startStreams({ events: 2 }, { group: { standbyReplicas: 1 } });
    const [a, b] = ['a', 'b'].map((id) => new StreamsThread(broker, id, id, COUNTER));
    await a!.join();
    await a!.beat();
    await b!.join();
    await settle(a!, b!);
    assert.deepEqual(
      [a!.owned, b!.owned].map((owned) => owned.map((name) => name.slice(0, 6))),
      [
        ['active', 'standb'],
        ['active', 'standb'],
      ],
    );
    await a!.leave();
    await settle(b!);
    assert.deepEqual(b!.owned, names(2));
  });

  it('never give a task to two threads of an instance', async () => {
    const broker = await startStreams({ events: 3 }, { group: { standbyReplicas: 2 } });
    const threads = ['a1', 'a2', 'b1'].map((id) => new StreamsThread(broker, id, id[0], COUNTER));
    await threads[0]!.join();
    for (const thread of threads) await thread.join();
    await settle(...threads);
    const ofA = threads.slice(0, 2).flatMap(({ owned }) => owned.map((name) => name.split(' ')[1]));
    assert.equal(new Set(ofA).size, ofA.length);
    assert.equal(ofA.length, 3);
  });

  it('create internal topics, and assign when they are there', async () => {
    const broker = await startStreams({ events: 3 });
    const thread = new StreamsThread(broker, 'a', 'a', COUNTER);
    const joined = await thread.join();
    assert.deepEqual(joined.status, [
      {
        statusCode: Status.MISSING_INTERNAL_TOPICS,
        statusDetail: 'Internal topics are missing: counts-changelog',
      },
    ]);
    assert.deepEqual(thread.owned, []);
    assert.equal(broker.topics.byName('counts-changelog')?.partitionCount, 3);
    await thread.beat();
    assert.deepEqual([thread.status, thread.owned], [[], names(3)]);
    assert.equal(streamsGroupOf(broker).validatedTopologyEpoch, 0);
  });

  it('say why internal topics were not created, and try again later', async () => {
    let attempts = 0;
    const createTopics = async (topics: readonly { readonly name: string }[]) => {
      attempts++;
      return topics.map(({ name }) => ({ name, error: new ApiError(ErrorCode.POLICY_VIOLATION, 'No.') }));
    };
    const broker = await startStreams({ events: 3 }, { createTopics });
    const thread = new StreamsThread(broker, 'a', 'a', COUNTER);
    await thread.join();
    const told = await thread.beat();
    assert.equal(
      told.status?.[0]?.statusDetail,
      'Internal topics are missing: counts-changelog; Creation failed: counts-changelog (No.).',
    );
    assert.equal(attempts, 1);
    await broker.clock.advance(10_000);
    await thread.beat();
    assert.equal(attempts, 2);
  });

  it('wait for source topics, and take tasks back when they go', async () => {
    const broker = await startStreams({});
    const thread = new StreamsThread(broker, 'a');
    await thread.join();
    assert.deepEqual(thread.status, [Status.MISSING_SOURCE_TOPICS]);
    assert.equal(streamsGroupOf(broker).state, 'NotReady');
    broker.topics.set('events', 2);
    broker.groups.topicChanged('events');
    await thread.beat();
    assert.deepEqual([thread.status, thread.owned], [[], names(2)]);
    broker.topics.set('events', 5);
    broker.groups.topicChanged('events');
    await thread.beat();
    assert.deepEqual(thread.owned, names(5));
    broker.topics.set('events', 0);
    broker.groups.topicChanged('events');
    await thread.beat();
    assert.deepEqual([thread.status, thread.owned], [[Status.MISSING_SOURCE_TOPICS], []]);
    await thread.beat();
    assert.equal(streamsGroupOf(broker).state, 'NotReady');
  });

  it('refuse another topology, and tell who has an old one', async () => {
    const broker = await startStreams({ events: 1, audits: 1 });
    const newer = { ...READER, epoch: 1 };
    const a = new StreamsThread(broker, 'a', 'a', newer);
    await a.join();
    const other = { ...topologyOf({ id: '0', sources: ['audits'] }), epoch: 1 };
    const refused = await new StreamsThread(broker, 'b', 'b', other).join();
    assert.deepEqual(
      [refused.errorCode, refused.errorMessage],
      [ErrorCode.INVALID_REQUEST, 'Topology updates are not supported yet.'],
    );
    const old = await new StreamsThread(broker, 'c', 'c', READER).join();
    assert.deepEqual(old.status, [
      {
        statusCode: Status.STALE_TOPOLOGY,
        statusDetail: "The member's topology epoch 0 is behind the group's topology epoch 1.",
      },
    ]);
    assert.equal(streamsGroupOf(broker).size, 2);
  });

  it('wait for more members before the first assignment', async () => {
    const broker = await startStreams({ events: 4 }, { group: { initialRebalanceDelayMs: 3_000 } });
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join();
    await broker.clock.advance(1_000);
    await b.join();
    for (const thread of [a, b])
      assert.deepEqual([thread.epoch, thread.owned, thread.status], [1, [], [Status.ASSIGNMENT_DELAYED]]);
    assert.equal(streamsGroupOf(broker).state, 'Assigning');
    await broker.clock.advance(2_000);
    await a.beat();
    await b.beat();
    assert.deepEqual([a.owned.length, b.owned.length, a.epoch, b.epoch], [2, 2, 3, 3]);
    assert.deepEqual([...a.status, ...b.status], []);
  });

  it('leave time between assignments', async () => {
    const broker = await startStreams({ events: 4 }, { group: { assignmentIntervalMs: 1_000 } });
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join();
    const delayed = await b.join();
    assert.deepEqual(delayed.status, [
      {
        statusCode: Status.ASSIGNMENT_DELAYED,
        statusDetail: 'Assignment delayed due to the configured assignment interval.',
      },
    ]);
    assert.equal(b.epoch, 2);
    await broker.clock.advance(1_000);
    await settle(a, b);
    assert.deepEqual([a.owned.length, b.owned.length], [2, 2]);
  });

  it('assign anew when the number of copies changes', async () => {
    let standbyReplicas = 0;
    const group = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 0 };
    const of = () => ({ ...group, initialRebalanceDelayMs: 0, standbyReplicas });
    const broker = await startStreams({ events: 2 }, { streams: { of } });
    const [a, b] = ['a', 'b'].map((id) => new StreamsThread(broker, id, id, COUNTER));
    await a!.join();
    await b!.join();
    await settle(a!, b!);
    assert.equal(a!.owned.length + b!.owned.length, 2);
    standbyReplicas = 1;
    await settle(a!, b!);
    assert.equal(a!.owned.length + b!.owned.length, 4);
  });

  it('fence epochs, and accept a former one from who has lost our answer', async () => {
    const broker = await startStreams();
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join();
    await b.join();
    await settle(a, b);
    const greater = await a.send({ memberEpoch: 9 });
    assert.equal(greater.errorCode, ErrorCode.FENCED_MEMBER_EPOCH);
    assert.match(greater.errorMessage!, /greater member epoch \(9\)/);
    const smaller = await a.send({ memberEpoch: 2 });
    assert.equal(smaller.errorCode, ErrorCode.FENCED_MEMBER_EPOCH);
    const none = { activeTasks: [], standbyTasks: [], warmupTasks: [] };
    assert.equal((await a.send({ memberEpoch: 2, ...none })).memberEpoch, 3);
    assert.equal((await a.send({ memberId: 'z', memberEpoch: 3 })).errorCode, ErrorCode.UNKNOWN_MEMBER_ID);
    const invalid = await a.send({ ...none, activeTasks: [{ subtopologyId: '0', partitions: [4] }] });
    assert.equal(
      invalid.errorMessage,
      'Task 4 for subtopology 0 is invalid. Number of tasks for this subtopology: 4',
    );
  });

  it('remove members that are late', async () => {
    const broker = await startStreams();
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join({ rebalanceTimeoutMs: 10_000 });
    await b.join();
    // Told to give up tasks, it goes on without doing so.
    await a.send({
      activeTasks: [{ subtopologyId: '0', partitions: [0, 1, 2, 3] }],
      standbyTasks: [],
      warmupTasks: [],
    });
    await broker.clock.advance(10_000);
    assert.equal(streamsGroupOf(broker).member('a'), undefined);
    await settle(b);
    assert.deepEqual(b.owned, names(4));
    await broker.clock.advance(45_000);
    assert.deepEqual([streamsGroupOf(broker).size, streamsGroupOf(broker).state], [0, 'Empty']);
  });

  it('end the whole application when a member asks', async () => {
    const broker = await startStreams();
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join();
    await b.join();
    await a.beat({ shutdownApplication: true });
    await b.beat();
    assert.deepEqual(b.status, [Status.SHUTDOWN_APPLICATION]);
    await a.leave();
    await b.leave();
    await a.join();
    assert.deepEqual(a.status, []);
  });

  it('say where state can be queried', async () => {
    const broker = await startStreams({ events: 2 });
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join({ userEndpoint: { host: 'a', port: 1 } });
    await b.join({ userEndpoint: { host: 'b', port: 2 } });
    await settle(a, b);
    const told = await a.beat({ endpointInformationEpoch: -1 });
    assert.deepEqual(
      told.partitionsByUserEndpoint
        ?.map(({ userEndpoint, activePartitions }) => [userEndpoint.host, activePartitions])
        .sort(),
      [
        ['a', [{ topic: 'events', partitions: a.owned.map((name) => Number(name.at(-1))) }]],
        ['b', [{ topic: 'events', partitions: b.owned.map((name) => Number(name.at(-1))) }]],
      ],
    );
    const { endpointInformationEpoch } = told;
    assert.equal((await a.beat({ endpointInformationEpoch })).partitionsByUserEndpoint, null);
  });

  it('refuse requests that say too little', async () => {
    const broker = await startStreams();
    const thread = new StreamsThread(broker, 'a');
    const refused = async (request: Parameters<StreamsThread['join']>[0]) =>
      (await thread.join(request)).errorMessage;
    assert.equal(await refused({ groupId: ' ' }), "GroupId can't be empty.");
    assert.equal(await refused({ memberId: '' }), "MemberId can't be empty.");
    assert.equal(await refused({ topology: null }), 'Topology must be non-null when (re-)joining.');
    assert.equal(
      await refused({ rebalanceTimeoutMs: -1 }),
      'RebalanceTimeoutMs must be provided in first request.',
    );
    assert.equal(
      await refused({ standbyTasks: [{ subtopologyId: '0', partitions: [0] }] }),
      'StandbyTasks must be empty when (re-)joining.',
    );
    assert.equal(
      await refused({ memberEpoch: -3 }),
      'MemberEpoch is -3, but must be greater than or equal to -2.',
    );
    const tasks = [{ subtopologyId: '0', partitions: [0] }];
    assert.equal(await refused({ warmupTasks: tasks }), 'WarmupTasks are not supported yet.');
    const taskOffsets = [{ subtopologyId: '0', partition: 0, offset: 1n }];
    assert.equal(await refused({ taskOffsets }), 'TaskOffsets are not supported yet.');
    assert.equal(await refused({ memberEpoch: 1 }), 'Topology can only be provided when (re-)joining.');
    assert.equal(await refused({ instanceId: 'i' }), 'Static membership is not yet supported.');
    assert.equal(
      (await thread.send({ memberEpoch: 1, activeTasks: [] })).errorMessage,
      'If one task-type is non-null, all must be non-null.',
    );
    assert.equal((await thread.send({ memberEpoch: 1 })).errorMessage, 'Streams group group not found.');
    const disabled = await startStreams({}, { streams: { enabled: false } });
    assert.equal((await new StreamsThread(disabled, 'a').join()).errorCode, ErrorCode.UNSUPPORTED_VERSION);
    assert.equal(disabled.groups.describeStreamsGroup(GROUP).errorCode, ErrorCode.UNSUPPORTED_VERSION);
    const full = await startStreams({ events: 1 }, { streams: { maxSize: 1 } });
    await new StreamsThread(full, 'a').join();
    assert.equal((await new StreamsThread(full, 'b').join()).errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED);
  });

  it('refuse topologies with topics of the broker itself, or with names that no topic can have', async () => {
    const broker = await startStreams({ events: 1 });
    const refused = async (topology: typeof READER) => {
      const { errorCode, errorMessage } = await new StreamsThread(broker, 'a', 'a', topology).join();
      assert.equal(errorCode, ErrorCode.STREAMS_INVALID_TOPOLOGY);
      return errorMessage;
    };
    const internal = topologyOf({
      ...{ id: '0', sources: ['events', '__consumer_offsets'], sinks: ['__transaction_state'] },
      ...{ repartitions: { __share_group_state: 0 }, changelogs: ['__transaction_state'] },
    });
    assert.equal(
      await refused(internal),
      'Use of Kafka internal topics __consumer_offsets,__transaction_state,__share_group_state in a Kafka Streams topology is prohibited.',
    );
    const invalid = topologyOf({
      ...{ id: '0', sources: ['a '], sinks: ['b?'], repartitions: { 'c!': 0 }, changelogs: ['d/'] },
    });
    assert.equal(await refused(invalid), 'Topic names a ,b?,c!,d/ are not valid topic names.');
    assert.equal(broker.groups.shards[0]!.groups.size, 0);
  });

  it('let members commit in their epochs', async () => {
    const broker = await startStreams();
    const [a, b] = [new StreamsThread(broker, 'a'), new StreamsThread(broker, 'b')];
    await a.join();
    await b.join();
    await settle(a, b);
    const commit = async (memberId: string, epoch: number, partition: number, version = 9) => {
      const part = {
        partitionIndex: partition,
        committedOffset: 1n,
        committedLeaderEpoch: -1,
        committedMetadata: '',
      };
      const request = createOffsetCommitRequest({
        groupId: GROUP,
        memberId,
        generationIdOrMemberEpoch: epoch,
        topics: [{ name: 'events', topicId: '', partitions: [part] }],
      });
      const topicNames = { partitionCount: () => 4, idOf: () => null, nameOf: () => null };
      const response = await commitOffsets(broker.groups, topicNames, request, version);
      return response.topics[0]!.partitions[0]!.errorCode;
    };
    const kept = Number(a.owned[0]!.at(-1));
    const got = Number(b.owned[0]!.at(-1));
    assert.equal(await commit('a', 3, kept), ErrorCode.NONE);
    assert.equal(await commit('a', 2, kept), ErrorCode.NONE);
    assert.equal(await commit('a', 2, got), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit('b', 2, got), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit('a', 4, kept), ErrorCode.STALE_MEMBER_EPOCH);
    assert.equal(await commit('z', 3, kept), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(await commit('', -1, kept), ErrorCode.UNKNOWN_MEMBER_ID);
    assert.equal(await commit('a', 3, kept, 8), ErrorCode.UNSUPPORTED_VERSION);
    await a.leave();
    await b.leave();
    assert.equal(await commit('', -1, kept), ErrorCode.NONE);
  });

  it('are what was written when they are read back', async () => {
    const broker = await startStreams({ events: 4 }, { group: { standbyReplicas: 1 } });
    const [a, b] = ['a', 'b'].map((id) => new StreamsThread(broker, id, id, COUNTER));
    await a!.join();
    await a!.beat();
    await b!.join();
    await a!.beat();
    const before = streamsGroupOf(broker);
    broker.groups.close();
    const again = await startStreams({}, { former: broker, group: { standbyReplicas: 1 } });
    const after = streamsGroupOf(again);
    assert.deepEqual([...after.members()], [...before.members()]);
    for (const { memberId } of after.members())
      assert.deepEqual(after.targetOf(memberId), before.targetOf(memberId));
    const { topology, groupEpoch, assignmentEpoch, metadataHash, validatedTopologyEpoch, state } = after;
    assert.deepEqual(topology, before.topology);
    assert.deepEqual(
      [groupEpoch, assignmentEpoch, metadataHash, validatedTopologyEpoch, state],
      [
        before.groupEpoch,
        before.assignmentEpoch,
        before.metadataHash,
        before.validatedTopologyEpoch,
        before.state,
      ],
    );
    await again.clock.advance(45_000);
    assert.equal(streamsGroupOf(again).size, 0);
    again.groups.close();
    assert.equal(again.clock.pending, 0);
  });

  it('are listed, described, and deleted when they are empty', async () => {
    const broker = await startStreams();
    const a = new StreamsThread(broker, 'a');
    await a.join({ rackId: 'rack', clientTags: [{ key: 'zone', value: 'z' }] });
    assert.deepEqual(listGroups(broker.groups, ['stable'], ['Streams']).groups, [
      { groupId: GROUP, protocolType: 'streams', groupState: 'Stable', groupType: 'streams' },
    ]);
    const described = broker.groups.describeStreamsGroup(GROUP);
    const [member] = described.members;
    assert.deepEqual(
      [described.groupState, described.groupEpoch, described.assignmentEpoch, described.topology?.epoch],
      ['Stable', 2, 2, 0],
    );
    assert.deepEqual(
      [member?.memberId, member?.rackId, member?.processId, member?.clientTags, member?.isClassic],
      ['a', 'rack', 'process-a', [{ key: 'zone', value: 'z' }], false],
    );
    assert.deepEqual(member?.assignment.activeTasks, [{ subtopologyId: '0', partitions: [0, 1, 2, 3] }]);
    assert.deepEqual(member?.targetAssignment, member?.assignment);
    assert.deepEqual(broker.groups.states('streams'), new Map([['Stable', 1]]));
    assert.equal(broker.groups.describeStreamsGroup('other').errorMessage, 'Group other not found.');
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NON_EMPTY_GROUP);
    await a.leave();
    assert.equal(await broker.groups.deleteGroup(GROUP), ErrorCode.NONE);
    assert.equal(broker.groups.describeStreamsGroup(GROUP).errorCode, ErrorCode.GROUP_ID_NOT_FOUND);
    broker.groups.close();
    const again = await startStreams({}, { former: broker });
    assert.equal(again.groups.shards[0]!.groups.size, 0);
  });

  it('take the place of an empty classic group, and the other way round', async () => {
    const broker = await startStreams();
    const thread = new StreamsThread(broker, 'a');
    const classic = join(broker);
    await broker.clock.advance(6_000);
    const { memberId } = await classic;
    assert.equal((await thread.join()).errorMessage, 'Group group is not a streams group.');
    await broker.groups.leave(GROUP, [{ memberId, groupInstanceId: null, reason: null }]);
    assert.equal((await thread.join()).errorCode, 0);
    assert.equal((await join(broker)).errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    await thread.leave();
    const again = join(broker);
    await broker.clock.advance(6_000);
    assert.equal((await again).errorCode, 0);
    assert.equal(broker.groups.shards[0]!.groups.get(GROUP)?.type, 'classic');
  });

  it('are read again when something could not be written', async () => {
    const broker = await startStreams();
    const a = new StreamsThread(broker, 'a');
    await a.join();
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const b = new StreamsThread(broker, 'b');
    assert.equal((await b.join()).errorCode, ErrorCode.NOT_COORDINATOR);
    broker.log.failure = null;
    await broker.clock.advance(2_000);
    await settled();
    assert.equal(streamsGroupOf(broker).size, 1);
    await a.beat();
    assert.deepEqual([a.epoch, a.owned.length], [2, 4]);
  });
});

import assert from 'node:assert/strict';
import { errorInfo } from '../src/protocol/errors.ts';
import { consumerGroupDescribeRequest } from '../src/protocol/generated/consumer-group-describe-request.ts';
import { consumerGroupDescribeResponse } from '../src/protocol/generated/consumer-group-describe-response.ts';
import {
  type ConsumerGroupHeartbeatRequest,
  consumerGroupHeartbeatRequest,
} from '../src/protocol/generated/consumer-group-heartbeat-request.ts';
import { consumerGroupHeartbeatResponse } from '../src/protocol/generated/consumer-group-heartbeat-response.ts';
import { consumerProtocolAssignment } from '../src/protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../src/protocol/generated/consumer-protocol-subscription.ts';
import { createTopicsRequest } from '../src/protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../src/protocol/generated/create-topics-response.ts';
import { findCoordinatorRequest } from '../src/protocol/generated/find-coordinator-request.ts';
import { findCoordinatorResponse } from '../src/protocol/generated/find-coordinator-response.ts';
import { heartbeatRequest } from '../src/protocol/generated/heartbeat-request.ts';
import { heartbeatResponse } from '../src/protocol/generated/heartbeat-response.ts';
import { joinGroupRequest } from '../src/protocol/generated/join-group-request.ts';
import { type JoinGroupResponse, joinGroupResponse } from '../src/protocol/generated/join-group-response.ts';
import { listGroupsRequest } from '../src/protocol/generated/list-groups-request.ts';
import { listGroupsResponse } from '../src/protocol/generated/list-groups-response.ts';
import { offsetCommitRequest } from '../src/protocol/generated/offset-commit-request.ts';
import { offsetCommitResponse } from '../src/protocol/generated/offset-commit-response.ts';
import { offsetFetchRequest } from '../src/protocol/generated/offset-fetch-request.ts';
import { offsetFetchResponse } from '../src/protocol/generated/offset-fetch-response.ts';
import { syncGroupRequest } from '../src/protocol/generated/sync-group-request.ts';
import { syncGroupResponse } from '../src/protocol/generated/sync-group-response.ts';
import { decodeVersioned, encodeVersioned } from '../src/protocol/internal-records.ts';
import { ZERO_UUID } from '../src/protocol/wire/types.ts';
import { type Broker, sharedBroker } from './harness/broker.ts';
import { sleep, until } from './harness/child.ts';
import { WireClient } from './harness/wire-client.ts';

const TOPIC = 'consumer-group-protocol';
/** The least time between two target assignments of a group, and a little more. */
const ASSIGNMENT_INTERVAL_MS = 1_200;
const FULL = { rebalanceTimeoutMs: 60_000, subscribedTopicNames: [TOPIC], topicPartitions: [] };

/** What Apache Kafka 4.3 answers members of the consumer protocol, checked against it by KAFABRIC_TEST_TARGET=kafka. */
describe('consumer group protocol', () => {
  let broker: Broker;
  let client: WireClient;
  let topicId = '';

  before(async () => {
    broker = await sharedBroker();
    client = await WireClient.connect(broker.bootstrap);
    const topics = [{ name: TOPIC, numPartitions: 4, replicationFactor: 1, assignments: [], configs: [] }];
    const request = { topics, timeoutMs: 10_000 };
    const created = await client.call([createTopicsRequest, createTopicsResponse], 7, request);
    topicId = created.topics[0]!.topicId;
    await until('groups are served', 30_000, async () => {
      const find = [findCoordinatorRequest, findCoordinatorResponse] as const;
      await client.call(find, 4, { coordinatorKeys: ['group'] });
      const answer = await beat('probe', 'm', 1);
      return answer.startsWith('GROUP_ID_NOT_FOUND');
    });
  });

  after(() => client?.close());

  const nameOf = (code: number) => errorInfo(code).name;

  /** As text: the epoch and the assignment if there is one, or the error and its message. */
  async function beat(
    groupId: string,
    memberId: string,
    memberEpoch: number,
    change: Partial<ConsumerGroupHeartbeatRequest> = {},
    version = 1,
  ): Promise<string> {
    const codecs = [consumerGroupHeartbeatRequest, consumerGroupHeartbeatResponse] as const;
    const request = { groupId, memberId, memberEpoch, ...change };
    const { errorCode, errorMessage, ...response } = await client.call(codecs, version, request);
    if (errorCode !== 0) return `${nameOf(errorCode)}: ${errorMessage}`;
    const assigned = response.assignment?.topicPartitions.flatMap(({ partitions }) => partitions);
    return `${response.memberEpoch} ${assigned === undefined ? '-' : `[${assigned.sort((a, b) => a - b)}]`}`;
  }

  function owning(...partitions: number[]): Partial<ConsumerGroupHeartbeatRequest> {
    return { topicPartitions: partitions.length === 0 ? [] : [{ topicId, partitions }] };
  }

  async function commit(groupId: string, memberId: string, epoch: number, partition: number, version = 10) {
    const part = {
      partitionIndex: partition,
      committedOffset: 5n,
      committedLeaderEpoch: -1,
      committedMetadata: '',
    };
    const topic = version >= 10 ? { name: '', topicId } : { name: TOPIC, topicId: ZERO_UUID };
    const topics = [{ ...topic, partitions: [part] }];
    const request = { groupId, memberId, generationIdOrMemberEpoch: epoch, topics };
    const response = await client.call([offsetCommitRequest, offsetCommitResponse], version, request);
    return nameOf(response.topics[0]!.partitions[0]!.errorCode);
  }

  async function describeGroup(groupId: string) {
    const codecs = [consumerGroupDescribeRequest, consumerGroupDescribeResponse] as const;
    const { groups } = await client.call(codecs, 1, { groupIds: [groupId] });
    return groups[0]!;
  }

  it('refuses requests that say too little', async () => {
    assert.equal(await beat('', 'm', 0, FULL), "INVALID_REQUEST: GroupId can't be empty.");
    assert.equal(await beat('g', '', 0, FULL), "INVALID_REQUEST: MemberId can't be empty.");
    const late = { ...FULL, rebalanceTimeoutMs: -1 };
    const message = 'RebalanceTimeoutMs must be provided in first request.';
    assert.equal(await beat('g', 'm', 0, late), `INVALID_REQUEST: ${message}`);
    assert.equal(
      await beat('g', 'm', 0, { ...FULL, topicPartitions: null }),
      'INVALID_REQUEST: TopicPartitions must be empty when (re-)joining.',
    );
    assert.equal(
      await beat('g', 'm', 0, { ...FULL, subscribedTopicNames: null }),
      'INVALID_REQUEST: Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.',
    );
    assert.equal(await beat('g', 'm', -2), "INVALID_REQUEST: InstanceId can't be null.");
    assert.equal(await beat('g', 'm', -3), 'INVALID_REQUEST: MemberEpoch is invalid.');
    assert.equal(
      await beat('g', 'm', 0, { ...FULL, serverAssignor: 'sticky' }),
      'UNSUPPORTED_ASSIGNOR: ServerAssignor sticky is not supported. Supported assignors: uniform, range.',
    );
    assert.equal(await beat('g', 'm', 1), 'GROUP_ID_NOT_FOUND: Consumer group g not found.');
    assert.equal(await beat('g', 'm', -1), 'GROUP_ID_NOT_FOUND: Group g not found.');
    const invalid = { ...FULL, subscribedTopicNames: null, subscribedTopicRegex: '(' };
    assert.match(
      await beat('g', 'm', 0, invalid),
      /^INVALID_REGULAR_EXPRESSION: SubscribedTopicRegex `\(` is not a valid regular expression: /,
    );
  });

  it('leads two members through a reconciliation', async () => {
    const group = 'reconciled';
    assert.equal(await beat(group, 'a', 0, FULL), '2 [0,1,2,3]');
    assert.equal(await beat(group, 'a', 2), '2 -');
    await sleep(ASSIGNMENT_INTERVAL_MS);
    assert.equal(await beat(group, 'b', 0, { ...FULL, rackId: 'rack' }), '3 []');
    assert.equal(await beat(group, 'a', 2, owning(0, 1, 2, 3)), '2 [0,1]');
    assert.equal(await beat(group, 'b', 3), '3 -');
    const described = await describeGroup(group);
    assert.deepEqual(
      [described.groupState, described.groupEpoch, described.assignmentEpoch, described.assignorName],
      ['Reconciling', 3, 3, 'uniform'],
    );
    assert.deepEqual(
      described.members
        .sort((x, y) => (x.memberId < y.memberId ? -1 : 1))
        .map(({ memberId, rackId, memberEpoch, memberType, subscribedTopicRegex, ...member }) => [
          ...[memberId, rackId, memberEpoch, memberType, subscribedTopicRegex],
          member.assignment.topicPartitions.flatMap(({ partitions }) => partitions).sort(),
          member.targetAssignment.topicPartitions.flatMap(({ partitions }) => partitions).sort(),
        ]),
      [
        ['a', null, 2, 1, '', [0, 1, 2, 3], [0, 1]],
        ['b', 'rack', 3, 1, '', [], [2, 3]],
      ],
    );
    assert.equal(await beat(group, 'a', 2, owning(0, 1)), '3 -');
    assert.equal(await beat(group, 'b', 3), '3 [2,3]');
    assert.equal(await beat(group, 'a', 3, { ...FULL, ...owning(0, 1) }), '3 [0,1]');
    assert.equal((await describeGroup(group)).groupState, 'Stable');
    const { groups } = await client.call([listGroupsRequest, listGroupsResponse], 5, {
      statesFilter: ['STABLE'],
      typesFilter: ['Consumer'],
    });
    const listed = groups.find(({ groupId }) => groupId === group);
    assert.deepEqual(
      [listed?.groupType, listed?.groupState, listed?.protocolType],
      ['consumer', 'Stable', 'consumer'],
    );
  });

  it('fences epochs, and accepts a former one from who has lost our answer', async () => {
    const group = 'reconciled';
    const rejoin = 'The member must abandon all its partitions and rejoin.';
    assert.equal(
      await beat(group, 'a', 4),
      `FENCED_MEMBER_EPOCH: The consumer group member has a greater member epoch (4) than the one known by the group coordinator (3). ${rejoin}`,
    );
    assert.equal(
      await beat(group, 'a', 2),
      `FENCED_MEMBER_EPOCH: The consumer group member has a smaller member epoch (2) than the one known by the group coordinator (3). ${rejoin}`,
    );
    assert.equal(await beat(group, 'a', 2, owning(0)), '3 -');
    assert.equal(
      await beat(group, 'c', 3),
      'UNKNOWN_MEMBER_ID: Member c is not a member of group reconciled.',
    );
  });

  it('commits and fetches offsets in epochs', async () => {
    const group = 'reconciled';
    assert.equal(await commit(group, 'a', 3, 0), 'NONE');
    assert.equal(await commit(group, 'a', 2, 0), 'NONE');
    assert.equal(await commit(group, 'a', 1, 0), 'STALE_MEMBER_EPOCH');
    assert.equal(await commit(group, 'a', 4, 0), 'STALE_MEMBER_EPOCH');
    assert.equal(await commit(group, 'a', 2, 3), 'STALE_MEMBER_EPOCH');
    assert.equal(await commit(group, 'z', 3, 0), 'UNKNOWN_MEMBER_ID');
    assert.equal(await commit(group, '', -1, 0), 'UNKNOWN_MEMBER_ID');
    assert.equal(await commit(group, 'a', 3, 0, 8), 'UNSUPPORTED_VERSION');
    const fetch = async (memberId: string | null, memberEpoch: number) => {
      const topics = [{ name: '', topicId, partitionIndexes: [0] }];
      const groups = [{ groupId: group, memberId, memberEpoch, topics }];
      const response = await client.call([offsetFetchRequest, offsetFetchResponse], 10, { groups });
      const { errorCode, topics: fetched } = response.groups[0]!;
      return errorCode === 0 ? fetched[0]!.partitions[0]!.committedOffset : nameOf(errorCode);
    };
    assert.equal(await fetch(null, -1), 5n);
    assert.equal(await fetch('a', 3), 5n);
    assert.equal(await fetch('a', 2), 'STALE_MEMBER_EPOCH');
    assert.equal(await fetch('z', 3), 'UNKNOWN_MEMBER_ID');
  });

  it('keeps the place of a static member', async () => {
    const group = 'static';
    const instance = { instanceId: 'one' };
    assert.equal(await beat(group, 'a', 0, { ...FULL, ...instance }), '2 [0,1,2,3]');
    assert.equal(
      await beat(group, 'b', 0, { ...FULL, ...instance }),
      'UNRELEASED_INSTANCE_ID: Static member b with instance id one cannot join the group because the instance id is owned by a member.',
    );
    assert.equal(
      await beat(group, 'b', 2, instance),
      'FENCED_INSTANCE_ID: Static member b with instance id one was fenced by member a.',
    );
    assert.equal(await beat(group, 'a', -2, instance), '-2 -');
    assert.equal(await beat(group, 'b', 0, { ...FULL, ...instance }), '2 [0,1,2,3]');
    assert.equal(await commit(group, 'b', 2, 0), 'NONE');
    assert.equal(await beat(group, 'b', -1, instance), '-1 -');
    const { groupState, groupEpoch } = await describeGroup(group);
    assert.deepEqual([groupState, groupEpoch], ['Empty', 3]);
  });

  it('resolves regular expressions behind the answer', async () => {
    const group = 'regex';
    const subscribed = { ...FULL, subscribedTopicNames: null, subscribedTopicRegex: 'consumer-group-p.*' };
    assert.equal(await beat(group, 'a', 0, subscribed), '1 []');
    await sleep(ASSIGNMENT_INTERVAL_MS);
    let answer = '1 -';
    await until('it is resolved', 30_000, async () => {
      answer = await beat(group, 'a', 1);
      return answer !== '1 -';
    });
    assert.equal(answer, '2 [0,1,2,3]');
    const [member] = (await describeGroup(group)).members;
    assert.equal(member?.subscribedTopicRegex, 'consumer-group-p.*');
  });

  it('takes members of the classic protocol in', async () => {
    const group = 'mixed';
    const subscription = encodeVersioned(
      consumerProtocolSubscription,
      { topics: [TOPIC], userData: null, ownedPartitions: [], generationId: -1, rackId: null },
      0,
    );
    const join = (memberId: string): Promise<JoinGroupResponse> =>
      client.call([joinGroupRequest, joinGroupResponse], 9, {
        groupId: group,
        memberId,
        sessionTimeoutMs: 30_000,
        rebalanceTimeoutMs: 30_000,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: subscription }],
      });
    const classicBeat = async ({ memberId, generationId }: JoinGroupResponse) => {
      const request = { groupId: group, memberId, generationId };
      return nameOf((await client.call([heartbeatRequest, heartbeatResponse], 4, request)).errorCode);
    };
    const sync = async ({ memberId, generationId }: JoinGroupResponse) => {
      const request = {
        groupId: group,
        memberId,
        generationId,
        protocolType: 'consumer',
        protocolName: 'range',
      };
      const response = await client.call([syncGroupRequest, syncGroupResponse], 5, request);
      if (response.errorCode !== 0) return nameOf(response.errorCode);
      const { assignedPartitions } = decodeVersioned(consumerProtocolAssignment, response.assignment).value;
      return assignedPartitions.flatMap(({ partitions }) => partitions).sort();
    };
    assert.equal(await beat(group, 'a', 0, FULL), '2 [0,1,2,3]');
    await sleep(ASSIGNMENT_INTERVAL_MS);
    const first = await join('');
    assert.equal(nameOf(first.errorCode), 'MEMBER_ID_REQUIRED');
    const joined = await join(first.memberId);
    assert.deepEqual(
      [nameOf(joined.errorCode), joined.generationId, joined.protocolType, joined.protocolName],
      ['NONE', 3, 'consumer', 'range'],
    );
    assert.deepEqual([joined.leader, joined.members], ['', []]);
    assert.deepEqual(await sync(joined), []);
    assert.equal(await classicBeat(joined), 'NONE');
    assert.equal(await beat(group, 'a', 2, owning(0, 1, 2, 3)), '2 [0,1]');
    assert.equal(await beat(group, 'a', 2, owning(0, 1)), '3 -');
    assert.equal(await classicBeat(joined), 'REBALANCE_IN_PROGRESS');
    assert.equal(await classicBeat({ ...joined, generationId: 2 }), 'ILLEGAL_GENERATION');
    const again = await join(joined.memberId);
    assert.deepEqual([nameOf(again.errorCode), again.generationId], ['NONE', 3]);
    assert.deepEqual(await sync(again), [2, 3]);
    const { members } = await describeGroup(group);
    assert.deepEqual(members.map(({ memberType }) => memberType).sort(), [0, 1]);
    // The last member of the consumer protocol leaves.
    assert.equal(await beat(group, 'a', -1), '-1 -');
    assert.equal(nameOf((await describeGroup(group)).errorCode), 'GROUP_ID_NOT_FOUND');
    assert.equal(await classicBeat(again), 'REBALANCE_IN_PROGRESS');
    const alone = await join(again.memberId);
    assert.deepEqual([nameOf(alone.errorCode), alone.generationId], ['NONE', 4]);
    assert.equal(alone.leader, alone.memberId);
  });
});

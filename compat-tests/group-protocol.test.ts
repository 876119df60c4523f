import assert from 'node:assert/strict';
import { errorInfo } from '../src/protocol/errors.ts';
import { consumerProtocolSubscription } from '../src/protocol/generated/consumer-protocol-subscription.ts';
import { createTopicsRequest } from '../src/protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../src/protocol/generated/create-topics-response.ts';
import { deleteGroupsRequest } from '../src/protocol/generated/delete-groups-request.ts';
import { deleteGroupsResponse } from '../src/protocol/generated/delete-groups-response.ts';
import { describeGroupsRequest } from '../src/protocol/generated/describe-groups-request.ts';
import { describeGroupsResponse } from '../src/protocol/generated/describe-groups-response.ts';
import { findCoordinatorRequest } from '../src/protocol/generated/find-coordinator-request.ts';
import { findCoordinatorResponse } from '../src/protocol/generated/find-coordinator-response.ts';
import { heartbeatRequest } from '../src/protocol/generated/heartbeat-request.ts';
import { heartbeatResponse } from '../src/protocol/generated/heartbeat-response.ts';
import { type JoinGroupRequest, joinGroupRequest } from '../src/protocol/generated/join-group-request.ts';
import { type JoinGroupResponse, joinGroupResponse } from '../src/protocol/generated/join-group-response.ts';
import { leaveGroupRequest } from '../src/protocol/generated/leave-group-request.ts';
import { leaveGroupResponse } from '../src/protocol/generated/leave-group-response.ts';
import {
  type OffsetCommitRequest,
  offsetCommitRequest,
} from '../src/protocol/generated/offset-commit-request.ts';
import { offsetCommitResponse } from '../src/protocol/generated/offset-commit-response.ts';
import { offsetDeleteRequest } from '../src/protocol/generated/offset-delete-request.ts';
import { offsetDeleteResponse } from '../src/protocol/generated/offset-delete-response.ts';
import { offsetFetchRequest } from '../src/protocol/generated/offset-fetch-request.ts';
import { offsetFetchResponse } from '../src/protocol/generated/offset-fetch-response.ts';
import { type SyncGroupRequest, syncGroupRequest } from '../src/protocol/generated/sync-group-request.ts';
import { syncGroupResponse } from '../src/protocol/generated/sync-group-response.ts';
import { encodeVersioned } from '../src/protocol/internal-records.ts';
import { ZERO_UUID } from '../src/protocol/wire/types.ts';
import { type Broker, sharedBroker } from './harness/broker.ts';
import { patience, until } from './harness/child.ts';
import { WireClient } from './harness/wire-client.ts';

const TOPIC = 'group-protocol';
const OTHER_TOPIC = 'group-protocol-other';
const subscription = encodeVersioned(
  consumerProtocolSubscription,
  { topics: [TOPIC], userData: null, ownedPartitions: [], generationId: -1, rackId: null },
  0,
);

/** What Apache Kafka 4.3 answers, checked against it by KAFABRIC_TEST_TARGET=kafka: the cases that clients seldom meet. */
describe('group protocol', () => {
  let broker: Broker;
  let a: WireClient;
  let b: WireClient;

  before(async () => {
    broker = await sharedBroker();
    [a, b] = [await WireClient.connect(broker.bootstrap), await WireClient.connect(broker.bootstrap)];
    const topics = [TOPIC, OTHER_TOPIC].map((name) => ({
      name,
      numPartitions: 2,
      replicationFactor: 1,
      assignments: [],
      configs: [],
    }));
    await a.call([createTopicsRequest, createTopicsResponse], 5, { topics, timeoutMs: 10_000 });
    // Kafka says that the coordinator is there before its groups are loaded.
    await until('groups are served', 30_000, async () => {
      const find = [findCoordinatorRequest, findCoordinatorResponse] as const;
      const { coordinators } = await a.call(find, 4, { coordinatorKeys: ['group'] });
      return coordinators[0]!.errorCode === 0 && (await commit('probe', -1, '')) === 'NONE';
    });
  });

  after(() => {
    a?.close();
    b?.close();
  });

  const nameOf = (code: number) => errorInfo(code).name;

  function join(
    client: WireClient,
    version: number,
    groupId: string,
    change: Partial<JoinGroupRequest> = {},
  ) {
    return client.call([joinGroupRequest, joinGroupResponse], version, {
      groupId,
      sessionTimeoutMs: 60_000,
      ...(version > 0 && { rebalanceTimeoutMs: 6_000 }),
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: subscription }],
      ...change,
    });
  }

  type Member = Pick<JoinGroupResponse, 'memberId' | 'generationId'>;

  /** As text: the error, or the assignment. */
  async function sync(
    groupId: string,
    { memberId, generationId }: Member,
    assignments: Readonly<Record<string, string>> = {},
    change: Partial<SyncGroupRequest> = {},
  ): Promise<string> {
    const list = Object.entries(assignments).map(([id, text]) => ({
      memberId: id,
      assignment: new Uint8Array(Buffer.from(text)),
    }));
    const request = { groupId, memberId, generationId, assignments: list, ...change };
    const version = change.protocolName === undefined ? 3 : 5;
    const response = await a.call([syncGroupRequest, syncGroupResponse], version, request);
    return response.errorCode === 0
      ? Buffer.from(response.assignment).toString()
      : nameOf(response.errorCode);
  }

  async function heartbeat(groupId: string, { memberId, generationId }: Member, instance?: string) {
    const request = { groupId, memberId, generationId, groupInstanceId: instance ?? null };
    return nameOf((await b.call([heartbeatRequest, heartbeatResponse], 3, request)).errorCode);
  }

  async function commit(
    groupId: string,
    generationIdOrMemberEpoch: number,
    memberId: string,
    change: Partial<OffsetCommitRequest> = {},
    { topic = TOPIC, partition = 0, metadata = '', version = 9 } = {},
  ): Promise<string> {
    const part = {
      partitionIndex: partition,
      committedOffset: 5n,
      committedLeaderEpoch: -1,
      committedMetadata: metadata,
    };
    const topics = [{ name: topic, topicId: ZERO_UUID, partitions: [part] }];
    const request = { groupId, generationIdOrMemberEpoch, memberId, topics, ...change };
    const response = await b.call([offsetCommitRequest, offsetCommitResponse], version, request);
    return nameOf(response.topics[0]!.partitions[0]!.errorCode);
  }

  async function leave(groupId: string, ...identities: [memberId: string, instance: string | null][]) {
    const members = identities.map(([memberId, groupInstanceId]) => ({
      memberId,
      groupInstanceId,
      reason: null,
    }));
    const response = await b.call([leaveGroupRequest, leaveGroupResponse], 5, { groupId, members });
    return response.members.map(({ errorCode }) => nameOf(errorCode));
  }

  async function stateOf(groupId: string): Promise<string> {
    const codecs = [describeGroupsRequest, describeGroupsResponse] as const;
    const { groups } = await b.call(codecs, 6, { groups: [groupId] });
    return groups[0]!.errorCode === 0 ? groups[0]!.groupState : nameOf(groups[0]!.errorCode);
  }

  it('knows nobody in groups that do not exist', async () => {
    const nobody = { memberId: 'm', generationId: 1 };
    assert.equal(await sync('none', nobody), 'UNKNOWN_MEMBER_ID');
    assert.equal(await heartbeat('none', nobody), 'UNKNOWN_MEMBER_ID');
    assert.deepEqual(await leave('none', ['m', null]), ['UNKNOWN_MEMBER_ID']);
    const old = await b.call([leaveGroupRequest, leaveGroupResponse], 2, { groupId: 'none', memberId: 'm' });
    assert.equal(nameOf(old.errorCode), 'UNKNOWN_MEMBER_ID');
    assert.equal(await stateOf('none'), 'GROUP_ID_NOT_FOUND');
    assert.equal(await commit('none', 1, 'm', {}, { version: 8 }), 'ILLEGAL_GENERATION');
    assert.equal(await commit('none', 1, 'm'), 'GROUP_ID_NOT_FOUND');
  });

  it('refuses what no group can accept', async () => {
    const errorOf = async (version: number, groupId: string, change: Partial<JoinGroupRequest>) =>
      nameOf((await join(a, version, groupId, change)).errorCode);
    assert.equal(await errorOf(9, '', {}), 'INVALID_GROUP_ID');
    assert.equal(await errorOf(9, 'refused', { sessionTimeoutMs: 1 }), 'INVALID_SESSION_TIMEOUT');
    assert.equal(await errorOf(9, 'refused', { memberId: 'who' }), 'UNKNOWN_MEMBER_ID');
    assert.equal(await errorOf(9, 'refused', { protocols: [] }), 'INCONSISTENT_GROUP_PROTOCOL');
    assert.equal(await errorOf(9, 'refused', { protocolType: '' }), 'INCONSISTENT_GROUP_PROTOCOL');
    const unnamed = await a.call([syncGroupRequest, syncGroupResponse], 5, { groupId: 'refused' });
    assert.equal(nameOf(unnamed.errorCode), 'INCONSISTENT_GROUP_PROTOCOL');
  });

  it('stores offsets of consumers that assign themselves', async () => {
    const group = 'simple';
    assert.equal(await commit(group, -1, ''), 'NONE');
    assert.equal(await commit(group, -1, 'who'), 'NONE');
    assert.equal(await commit(group, 0, 'who'), 'UNKNOWN_MEMBER_ID');
    assert.equal(await commit(group, -1, '', {}, { topic: 'missing' }), 'UNKNOWN_TOPIC_OR_PARTITION');
    assert.equal(await commit(group, -1, '', {}, { partition: 9 }), 'UNKNOWN_TOPIC_OR_PARTITION');
    const long = 'x'.repeat(5_000);
    assert.equal(await commit(group, -1, '', {}, { metadata: long }), 'OFFSET_METADATA_TOO_LARGE');
    assert.equal(await commit('', -1, ''), 'NONE');
    assert.equal(await stateOf(group), 'Empty');
    const fetched = await b.call([offsetFetchRequest, offsetFetchResponse], 9, {
      groups: [{ groupId: group, memberId: null, memberEpoch: -1, topics: null }],
    });
    const [topic] = fetched.groups[0]!.topics;
    assert.deepEqual(
      topic!.partitions.map(({ committedOffset }) => committedOffset),
      [5n],
    );
  });

  it('leads a dynamic member through a generation', async () => {
    const group = 'dynamic';
    const first = await join(a, 9, group);
    assert.equal(nameOf(first.errorCode), 'MEMBER_ID_REQUIRED');
    assert.equal(await heartbeat(group, { ...first, generationId: -1 }), 'UNKNOWN_MEMBER_ID');
    const member = await join(a, 9, group, { memberId: first.memberId });
    assert.deepEqual([nameOf(member.errorCode), member.generationId], ['NONE', 1]);
    assert.equal(await heartbeat(group, member), 'NONE');
    assert.equal(await commit(group, 1, member.memberId), 'REBALANCE_IN_PROGRESS');
    assert.equal(await sync(group, { ...member, generationId: 0 }), 'ILLEGAL_GENERATION');
    const named = { protocolType: 'consumer', protocolName: 'other' };
    assert.equal(await sync(group, member, {}, named), 'INCONSISTENT_GROUP_PROTOCOL');
    assert.equal(await sync(group, member, { [member.memberId]: 'mine', ghost: 'x' }), 'mine');
    assert.equal(await stateOf(group), 'Stable');
    assert.equal(await commit(group, 1, member.memberId), 'NONE');
    assert.equal(await commit(group, 0, member.memberId), 'ILLEGAL_GENERATION');
    assert.equal(await commit(group, -1, member.memberId), 'ILLEGAL_GENERATION');
    assert.equal(await commit(group, -1, ''), 'UNKNOWN_MEMBER_ID');
    assert.equal(await commit(group, 1, member.memberId, { groupInstanceId: 'x' }), 'UNKNOWN_MEMBER_ID');
    const other = await join(b, 3, group, { protocols: [{ name: 'other', metadata: subscription }] });
    assert.equal(nameOf(other.errorCode), 'INCONSISTENT_GROUP_PROTOCOL');
    const { results } = await b.call([deleteGroupsRequest, deleteGroupsResponse], 2, {
      groupsNames: [group],
    });
    assert.equal(nameOf(results[0]!.errorCode), 'NON_EMPTY_GROUP');
    const topics = [TOPIC, OTHER_TOPIC].map((name) => ({ name, partitions: [{ partitionIndex: 0 }] }));
    const deleted = await b.call([offsetDeleteRequest, offsetDeleteResponse], 0, { groupId: group, topics });
    const codes = new Map(deleted.topics.map((topic) => [topic.name, topic.partitions[0]!.errorCode]));
    assert.equal(nameOf(codes.get(TOPIC)!), 'GROUP_SUBSCRIBED_TO_TOPIC');
    assert.equal(nameOf(codes.get(OTHER_TOPIC)!), 'NONE');
    assert.deepEqual(await leave(group, [member.memberId, null], ['who', null]), [
      'NONE',
      'UNKNOWN_MEMBER_ID',
    ]);
    assert.equal(await stateOf(group), 'Empty');
  });

  it('drops a member that does not rejoin, after the rebalance time-out', async () => {
    const group = 'rejoin';
    // Within it the requests until it is over have to be answered.
    const options = { rebalanceTimeoutMs: 10_000 * patience };
    const leader = await join(a, 3, group, options);
    assert.equal(await sync(group, leader, { [leader.memberId]: '1' }), '1');
    const joining = join(a, 3, group, options);
    await until('the rebalance begins', 5_000, async () => (await stateOf(group)) === 'PreparingRebalance');
    assert.equal(await heartbeat(group, leader), 'REBALANCE_IN_PROGRESS');
    assert.equal(await commit(group, 1, leader.memberId), 'NONE');
    const next = await joining;
    assert.deepEqual([next.generationId, next.leader, next.members.length], [2, next.memberId, 1]);
    assert.equal(await heartbeat(group, leader), 'UNKNOWN_MEMBER_ID');
  });

  it('drops a member that never syncs, and one whose session ends', async () => {
    const group = 'silent';
    const isDropped = () => until('it is dropped', 30_000, async () => (await stateOf(group)) === 'Empty');
    const silent = await join(a, 3, group, { rebalanceTimeoutMs: 1_500 });
    await isDropped();
    assert.equal(await heartbeat(group, silent), 'UNKNOWN_MEMBER_ID');
    const quick = await join(a, 3, group, { sessionTimeoutMs: 6_000 * patience });
    assert.equal(quick.generationId, 3);
    assert.equal(await sync(group, quick, { [quick.memberId]: '1' }), '1');
    await isDropped();
    assert.equal(await heartbeat(group, quick), 'UNKNOWN_MEMBER_ID');
  });

  it('lets static members come back without a rebalance, and fences their former selves', async () => {
    const group = 'static';
    const groupInstanceId = 'i';
    const first = await join(a, 5, group, { groupInstanceId });
    const mine = { [first.memberId]: 'mine' };
    assert.equal(await sync(group, first, mine, { groupInstanceId }), 'mine');
    const second = await join(b, 5, group, { groupInstanceId });
    // It must not learn that it leads.
    assert.deepEqual([second.generationId, second.leader, second.members], [1, first.memberId, []]);
    assert.equal(await heartbeat(group, first, groupInstanceId), 'FENCED_INSTANCE_ID');
    assert.equal(await heartbeat(group, first), 'UNKNOWN_MEMBER_ID');
    assert.equal(await sync(group, second, {}, { groupInstanceId }), 'mine');
    const third = await join(b, 9, group, { groupInstanceId });
    assert.deepEqual([third.leader, third.skipAssignment, third.members.length], [third.memberId, true, 1]);
    assert.equal(await commit(group, 1, second.memberId, { groupInstanceId }), 'FENCED_INSTANCE_ID');
    const stale = await join(a, 5, group, { groupInstanceId, memberId: second.memberId });
    assert.equal(nameOf(stale.errorCode), 'FENCED_INSTANCE_ID');
    const left = await leave(group, [second.memberId, groupInstanceId], ['', 'x'], ['', groupInstanceId]);
    assert.deepEqual(left, ['FENCED_INSTANCE_ID', 'UNKNOWN_MEMBER_ID', 'NONE']);
    assert.equal(await stateOf(group), 'Empty');
  });
});

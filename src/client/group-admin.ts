import { ErrorCode } from '../protocol/errors.ts';
import { consumerGroupDescribeRequest } from '../protocol/generated/consumer-group-describe-request.ts';
import { consumerGroupDescribeResponse } from '../protocol/generated/consumer-group-describe-response.ts';
import { deleteGroupsRequest } from '../protocol/generated/delete-groups-request.ts';
import { deleteGroupsResponse } from '../protocol/generated/delete-groups-response.ts';
import { describeGroupsRequest } from '../protocol/generated/describe-groups-request.ts';
import { describeGroupsResponse } from '../protocol/generated/describe-groups-response.ts';
import { listGroupsRequest } from '../protocol/generated/list-groups-request.ts';
import { listGroupsResponse } from '../protocol/generated/list-groups-response.ts';
import type { Cluster } from './cluster.ts';
import { alterConfigs, type Configs, describeConfigs } from './configs.ts';
import { type AssignedPartition, readAssignment } from './consumer-protocol.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { type Abortable, brokerError, DirectError, unlessAborted } from './errors.ts';
import { allCommittedOffsets, commitOffsets, type PartitionOffset } from './group-offsets.ts';
import { groupSelector, setGroupSelector } from './group-selector.ts';
import { offsetsAt, offsetsKnownAt, type StartPosition } from './list-offsets.ts';
import type { DataSelectorSpec } from './selection.ts';

const VERSIONS = { list: 5, describe: 5, describeConsumer: 1, delete: 2 } as const;
/** As whom offsets of a group without members are committed. */
const NOBODY = { memberId: '', generation: -1 } as const;
const ALL_RECORDS = 0;

export interface GroupListing {
  readonly groupId: string;
  /** Kafka's names: classic, consumer, share, streams. */
  readonly type: string;
  /** Kafka's names: Stable, Empty, PreparingRebalance and so on. */
  readonly state: string;
}

export interface GroupMemberDescription {
  readonly memberId: string;
  readonly clientId: string;
  readonly host: string;
  readonly partitions: readonly AssignedPartition[];
}

/** A partition that a group has read of, or that one of its members has. */
export interface GroupPartition extends AssignedPartition {
  /** Null: nothing is committed. */
  readonly committed: bigint | null;
  /** Behind the last record; null while nobody can tell, because the partition has no leader, say. */
  readonly end: bigint | null;
  /** Records that are not committed yet, of those that are there; null when nothing is committed, or the end is not known. */
  readonly lag: bigint | null;
  readonly member: GroupMemberDescription | null;
}

export interface GroupDescription extends GroupListing {
  readonly members: readonly GroupMemberDescription[];
  readonly partitions: readonly GroupPartition[];
}

export interface OffsetChange extends AssignedPartition {
  /** Null: nothing was committed. */
  readonly before: bigint | null;
  readonly after: bigint;
}

/** Consumer groups, as administrators see them: those of any Kafka client. */
export class GroupAdmin {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Every group. */
  list({ signal }: Abortable = {}): Promise<GroupListing[]> {
    return unlessAborted(() => this.#list(), 'list groups', signal);
  }

  async #list(): Promise<GroupListing[]> {
    const doing = 'list groups';
    const found: GroupListing[] = [];
    for (const node of await this.#cluster.nodes()) {
      const connection = await this.#cluster.connection(node, 'control');
      const request = { statesFilter: [], typesFilter: [] };
      const { errorCode, groups } = await connection.call(listGroupsRequest, listGroupsResponse, request, {
        version: VERSIONS.list,
        doing,
      });
      if (errorCode !== 0) throw brokerError(errorCode, null, doing);
      for (const { groupId, groupType, groupState } of groups)
        found.push({ groupId, type: groupType, state: groupState });
    }
    return found.sort((a, b) => (a.groupId < b.groupId ? -1 : 1));
  }

  /** A group with its members, and how far it is in each partition. Rejects with BROKER when there is none. */
  describe(groupId: string, { signal }: Abortable = {}): Promise<GroupDescription> {
    const doing = `describe group ${groupId}`;
    return unlessAborted(() => this.#describe(groupId, doing), doing, signal);
  }

  async #describe(groupId: string, doing: string): Promise<GroupDescription> {
    const listing = (await this.#list()).find((one) => one.groupId === groupId);
    if (listing === undefined) throw brokerError(ErrorCode.GROUP_ID_NOT_FOUND, null, doing);
    const { state, members } = await this.#members(listing);
    const committed = await allCommittedOffsets(this.#coordinator(groupId), groupId);
    return { ...listing, state, members, partitions: await this.#partitions(committed, members) };
  }

  /**
   * Where `position` is in the partitions of a group, inside of what is there: what `setOffsets` would change.
   * @param topics all of these topics' partitions; default: those that the group has committed
   */
  planOffsets(
    groupId: string,
    position: StartPosition,
    topics: readonly string[] | null = null,
    { signal }: Abortable = {},
  ): Promise<OffsetChange[]> {
    const plan = () => this.#planOffsets(groupId, position, topics);
    return unlessAborted(plan, `plan the offsets of group ${groupId}`, signal);
  }

  async #planOffsets(
    groupId: string,
    position: StartPosition,
    topics: readonly string[] | null,
  ): Promise<OffsetChange[]> {
    const committed = await allCommittedOffsets(this.#coordinator(groupId), groupId);
    const partitions = topics === null ? committed : await this.#partitionsOf(topics);
    const [wanted, first, last] = await Promise.all([
      offsetsAt(this.#cluster, partitions, position, ALL_RECORDS),
      offsetsAt(this.#cluster, partitions, 'earliest', ALL_RECORDS),
      offsetsAt(this.#cluster, partitions, 'latest', ALL_RECORDS),
    ]);
    return partitions.map(({ topic, partition }, i) => ({
      topic,
      partition,
      before: find(committed, topic, partition)?.offset ?? null,
      after: clamp(wanted[i]!, first[i]!, last[i]!),
    }));
  }

  /** Commits offsets for a group that has no members. Rejects with INVALID_ARGUMENT when it has some. */
  setOffsets(
    groupId: string,
    offsets: readonly PartitionOffset[],
    { signal }: Abortable = {},
  ): Promise<void> {
    const doing = `set the offsets of group ${groupId}`;
    return unlessAborted(() => this.#setOffsets(groupId, offsets, doing), doing, signal);
  }

  async #setOffsets(groupId: string, offsets: readonly PartitionOffset[], doing: string): Promise<void> {
    const listing = (await this.#list()).find((one) => one.groupId === groupId);
    const { members } = listing === undefined ? { members: [] } : await this.#members(listing);
    if (members.length > 0)
      throw new DirectError(
        'INVALID_ARGUMENT',
        `it has ${members.length} members, which would go on where they are`,
        {
          doing,
          todo: 'stop its consumers first',
        },
      );
    await commitOffsets(this.#coordinator(groupId), { groupId, ...NOBODY }, offsets);
  }

  /** Deletes a group that has no members, with its offsets. */
  delete(groupId: string, { signal }: Abortable = {}): Promise<void> {
    const doing = `delete group ${groupId}`;
    return unlessAborted(() => this.#delete(groupId, doing), doing, signal);
  }

  /** The configs of a group, which need not exist: Kafka's, and the data selector that is stored with it. */
  configs(groupId: string, { signal }: Abortable = {}): Promise<Configs> {
    const read = () => describeConfigs(this.#cluster, { type: 'group', name: groupId });
    return unlessAborted(read, `read the configs of group ${groupId}`, signal);
  }

  /** Null gives a config its default again. */
  alterConfigs(
    groupId: string,
    values: Readonly<Record<string, string | null>>,
    { signal }: Abortable = {},
  ): Promise<void> {
    const alter = () => alterConfigs(this.#cluster, { type: 'group', name: groupId }, values);
    return unlessAborted(alter, `alter the configs of group ${groupId}`, signal);
  }

  /** What the group's direct consumers select that do not say it themselves; null: nothing is stored. */
  dataSelector(groupId: string, { signal }: Abortable = {}): Promise<DataSelectorSpec | null> {
    const read = () => groupSelector(this.#cluster, groupId);
    return unlessAborted(read, `read the data selector of group ${groupId}`, signal);
  }

  /**
   * Stores a data selector with a group, which need not exist; null takes it away. Members that are at work take it over with their next heartbeat.
   * Rejects with INVALID_ARGUMENT for what is none, or a function: those can only be named.
   */
  setDataSelector(
    groupId: string,
    selector: DataSelectorSpec | null,
    { signal }: Abortable = {},
  ): Promise<void> {
    const set = () => setGroupSelector(this.#cluster, groupId, selector);
    return unlessAborted(set, `set the data selector of group ${groupId}`, signal);
  }

  async #delete(groupId: string, doing: string): Promise<void> {
    const { results } = await this.#coordinator(groupId).call(
      deleteGroupsRequest,
      deleteGroupsResponse,
      { groupsNames: [groupId] },
      {
        version: VERSIONS.delete,
        doing,
        errorsOf: (answer) => answer.results.map(({ errorCode }) => errorCode),
      },
    );
    for (const { errorCode } of results) if (errorCode !== 0) throw brokerError(errorCode, null, doing);
  }

  #coordinator(groupId: string): CoordinatorLink {
    return new CoordinatorLink(this.#cluster, 'group', groupId, 'control');
  }

  #members({ groupId, type, state }: GroupListing) {
    switch (type.toLowerCase()) {
      case 'classic':
        return this.#classicMembers(groupId);
      case 'consumer':
        return this.#consumerMembers(groupId);
      default:
        // Of groups that have no partitions of their own, how they are is all that is told here.
        return Promise.resolve({ state, members: [] as GroupMemberDescription[] });
    }
  }

  async #classicMembers(groupId: string): Promise<{ state: string; members: GroupMemberDescription[] }> {
    const doing = `describe group ${groupId}`;
    const { groups } = await this.#coordinator(groupId).call(
      describeGroupsRequest,
      describeGroupsResponse,
      { groups: [groupId], includeAuthorizedOperations: false },
      { version: VERSIONS.describe, doing, errorsOf: errorsOfGroups },
    );
    const group = only(groups, doing);
    const isConsumer = group.protocolType === 'consumer';
    return {
      state: group.groupState,
      members: group.members.map(({ memberId, clientId, clientHost: host, memberAssignment }) => ({
        memberId,
        clientId,
        host,
        partitions: isConsumer ? readAssignment(memberAssignment) : [],
      })),
    };
  }

  async #consumerMembers(groupId: string): Promise<{ state: string; members: GroupMemberDescription[] }> {
    const doing = `describe group ${groupId}`;
    const { groups } = await this.#coordinator(groupId).call(
      consumerGroupDescribeRequest,
      consumerGroupDescribeResponse,
      { groupIds: [groupId], includeAuthorizedOperations: false },
      { version: VERSIONS.describeConsumer, doing, errorsOf: errorsOfGroups },
    );
    const group = only(groups, doing);
    return {
      state: group.groupState,
      members: group.members.map(({ memberId, clientId, clientHost: host, assignment }) => ({
        memberId,
        clientId,
        host,
        partitions: assignment.topicPartitions.flatMap(({ topicName: topic, partitions }) =>
          partitions.map((partition) => ({ topic, partition })),
        ),
      })),
    };
  }

  async #partitions(
    committed: readonly PartitionOffset[],
    members: readonly GroupMemberDescription[],
  ): Promise<GroupPartition[]> {
    const owned = members.flatMap((member) => member.partitions.map((one) => ({ ...one, member })));
    const known: AssignedPartition[] = [
      ...committed,
      ...owned.filter(({ topic, partition }) => find(committed, topic, partition) === undefined),
    ];
    const there = await this.#existing(known);
    const [ends, starts] = await Promise.all([
      offsetsKnownAt(this.#cluster, there, 'latest', ALL_RECORDS),
      offsetsKnownAt(this.#cluster, there, 'earliest', ALL_RECORDS),
    ]);
    return there
      .map(({ topic, partition }, i) => {
        const offset = find(committed, topic, partition)?.offset ?? null;
        const end = ends[i] ?? null;
        const start = starts[i] ?? null;
        // Records that were deleted before they were read are not waited for.
        const lag =
          offset === null || end === null || start === null ? null : max(0n, end - max(offset, start));
        const member = find(owned, topic, partition)?.member ?? null;
        return { topic, partition, committed: offset, end, lag, member };
      })
      .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
  }

  /** Those whose topics have not been deleted meanwhile. */
  async #existing(partitions: readonly AssignedPartition[]): Promise<AssignedPartition[]> {
    const names = [...new Set(partitions.map(({ topic }) => topic))];
    const topics = new Map(
      (await this.#cluster.topics(names)).map((one) => [one.name, one.partitions.length]),
    );
    return partitions.filter(({ topic, partition }) => partition < (topics.get(topic) ?? 0));
  }

  async #partitionsOf(topics: readonly string[]): Promise<AssignedPartition[]> {
    const found = await Promise.all(topics.map((name) => this.#cluster.topic(name, true)));
    return found.flatMap(({ name, partitions }) =>
      partitions.map(({ index }) => ({ topic: name, partition: index })),
    );
  }
}

function errorsOfGroups({ groups }: { groups: readonly { errorCode: number }[] }): number[] {
  return groups.map(({ errorCode }) => errorCode);
}

function only<T extends { errorCode: number; errorMessage: string | null }>(
  groups: readonly T[],
  doing: string,
): T {
  const [group] = groups;
  if (group === undefined) throw new DirectError('BROKER', 'an answer without the group', { doing });
  if (group.errorCode !== 0) throw brokerError(group.errorCode, group.errorMessage, doing);
  return group;
}

function find<T extends AssignedPartition>(
  items: readonly T[],
  topic: string,
  partition: number,
): T | undefined {
  return items.find((one) => one.topic === topic && one.partition === partition);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function clamp(value: bigint, first: bigint, last: bigint): bigint {
  if (value < first) return first;
  return value > last ? last : value;
}

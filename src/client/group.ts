import { consumerProtocolAssignment } from '../protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../protocol/generated/consumer-protocol-subscription.ts';
import { heartbeatRequest } from '../protocol/generated/heartbeat-request.ts';
import { heartbeatResponse } from '../protocol/generated/heartbeat-response.ts';
import { joinGroupRequest } from '../protocol/generated/join-group-request.ts';
import { type JoinGroupResponse, joinGroupResponse } from '../protocol/generated/join-group-response.ts';
import { leaveGroupRequest } from '../protocol/generated/leave-group-request.ts';
import { leaveGroupResponse } from '../protocol/generated/leave-group-response.ts';
import { offsetCommitRequest } from '../protocol/generated/offset-commit-request.ts';
import { offsetCommitResponse } from '../protocol/generated/offset-commit-response.ts';
import { offsetFetchRequest } from '../protocol/generated/offset-fetch-request.ts';
import { offsetFetchResponse } from '../protocol/generated/offset-fetch-response.ts';
import { syncGroupRequest } from '../protocol/generated/sync-group-request.ts';
import { syncGroupResponse } from '../protocol/generated/sync-group-response.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import { Reader } from '../protocol/wire/reader.ts';
import { Writer } from '../protocol/wire/writer.ts';
import type { Cluster } from './cluster.ts';
import { brokerError, DirectError } from './errors.ts';

const PROTOCOL = 'range';
const RETRY_MS = 200;
const Code = {
  ILLEGAL_GENERATION: 22,
  UNKNOWN_MEMBER_ID: 25,
  REBALANCE_IN_PROGRESS: 27,
  MEMBER_ID_REQUIRED: 79,
} as const;

export interface GroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly rebalanceTimeoutMs: number;
}

export interface GroupEvents {
  /** Partitions are about to go to others: the last chance to commit. */
  revoked(): Promise<void>;
  assigned(partitions: readonly AssignedPartition[]): Promise<void>;
  failed(error: DirectError): void;
}

export interface AssignedPartition {
  readonly topic: string;
  readonly partition: number;
}

/** One member of a consumer group, by Kafka's classic protocol with range assignment: a group may have members of any Kafka client. */
export class GroupMember {
  readonly #options: GroupOptions;
  readonly #cluster: Cluster;
  readonly #events: GroupEvents;
  #memberId = '';
  #generation = -1;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: GroupOptions, cluster: Cluster, events: GroupEvents) {
    this.#options = options;
    this.#cluster = cluster;
    this.#events = events;
  }

  /** Joins, and stays a member until `close`. */
  start(): void {
    void this.#rejoin();
  }

  /** Leaves at once, so that others need not wait for the session to expire. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#memberId === '') return;
    const { groupId } = this.#options;
    const members = [{ memberId: this.#memberId, groupInstanceId: null, reason: 'closed' }];
    await this.#call(leaveGroupRequest, leaveGroupResponse, { groupId, memberId: '', members }, 4).catch(
      () => undefined,
    );
  }

  async #call<Req, Res>(
    request: MessageCodec<Req>,
    response: MessageCodec<Res>,
    body: Partial<Req>,
    version: number,
    timeoutMs?: number,
  ): Promise<Res> {
    const connection = await this.#cluster.coordinator(this.#options.groupId);
    const doing = `take part in group ${this.#options.groupId}`;
    return connection.call(request, response, body, { version, doing, ...(timeoutMs ? { timeoutMs } : {}) });
  }

  async #rejoin(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#join();
        this.#beat();
        return;
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof DirectError && error.retriable)) {
          this.#events.failed(
            error instanceof DirectError
              ? error
              : new DirectError('BROKER', String(error), { doing: 'join a group', cause: error }),
          );
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #join(): Promise<void> {
    const { groupId, topics, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const metadata = framed(consumerProtocolSubscription, { topics: [...topics].sort(), userData: null }, 1);
    const answer = await this.#call(
      joinGroupRequest,
      joinGroupResponse,
      {
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId: this.#memberId,
        groupInstanceId: null,
        protocolType: 'consumer',
        protocols: [{ name: PROTOCOL, metadata }],
      },
      7,
      rebalanceTimeoutMs + 10_000,
    );
    if (answer.errorCode === Code.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId;
      return this.#join();
    }
    this.#check(answer.errorCode);
    this.#memberId = answer.memberId;
    this.#generation = answer.generationId;
    const assignments = answer.leader === answer.memberId ? await this.#assign(answer) : [];
    const synced = await this.#call(
      syncGroupRequest,
      syncGroupResponse,
      {
        groupId,
        generationId: this.#generation,
        memberId: this.#memberId,
        groupInstanceId: null,
        protocolType: 'consumer',
        protocolName: PROTOCOL,
        assignments,
      },
      5,
      rebalanceTimeoutMs + 10_000,
    );
    this.#check(synced.errorCode);
    const partitions: AssignedPartition[] = [];
    if (synced.assignment.byteLength > 0) {
      const assignment = unframed(consumerProtocolAssignment, synced.assignment);
      for (const { topic, partitions: indexes } of assignment.assignedPartitions)
        for (const partition of indexes) partitions.push({ topic, partition });
    }
    await this.#events.assigned(partitions);
  }

  /** What the group answers: errors after which a member joins again are retriable. */
  #check(errorCode: number): void {
    if (errorCode === 0) return;
    if (errorCode === Code.UNKNOWN_MEMBER_ID) this.#memberId = '';
    const doing = `join group ${this.#options.groupId}`;
    if (
      errorCode === Code.UNKNOWN_MEMBER_ID ||
      errorCode === Code.ILLEGAL_GENERATION ||
      errorCode === Code.REBALANCE_IN_PROGRESS
    )
      throw new DirectError('BROKER', 'the group rebalances', { doing, retriable: true });
    throw brokerError(errorCode, null, doing);
  }

  /** Kafka's range assignment: of each topic, neighbouring partitions to one member. */
  async #assign({ members }: JoinGroupResponse): Promise<{ memberId: string; assignment: Uint8Array }[]> {
    const subscribed = new Map<string, string[]>();
    for (const { memberId, metadata } of members) {
      for (const topic of unframed(consumerProtocolSubscription, metadata).topics)
        subscribed.set(topic, [...(subscribed.get(topic) ?? []), memberId]);
    }
    const assigned = new Map(
      members.map(({ memberId }) => [memberId, [] as { topic: string; partitions: number[] }[]]),
    );
    for (const { name, partitions } of await this.#cluster.topics([...subscribed.keys()])) {
      const interested = subscribed.get(name)!.sort();
      const each = Math.floor(partitions.length / interested.length);
      const extra = partitions.length % interested.length;
      for (const [i, memberId] of interested.entries()) {
        const start = each * i + Math.min(i, extra);
        const indexes = Array.from({ length: each + (i < extra ? 1 : 0) }, (_, k) => start + k);
        if (indexes.length > 0) assigned.get(memberId)!.push({ topic: name, partitions: indexes });
      }
    }
    return [...assigned].map(([memberId, assignedPartitions]) => ({
      memberId,
      assignment: framed(consumerProtocolAssignment, { assignedPartitions, userData: null }, 1),
    }));
  }

  #beat(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#heartbeat(), this.#options.heartbeatMs);
  }

  async #heartbeat(): Promise<void> {
    const { groupId } = this.#options;
    const body = { groupId, generationId: this.#generation, memberId: this.#memberId, groupInstanceId: null };
    try {
      const { errorCode } = await this.#call(heartbeatRequest, heartbeatResponse, body, 4);
      if (errorCode === 0) {
        this.#beat();
        return;
      }
      if (errorCode === Code.UNKNOWN_MEMBER_ID) this.#memberId = '';
    } catch (error) {
      if (!(error instanceof DirectError && error.retriable)) {
        if (!this.#closed) this.#events.failed(error as DirectError);
        return;
      }
      this.#beat();
      return;
    }
    if (this.#closed) return;
    await this.#events.revoked().catch(() => undefined);
    await this.#rejoin();
  }

  /** The committed offsets of partitions; null where there is none. */
  async committed(partitions: readonly AssignedPartition[]): Promise<(bigint | null)[]> {
    const { groupId } = this.#options;
    const { topics } = await this.#call(
      offsetFetchRequest,
      offsetFetchResponse,
      {
        groupId,
        topics: byTopic(partitions).map(([name, items]) => ({
          name,
          partitionIndexes: items.map(({ partition }) => partition),
        })),
        requireStable: true,
      },
      7,
    );
    return partitions.map(({ topic, partition }) => {
      const found = topics
        .find(({ name }) => name === topic)
        ?.partitions.find(({ partitionIndex }) => partitionIndex === partition);
      if (found === undefined || found.committedOffset < 0n) return null;
      return found.committedOffset;
    });
  }

  /** Commits the offsets at which consumers of the group go on. @throws DirectError FENCED when the partitions are another's by now */
  async commit(offsets: readonly (AssignedPartition & { offset: bigint })[]): Promise<void> {
    if (offsets.length === 0) return;
    const { groupId } = this.#options;
    const doing = `commit to group ${groupId}`;
    const { topics } = await this.#call(
      offsetCommitRequest,
      offsetCommitResponse,
      {
        groupId,
        generationIdOrMemberEpoch: this.#generation,
        memberId: this.#memberId,
        groupInstanceId: null,
        topics: byTopic(offsets).map(([name, items]) => ({
          name,
          partitions: items.map(({ partition, offset }) => ({
            partitionIndex: partition,
            committedOffset: offset,
            committedLeaderEpoch: -1,
            committedMetadata: null,
          })),
        })) as never,
      },
      7,
    );
    for (const { partitions } of topics) {
      for (const { errorCode } of partitions) {
        if (errorCode === Code.ILLEGAL_GENERATION || errorCode === Code.UNKNOWN_MEMBER_ID)
          throw new DirectError('FENCED', 'the partitions have gone to another member', { doing });
        if (errorCode !== 0) throw brokerError(errorCode, null, doing);
      }
    }
  }
}

function byTopic<T extends AssignedPartition>(items: readonly T[]): [string, T[]][] {
  const grouped = new Map<string, T[]>();
  for (const item of items) grouped.set(item.topic, [...(grouped.get(item.topic) ?? []), item]);
  return [...grouped];
}

/** Messages of the consumer protocol have their version in front. */
function framed<T>(codec: MessageCodec<T>, message: Partial<T>, version: number): Uint8Array {
  const writer = new Writer();
  writer.int16(version);
  codec.write(writer, codec.create(message), version);
  return writer.finishBytes();
}

function unframed<T>(codec: MessageCodec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes);
  return codec.read(reader, Math.min(reader.int16(), codec.maxVersion));
}

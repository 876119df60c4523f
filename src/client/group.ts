import { ErrorCode } from '../protocol/errors.ts';
import { heartbeatRequest } from '../protocol/generated/heartbeat-request.ts';
import { heartbeatResponse } from '../protocol/generated/heartbeat-response.ts';
import { joinGroupRequest } from '../protocol/generated/join-group-request.ts';
import { type JoinGroupResponse, joinGroupResponse } from '../protocol/generated/join-group-response.ts';
import { leaveGroupRequest } from '../protocol/generated/leave-group-request.ts';
import { leaveGroupResponse } from '../protocol/generated/leave-group-response.ts';
import { syncGroupRequest } from '../protocol/generated/sync-group-request.ts';
import { syncGroupResponse } from '../protocol/generated/sync-group-response.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import type { Cluster, Purpose } from './cluster.ts';
import {
  type AssignedPartition,
  readAssignment,
  readSubscription,
  writeAssignment,
  writeSubscription,
} from './consumer-protocol.ts';
import { CoordinatorLink, isMoved } from './coordinator-link.ts';
import { asDirectError, brokerError, DirectError } from './errors.ts';
import { commitOffsets, committedOffsets, type PartitionOffset } from './group-offsets.ts';
import { assignRanges } from './range-assignor.ts';
import { countsOf, TopicWatch } from './topic-watch.ts';

const PROTOCOL = 'range';
const PROTOCOL_TYPE = 'consumer';
const RETRY_MS = 200;
/** Beside the time that other members have to join again. */
const JOIN_MARGIN_MS = 10_000;
/** Members of this process, so that each has its own connection: a join holds up what is behind it until the others have joined. */
let members = 0;
const VERSIONS = { join: 7, sync: 5, heartbeat: 4, leave: 4 } as const;

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
  /** Some are about to be assigned. */
  prepare(): Promise<void>;
  assigned(partitions: readonly AssignedPartition[]): Promise<void>;
  /** With each heartbeat that the group has answered: the time to look at what may have changed beside the assignment. */
  stays(): void;
  failed(error: DirectError): void;
}

/** As whom a member commits: the coordinator refuses those whose partitions have gone to others. */
export interface GroupIdentity {
  readonly groupId: string;
  readonly memberId: string;
  readonly generation: number;
}

/** One member of a consumer group, by Kafka's classic protocol with range assignment: a group may have members of any Kafka client. */
export class GroupMember {
  readonly #options: GroupOptions;
  readonly #cluster: Cluster;
  readonly #events: GroupEvents;
  readonly #coordinator: CoordinatorLink;
  readonly #purpose: Purpose = `member ${++members}`;
  #memberId = '';
  #generation = -1;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** As the leader: of the topics that it has assigned. */
  readonly #watch: TopicWatch;
  /** They have other partitions by now. */
  #isOutdated = false;

  constructor(options: GroupOptions, cluster: Cluster, events: GroupEvents) {
    this.#options = options;
    this.#cluster = cluster;
    this.#events = events;
    this.#coordinator = new CoordinatorLink(cluster, 'group', options.groupId, this.#purpose);
    this.#watch = new TopicWatch(cluster, () => {
      this.#isOutdated = true;
    });
  }

  get identity(): GroupIdentity {
    const { groupId } = this.#options;
    return { groupId, memberId: this.#memberId, generation: this.#generation };
  }

  /** Joins, and stays a member until `close`. */
  start(): void {
    void this.#rejoin();
  }

  /** Leaves at once, so that others need not wait for the session to expire. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#watch.end();
    await this.#leave();
  }

  async #leave(): Promise<void> {
    const memberId = this.#memberId;
    if (memberId !== '') {
      this.#memberId = '';
      const { groupId } = this.#options;
      const leaving = [{ memberId, groupInstanceId: null, reason: 'closed' }];
      const body = { groupId, memberId: '', members: leaving };
      await this.#call(leaveGroupRequest, leaveGroupResponse, body, VERSIONS.leave).catch(() => undefined);
    }
    this.#cluster.closeConnections(this.#purpose);
  }

  /** The committed offsets of partitions; null where there is none. */
  committed(partitions: readonly AssignedPartition[]): Promise<(PartitionOffset | null)[]> {
    return committedOffsets(this.#coordinator, this.#options.groupId, partitions);
  }

  /** Commits the offsets at which consumers of the group go on. @throws DirectError FENCED when the partitions are another's by now */
  commit(offsets: readonly PartitionOffset[]): Promise<void> {
    return commitOffsets(this.#coordinator, this.identity, offsets);
  }

  #call<Req, Res extends { errorCode: number }>(
    request: MessageCodec<Req>,
    response: MessageCodec<Res>,
    body: Partial<Req>,
    version: number,
    timeoutMs?: number,
  ): Promise<Res> {
    return this.#coordinator.call(request, response, body, {
      version,
      doing: `take part in group ${this.#options.groupId}`,
      errorsOf: ({ errorCode }) => [errorCode],
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  async #rejoin(): Promise<void> {
    await this.#joinUntilClosed();
    // What was asked for by then may have been answered after it left.
    if (this.#closed) await this.#leave();
  }

  async #joinUntilClosed(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#join();
        this.#beat();
        return;
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof DirectError && error.retriable)) {
          this.#events.failed(asDirectError(error, 'join a group'));
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #join(): Promise<void> {
    const { groupId, topics, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const protocols = [{ name: PROTOCOL, metadata: writeSubscription(topics) }];
    const common = { groupId, groupInstanceId: null, protocolType: PROTOCOL_TYPE };
    const waitMs = rebalanceTimeoutMs + JOIN_MARGIN_MS;
    const join = { ...common, sessionTimeoutMs, rebalanceTimeoutMs, memberId: this.#memberId, protocols };
    const joined = await this.#call(joinGroupRequest, joinGroupResponse, join, VERSIONS.join, waitMs);
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.#memberId = joined.memberId;
      if (this.#closed) return;
      return this.#join();
    }
    this.#check(joined.errorCode);
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    this.#watch.end();
    this.#isOutdated = false;
    const assignments = joined.leader === joined.memberId ? await this.#assign(joined) : [];
    const sync = {
      ...common,
      generationId: this.#generation,
      memberId: this.#memberId,
      protocolName: PROTOCOL,
      assignments,
    };
    const synced = await this.#call(syncGroupRequest, syncGroupResponse, sync, VERSIONS.sync, waitMs);
    this.#check(synced.errorCode);
    await this.#events.prepare();
    if (this.#closed) return;
    await this.#events.assigned(readAssignment(synced.assignment));
  }

  /** What the group answers: errors after which a member joins again are retriable. */
  #check(errorCode: number): void {
    if (errorCode === ErrorCode.NONE) return;
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = '';
    const doing = `join group ${this.#options.groupId}`;
    if (
      errorCode === ErrorCode.UNKNOWN_MEMBER_ID ||
      errorCode === ErrorCode.ILLEGAL_GENERATION ||
      errorCode === ErrorCode.REBALANCE_IN_PROGRESS
    )
      throw new DirectError('BROKER', 'the group rebalances', { doing, retriable: true });
    throw brokerError(errorCode, null, doing);
  }

  async #assign({ members }: JoinGroupResponse): Promise<{ memberId: string; assignment: Uint8Array }[]> {
    const subscribed = members.map(({ memberId, groupInstanceId, metadata }) => ({
      memberId,
      groupInstanceId,
      topics: readSubscription(metadata),
    }));
    const names = new Set(subscribed.flatMap(({ topics }) => topics));
    const counts = await countsOf(this.#cluster, [...names]);
    if (!this.#closed) this.#watch.watch(counts);
    return [...assignRanges(subscribed, counts)].map(([memberId, partitions]) => ({
      memberId,
      assignment: writeAssignment(partitions),
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
      const { errorCode } = await this.#call(heartbeatRequest, heartbeatResponse, body, VERSIONS.heartbeat);
      // Of a coordinator that is none, nothing is known of the group: the next heartbeat goes to the right one.
      const isGood = errorCode === ErrorCode.NONE;
      if ((isGood && !this.#isOutdated) || isMoved(errorCode)) {
        this.#beat();
        if (isGood) this.#events.stays();
        return;
      }
      if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = '';
    } catch (error) {
      if (error instanceof DirectError && error.retriable) this.#beat();
      else if (!this.#closed) this.#events.failed(asDirectError(error, 'take part in a group'));
      return;
    }
    if (this.#closed) return;
    await this.#events.revoked().catch(() => undefined);
    await this.#rejoin();
  }
}

import { byTopic, framed, unframed } from '../../client/consumer-protocol.ts';
import { consumerProtocolAssignment } from '../../protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../../protocol/generated/consumer-protocol-subscription.ts';
import { StreamsError } from '../errors.ts';
import type { TopicPartition } from '../records.ts';
import { type Cluster, CoordinatorType } from './cluster.ts';
import { BrokerError, isId, isTransient } from './errors.ts';
import type { GroupIdentity } from './writer.ts';

/** Of the way in which tasks are assigned: another client with another way is refused by the coordinator. */
const PROTOCOL = 'kafabric-streams-1';
const PROTOCOL_TYPE = 'consumer';

export interface MemberOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly rebalanceTimeoutMs: number;
  /** Tells topologies apart. */
  readonly topology: string;
  /** Called when the group rebalances, or the membership is lost. */
  readonly changed: () => void;
}

/** What a member tells the leader. */
interface UserData {
  readonly topology: string;
  readonly tasks: readonly string[];
}

/** Who gets which partitions, decided by the member that leads the group. */
export type Assignor = (owned: ReadonlyMap<string, readonly string[]>) => Map<string, TopicPartition[]>;

/** A member of a group by Kafka's classic protocol. Whoever uses it stops and commits before it joins again. */
export class Member {
  readonly #cluster: Cluster;
  readonly #options: MemberOptions;
  #memberId = '';
  #generation = -1;
  #timer: NodeJS.Timeout | null = null;
  #rejoin = true;

  constructor(cluster: Cluster, options: MemberOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  get identity(): GroupIdentity {
    return { groupId: this.#options.groupId, generation: this.#generation, memberId: this.#memberId };
  }

  /** Whether it has to join again. */
  get rejoinNeeded(): boolean {
    return this.#rejoin;
  }

  /**
   * Joins, and takes part until `leave`. Waits while others stop. @returns its partitions
   * @throws BrokerError UNKNOWN_MEMBER_ID when it has tasks but was given up: others may have gone on with them, so that their state is old
   */
  async join(tasks: readonly string[], assign: Assignor): Promise<TopicPartition[]> {
    this.#stopBeating();
    const partitions = await this.#cluster.retry(() => this.#attempt(tasks, assign));
    this.#rejoin = false;
    this.#beat();
    return partitions;
  }

  async #attempt(tasks: readonly string[], assign: Assignor): Promise<TopicPartition[]> {
    for (;;) {
      if (this.#memberId === '' && tasks.length > 0)
        throw new BrokerError('UNKNOWN_MEMBER_ID', `keep tasks in group ${this.#options.groupId}`);
      try {
        return await this.#joinAndSync(tasks, assign);
      } catch (error) {
        if (isId(error, 'UNKNOWN_MEMBER_ID')) this.#memberId = '';
        else if (!isId(error, 'MEMBER_ID_REQUIRED', 'REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION'))
          throw error;
        if (this.#cluster.closed) throw error;
      }
    }
  }

  async #joinAndSync(tasks: readonly string[], assign: Assignor): Promise<TopicPartition[]> {
    const { groupId, topics, sessionTimeoutMs, rebalanceTimeoutMs, topology } = this.#options;
    const { apis } = this.#cluster;
    const userData = Buffer.from(JSON.stringify({ topology, tasks } satisfies UserData));
    const subscription = { topics: [...topics].sort(), userData };
    const metadata = Buffer.from(framed(consumerProtocolSubscription, subscription));
    const joined = await this.#cluster.callCoordinator(
      CoordinatorType.group,
      groupId,
      apis.joinGroup,
      groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      this.#memberId,
      null,
      PROTOCOL_TYPE,
      [{ name: PROTOCOL, metadata }],
      null,
    );
    if (this.#cluster.idOf(joined.errorCode) === 'MEMBER_ID_REQUIRED') this.#memberId = joined.memberId ?? '';
    this.#cluster.check(joined.errorCode, `join group ${groupId}`);
    this.#memberId = joined.memberId ?? '';
    this.#generation = joined.generationId;
    const leads = joined.leader === this.#memberId;
    const synced = await this.#cluster.callCoordinator(
      CoordinatorType.group,
      groupId,
      apis.syncGroup,
      groupId,
      this.#generation,
      this.#memberId,
      null,
      PROTOCOL_TYPE,
      PROTOCOL,
      leads ? this.#assign(joined.members, assign) : [],
    );
    this.#cluster.check(synced.errorCode, `join group ${groupId}`);
    if (synced.assignment.length === 0) return [];
    const { assignedPartitions, userData: told } = unframed(consumerProtocolAssignment, synced.assignment);
    // A leader of an earlier version says nothing of it.
    if (told !== null && Buffer.from(told).toString() !== topology)
      throw new StreamsError(
        'INVALID_TOPOLOGY',
        `the others of ${groupId} run a different topology; stop all of the old ones before new ones start`,
      );
    return assignedPartitions.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
  }

  /** Members with another topology get nothing, and are told: they fail, and not those that are at work. */
  #assign(
    members: readonly { readonly memberId: string; readonly metadata: Buffer | null }[],
    assign: Assignor,
  ): { memberId: string; assignment: Buffer }[] {
    const { topology } = this.#options;
    const owned = new Map<string, readonly string[]>();
    for (const { memberId, metadata } of members) {
      const told = toldBy(metadata);
      if (told.topology === topology) owned.set(memberId, told.tasks);
    }
    const assigned = assign(owned);
    return members.map(({ memberId }) => {
      const assignedPartitions = byTopic(assigned.get(memberId) ?? []).map(([topic, items]) => ({
        topic,
        partitions: items.map(({ partition }) => partition),
      }));
      const assignment = { assignedPartitions, userData: Buffer.from(topology) };
      return { memberId, assignment: Buffer.from(framed(consumerProtocolAssignment, assignment)) };
    });
  }

  #beat(): void {
    this.#timer = setTimeout(() => void this.#heartbeat(), this.#options.heartbeatMs);
  }

  #stopBeating(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #heartbeat(): Promise<void> {
    const { groupId } = this.#options;
    const timer = this.#timer;
    try {
      const { errorCode } = await this.#cluster.callCoordinator(
        CoordinatorType.group,
        groupId,
        this.#cluster.apis.heartbeat,
        groupId,
        this.#generation,
        this.#memberId,
        null,
      );
      this.#cluster.check(errorCode, `stay in group ${groupId}`);
    } catch (error) {
      if (this.#timer !== timer) return;
      if (isTransient(error)) {
        this.#cluster.forget();
      } else {
        // A rebalance, or the coordinator has given it up.
        if (error instanceof BrokerError && error.id === 'UNKNOWN_MEMBER_ID') this.#memberId = '';
        this.#rejoin = true;
        this.#options.changed();
        // A member that stops and commits has the time of the rebalance for that; the coordinator goes on expecting signs of life.
        if (!isId(error, 'REBALANCE_IN_PROGRESS')) return;
      }
    }
    if (this.#timer === timer) this.#beat();
  }

  /** Leaves at once, so that others need not wait for the session to end. */
  async leave(): Promise<void> {
    this.#stopBeating();
    this.#rejoin = true;
    const { groupId } = this.#options;
    if (this.#memberId === '') return;
    const members = [{ memberId: this.#memberId, groupInstanceId: null, reason: 'closed' }];
    this.#memberId = '';
    await this.#cluster.callCoordinator(
      CoordinatorType.group,
      groupId,
      this.#cluster.apis.leaveGroup,
      groupId,
      members,
    );
  }
}

function toldBy(metadata: Buffer | null): UserData {
  const { userData } = unframed(consumerProtocolSubscription, metadata ?? Buffer.alloc(0));
  const { topology = '', tasks } = JSON.parse(
    Buffer.from(userData ?? new Uint8Array()).toString() || '{}',
  ) as Partial<UserData>;
  return { topology, tasks: Array.isArray(tasks) ? tasks.filter((task) => typeof task === 'string') : [] };
}

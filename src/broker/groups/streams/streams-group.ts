import type { Timer } from '../../../util/clock.ts';
import { isReconciledTo } from '../consumer/consumer-member.ts';
import { MemberTimers } from '../consumer/member-timers.ts';
import type { ConfiguredTopology } from './configured-topology.ts';
import type { StreamsMember } from './streams-member.ts';
import { TaskOwners } from './task-owners.ts';
import { NO_ROLES, type Role, type TaskRoles } from './tasks.ts';
import { readersOf, requiredTopics, type Topology } from './topology.ts';

const STREAMS_PROTOCOL_TYPE = 'streams';

/** Kafka's names, as they are on the wire. */
export type StreamsGroupState = 'Empty' | 'NotReady' | 'Assigning' | 'Reconciling' | 'Stable';

/** Kafka begins with these too: the first member makes it epoch 2. */
const FIRST_EPOCH = 1;
export const FIRST_ASSIGNMENT_EPOCH = 1;
/** Of a group whose topology does not suit the topics. */
export const NO_TOPOLOGY_EPOCH = -1;

/**
 * The state of one streams group (KIP-1071): what its records say, and what lasts as long as this process. It changes only by
 * `apply` in group-records.ts, so that what is read back is what was.
 */
export class StreamsGroup {
  readonly type = 'streams';
  readonly protocolType = STREAMS_PROTOCOL_TYPE;
  readonly groupId: string;
  /** Rises when the members, the topology, the topics, or the configuration of assignments changes. */
  groupEpoch = FIRST_EPOCH;
  /** Of the topics that the topology needs. */
  metadataHash = 0n;
  /** The epoch of the topology if the topics suit it. */
  validatedTopologyEpoch = NO_TOPOLOGY_EPOCH;
  /** What the group's tasks were assigned by, by key. */
  assignmentConfigs: ReadonlyMap<string, string> = new Map();
  /** The group epoch that the target assignment is for. */
  assignmentEpoch = FIRST_ASSIGNMENT_EPOCH;
  /** When the target assignment was made; 0 if unknown. */
  assignmentTimestampMs = 0;
  readonly timers = new MemberTimers();

  /** What is below is in no record. */
  /** Runs while the first assignment waits for more members. */
  initialDelay: Timer | null = null;
  /** What the topology comes to with the topics there are; null until a member's heartbeat finds out. */
  configured: ConfiguredTopology | null = null;
  /** Whether a topic of the topology may have changed since `configured`. */
  topicsMayDiffer = true;
  /** Rises when somebody who answers queries gets other tasks. */
  endpointEpoch = 0;
  /** The member that asked the whole application to end; forgotten when the group is empty. */
  shutdownMemberId: string | null = null;

  #topology: Topology | null = null;
  #required: ReadonlySet<string> = new Set();
  /** The subtopology that reads each topic. */
  #readers: ReadonlyMap<string, string> = new Map();
  readonly #members = new Map<string, StreamsMember>();
  readonly #targets = new Map<string, TaskRoles>();
  readonly #owners = new TaskOwners();

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  get state(): StreamsGroupState {
    if (this.#members.size === 0) return 'Empty';
    if (this.#topology === null || this.#topology.epoch !== this.validatedTopologyEpoch) return 'NotReady';
    if (this.groupEpoch > this.assignmentEpoch) return 'Assigning';
    for (const member of this.#members.values())
      if (!isReconciledTo(member, this.assignmentEpoch)) return 'Reconciling';
    return 'Stable';
  }

  get size(): number {
    return this.#members.size;
  }

  get topology(): Topology | null {
    return this.#topology;
  }

  members(): IterableIterator<StreamsMember> {
    return this.#members.values();
  }

  member(memberId: string): StreamsMember | undefined {
    return this.#members.get(memberId);
  }

  targetOf(memberId: string): TaskRoles {
    return this.#targets.get(memberId) ?? NO_ROLES;
  }

  hasTarget(memberId: string): boolean {
    return this.#targets.has(memberId);
  }

  targetIds(): IterableIterator<string> {
    return this.#targets.keys();
  }

  /** The processes whose members have the task in this role, or have not confirmed to have given it up. */
  *processesOf(role: Role, subtopologyId: string, partition: number): Generator<string> {
    for (const memberId of this.#owners.ownersOf(role, subtopologyId, partition))
      yield this.#members.get(memberId)!.processId;
  }

  /** Whether a member reads the topic. */
  isSubscribedTo(topic: string): boolean {
    return this.#members.size > 0 && this.#readers.has(topic);
  }

  /** The subtopology that reads the topic. */
  readerOf(topic: string): string | null {
    return this.#readers.get(topic) ?? null;
  }

  /** Whether the topology cannot do without the topic. */
  needs(topic: string): boolean {
    return this.#required.has(topic);
  }

  /** The rest is for group-records.ts. */
  setTopology(topology: Topology | null): void {
    this.#topology = topology;
    this.#required = topology === null ? new Set() : requiredTopics(topology);
    this.#readers = topology === null ? new Map() : readersOf(topology);
    this.configured = null;
  }

  setMember(member: StreamsMember): void {
    this.#owners.replace(this.#members.get(member.memberId) ?? null, member);
    this.#members.set(member.memberId, member);
  }

  removeMember(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    this.#owners.replace(member, null);
    this.#members.delete(memberId);
    this.timers.cancelAll(memberId);
    if (this.#members.size === 0) this.shutdownMemberId = null;
  }

  setTarget(memberId: string, target: TaskRoles | null): void {
    if (target === null) this.#targets.delete(memberId);
    else this.#targets.set(memberId, target);
  }

  /** Ends everything that runs. */
  cancelTimers(): void {
    this.timers.cancelAll();
    this.initialDelay?.cancel();
    this.initialDelay = null;
  }
}

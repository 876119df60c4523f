import { ErrorCode } from '../../../protocol/errors.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import { CONSUMER_PROTOCOL_TYPE } from '../subscription.ts';
import type { Assignment } from './assignment.ts';
import { NO_PARTITIONS } from './assignment.ts';
import { type ConsumerMember, isReconciledTo } from './consumer-member.ts';
import { MemberTimers } from './member-timers.ts';
import { type ResolvedRegex, Subscriptions } from './subscriptions.ts';

/** Kafka's names, as they are on the wire. */
export type ConsumerGroupState = 'Empty' | 'Assigning' | 'Reconciling' | 'Stable';

/** Of a group whose members subscribe to nothing that exists; Kafka begins with it too. */
const FIRST_EPOCH = 1;

/** The epoch of a group that has no target assignment yet. */
export const NO_EPOCH = -1;

/**
 * The state of one group of the consumer protocol (KIP-848): what its records say, and the timers of its members. It
 * changes only by `apply` in group-records.ts, so that what is read back is what was.
 */
export class ConsumerGroup {
  readonly type = 'consumer';
  readonly protocolType = CONSUMER_PROTOCOL_TYPE;
  readonly groupId: string;
  /** Rises when the members or what they subscribe to changes. */
  groupEpoch = FIRST_EPOCH;
  /** Of the topics that are subscribed to. */
  metadataHash = 0n;
  /** The group epoch that the target assignment is for. */
  assignmentEpoch = NO_EPOCH;
  /** When the target assignment was made; 0 if unknown. */
  assignmentTimestampMs = 0;
  /** Whether the log has what Kafka before 4.1 wrote of the topics. */
  hasPartitionMetadata = false;
  /** Whether a topic that is subscribed to may have changed since `metadataHash`; a new or loaded group looks once. */
  metadataMayDiffer = true;
  readonly timers = new MemberTimers();
  readonly subscriptions = new Subscriptions();
  readonly #members = new Map<string, ConsumerMember>();
  readonly #targets = new Map<string, Assignment>();
  /** Member id by group.instance.id. */
  readonly #staticMembers = new Map<string, string>();
  /** Votes by server-side assignor. */
  readonly #assignors = new Map<string, number>();
  /** Member id by partition: who has it or has not confirmed to have given it up. */
  readonly #owners = new Map<Uuid, Map<number, string>>();
  /** How many members that use the classic protocol support each of its protocols. */
  readonly #classicSupporters = new Map<string, number>();
  #classicMembers = 0;

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  get state(): ConsumerGroupState {
    if (this.#members.size === 0) return 'Empty';
    if (this.groupEpoch > this.assignmentEpoch) return 'Assigning';
    for (const member of this.#members.values())
      if (!isReconciledTo(member, this.assignmentEpoch)) return 'Reconciling';
    return 'Stable';
  }

  get size(): number {
    return this.#members.size;
  }

  /** How many members use the classic protocol. */
  get classicSize(): number {
    return this.#classicMembers;
  }

  members(): IterableIterator<ConsumerMember> {
    return this.#members.values();
  }

  member(memberId: string): ConsumerMember | undefined {
    return this.#members.get(memberId);
  }

  staticMember(instanceId: string | null): ConsumerMember | undefined {
    const memberId = instanceId === null ? undefined : this.#staticMembers.get(instanceId);
    return memberId === undefined ? undefined : this.#members.get(memberId);
  }

  /** The member, by its instance id if it has one; a Kafka error if there is none, or another has its instance id. */
  find(memberId: string, instanceId: string | null): ConsumerMember | ErrorCode {
    const member = instanceId === null ? this.member(memberId) : this.staticMember(instanceId);
    if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    return member.memberId === memberId ? member : ErrorCode.FENCED_INSTANCE_ID;
  }

  targetOf(memberId: string): Assignment {
    return this.#targets.get(memberId) ?? NO_PARTITIONS;
  }

  hasTarget(memberId: string): boolean {
    return this.#targets.has(memberId);
  }

  targetIds(): IterableIterator<string> {
    return this.#targets.keys();
  }

  /** Who has the partition or has not confirmed to have given it up; null if it is free. */
  ownerOf(topicId: Uuid, partition: number): string | null {
    return this.#owners.get(topicId)?.get(partition) ?? null;
  }

  isSubscribedTo(topic: string): boolean {
    return this.subscriptions.has(topic);
  }

  /** The server-side assignor that most members ask for once `before` is `after`; null if nobody asks. */
  preferredAssignor(
    before: ConsumerMember | null = null,
    after: ConsumerMember | null = null,
  ): string | null {
    const votes = new Map(this.#assignors);
    countAssignor(votes, before, -1);
    countAssignor(votes, after, 1);
    let winner: string | null = null;
    for (const [name, count] of votes) if (winner === null || count > votes.get(winner)!) winner = name;
    return winner;
  }

  /** Whether a member of the classic protocol could join: some protocol of its is supported by all that use it. */
  supportsClassic(protocolType: string, protocols: readonly { readonly name: string }[]): boolean {
    return (
      protocolType === CONSUMER_PROTOCOL_TYPE &&
      protocols.some(({ name }) => (this.#classicSupporters.get(name) ?? 0) === this.#classicMembers)
    );
  }

  /** The rest is for group-records.ts. */
  setMember(member: ConsumerMember): void {
    const before = this.#members.get(member.memberId) ?? null;
    this.#members.set(member.memberId, member);
    this.#replaced(before, member);
    if (member.instanceId !== null) this.#staticMembers.set(member.instanceId, member.memberId);
  }

  removeMember(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    this.#members.delete(memberId);
    this.#replaced(member, null);
    if (member.instanceId !== null && this.#staticMembers.get(member.instanceId) === memberId)
      this.#staticMembers.delete(member.instanceId);
    this.timers.cancelAll(memberId);
  }

  setTarget(memberId: string, target: Assignment | null): void {
    if (target === null) this.#targets.delete(memberId);
    else this.#targets.set(memberId, target);
  }

  resolveRegex(regex: string, resolved: ResolvedRegex | null): void {
    this.subscriptions.resolve(regex, resolved);
  }

  #replaced(before: ConsumerMember | null, after: ConsumerMember | null): void {
    this.subscriptions.replace(before, after);
    countAssignor(this.#assignors, before, -1);
    countAssignor(this.#assignors, after, 1);
    this.#countClassic(before, -1);
    this.#countClassic(after, 1);
    if (before?.assigned !== after?.assigned || before?.pendingRevocation !== after?.pendingRevocation) {
      if (before !== null) this.#disown(before);
      if (after !== null) this.#own(after);
    }
  }

  #own({ memberId, assigned, pendingRevocation }: ConsumerMember): void {
    for (const assignment of [assigned, pendingRevocation])
      for (const [topicId, partitions] of assignment) {
        const owners = this.#owners.get(topicId) ?? new Map<number, string>();
        this.#owners.set(topicId, owners);
        for (const partition of partitions.keys()) owners.set(partition, memberId);
      }
  }

  /** A compacted log may tell of the next owner first, which then stays. */
  #disown({ memberId, assigned, pendingRevocation }: ConsumerMember): void {
    for (const assignment of [assigned, pendingRevocation])
      for (const [topicId, partitions] of assignment) {
        const owners = this.#owners.get(topicId);
        if (owners === undefined) continue;
        for (const partition of partitions.keys())
          if (owners.get(partition) === memberId) owners.delete(partition);
        if (owners.size === 0) this.#owners.delete(topicId);
      }
  }

  #countClassic(member: ConsumerMember | null, change: 1 | -1): void {
    if (member === null || member.classic === null) return;
    this.#classicMembers += change;
    for (const { name } of member.classic.protocols) {
      const count = (this.#classicSupporters.get(name) ?? 0) + change;
      if (count === 0) this.#classicSupporters.delete(name);
      else this.#classicSupporters.set(name, count);
    }
  }
}

function countAssignor(votes: Map<string, number>, member: ConsumerMember | null, change: 1 | -1): void {
  if (member === null || member.serverAssignor === null) return;
  const count = (votes.get(member.serverAssignor) ?? 0) + change;
  if (count === 0) votes.delete(member.serverAssignor);
  else votes.set(member.serverAssignor, count);
}

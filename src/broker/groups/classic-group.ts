import { ErrorCode } from '../../protocol/errors.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import { createJoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import type { SyncGroupResponse } from '../../protocol/generated/sync-group-response.ts';
import { createSyncGroupResponse } from '../../protocol/generated/sync-group-response.ts';
import type { Timer } from '../../util/clock.ts';
import type { ClassicMember, MemberProtocol, Reply } from './member.ts';
import { CONSUMER_PROTOCOL_TYPE, subscribedTopicsOf } from './subscription.ts';

/** Kafka's names, as they are on the wire. */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead';

const PREVIOUS_STATES: Readonly<Record<GroupState, readonly GroupState[]>> = {
  Empty: ['PreparingRebalance'],
  PreparingRebalance: ['Empty', 'CompletingRebalance', 'Stable'],
  CompletingRebalance: ['PreparingRebalance'],
  Stable: ['CompletingRebalance'],
  Dead: ['Empty', 'PreparingRebalance', 'CompletingRebalance', 'Stable', 'Dead'],
};

/** What a group is when it is read back from the log. */
export interface GroupSnapshot {
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string | null;
  readonly stateSinceMs: number | null;
  readonly members: readonly ClassicMember[];
}

/**
 * The state of one classic group: members, leader, generation, protocol votes. It knows no time-outs and no storage;
 * those are in rebalance.ts. Every operation costs at most the number of members.
 */
export class ClassicGroup {
  readonly type = 'classic';
  readonly groupId: string;
  generationId = 0;
  protocolType: string | null = null;
  protocolName: string | null = null;
  leaderId: string | null = null;
  /** Topics of the members' subscriptions; null if unknown. */
  subscribedTopics: ReadonlySet<string> | null = null;
  /** When the state was entered; null for groups written by old brokers. */
  stateSinceMs: number | null;
  /** Ids that were given out and have not joined yet (KIP-394), with the timer that forgets them. */
  readonly pendingMembers = new Map<string, Timer>();
  /** Members that were told the generation and have not asked for their assignment yet. */
  readonly pendingSync = new Set<string>();
  /** A member joined during the initial rebalance delay, so it may be extended. */
  newMemberAdded = false;
  /** The generation whose assignments are being written; -1 if none is. */
  storingGeneration = -1;
  joinTimer: Timer | null = null;
  syncTimer: Timer | null = null;
  readonly #members = new Map<string, ClassicMember>();
  /** Member id by group.instance.id. */
  readonly #staticMembers = new Map<string, string>();
  /** How many members support each protocol. */
  readonly #supporters = new Map<string, number>();
  #awaitingJoin = 0;
  #state: GroupState = 'Empty';
  #previousState: GroupState = 'Dead';

  constructor(groupId: string, nowMs: number) {
    this.groupId = groupId;
    this.stateSinceMs = nowMs;
  }

  /** A group as it was last written: Stable if it has members, else Empty. */
  static restore(groupId: string, snapshot: GroupSnapshot): ClassicGroup {
    const group = new ClassicGroup(groupId, 0);
    group.generationId = snapshot.generationId;
    group.protocolName = snapshot.protocolName;
    for (const member of snapshot.members) group.add(member, null);
    group.protocolType = snapshot.protocolType;
    group.leaderId = snapshot.leaderId;
    group.stateSinceMs = snapshot.stateSinceMs;
    group.#state = snapshot.members.length > 0 ? 'Stable' : 'Empty';
    group.subscribedTopics = subscribedTopicsOf(group);
    return group;
  }

  get state(): GroupState {
    return this.#state;
  }

  get previousState(): GroupState {
    return this.#previousState;
  }

  get size(): number {
    return this.#members.size;
  }

  get awaitingJoin(): number {
    return this.#awaitingJoin;
  }

  members(): IterableIterator<ClassicMember> {
    return this.#members.values();
  }

  member(memberId: string): ClassicMember | undefined {
    return this.#members.get(memberId);
  }

  staticMemberId(groupInstanceId: string): string | undefined {
    return this.#staticMembers.get(groupInstanceId);
  }

  get isConsumerGroup(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE;
  }

  get canRebalance(): boolean {
    return PREVIOUS_STATES.PreparingRebalance.includes(this.#state);
  }

  get hasAllMembersJoined(): boolean {
    return this.#members.size === this.#awaitingJoin && this.pendingMembers.size === 0;
  }

  /** The longest of the members' rebalance time-outs, in milliseconds. */
  get rebalanceTimeoutMs(): number {
    let longest = 0;
    for (const { rebalanceTimeoutMs } of this.#members.values())
      longest = Math.max(longest, rebalanceTimeoutMs);
    return longest;
  }

  transitionTo(state: GroupState, nowMs: number): void {
    if (!PREVIOUS_STATES[state].includes(this.#state))
      throw new Error(`Group ${this.groupId} cannot go from ${this.#state} to ${state}`);
    this.#previousState = this.#state;
    this.#state = state;
    this.stateSinceMs = nowMs;
  }

  /** Adds a member, who leads the group if nobody does; `reply` is its parked JoinGroup. */
  add(member: ClassicMember, reply: Reply<JoinGroupResponse> | null): void {
    if (member.groupInstanceId !== null) this.#staticMembers.set(member.groupInstanceId, member.memberId);
    if (this.#members.size === 0) this.protocolType = member.protocolType;
    this.leaderId ??= member.memberId;
    this.#members.set(member.memberId, member);
    this.#countProtocols(member, 1);
    this.#park(member, reply);
    this.forgetPending(member.memberId);
  }

  /** Takes a member's new protocols and time-outs and parks its JoinGroup; null parks none. */
  update(
    member: ClassicMember,
    change: Pick<ClassicMember, 'protocols' | 'rebalanceTimeoutMs' | 'sessionTimeoutMs'>,
    reply: Reply<JoinGroupResponse> | null,
  ): void {
    this.#countProtocols(member, -1);
    member.protocols = change.protocols;
    member.rebalanceTimeoutMs = change.rebalanceTimeoutMs;
    member.sessionTimeoutMs = change.sessionTimeoutMs;
    this.#countProtocols(member, 1);
    this.#park(member, reply);
  }

  /** Removes a member or pending member with its session; its parked requests must have been answered. */
  remove(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member !== undefined) {
      this.#members.delete(memberId);
      this.#countProtocols(member, -1);
      if (member.awaitingJoin !== null) this.#awaitingJoin--;
      if (member.groupInstanceId !== null) this.#staticMembers.delete(member.groupInstanceId);
      member.session?.cancel();
      member.session = null;
    }
    if (this.leaderId === memberId) this.leaderId = this.#members.keys().next().value ?? null;
    this.forgetPending(memberId);
    this.pendingSync.delete(memberId);
  }

  forgetPending(memberId: string): void {
    this.pendingMembers.get(memberId)?.cancel();
    this.pendingMembers.delete(memberId);
  }

  /** Gives a static member a new id and fences whoever waits under the old one (KIP-345). */
  replaceStaticMember(groupInstanceId: string, oldMemberId: string, newMemberId: string): ClassicMember {
    const old = this.#members.get(oldMemberId);
    if (old === undefined) throw new Error(`Group ${this.groupId} has no member ${oldMemberId} to replace`);
    this.answerJoin(old, { memberId: oldMemberId, errorCode: ErrorCode.FENCED_INSTANCE_ID });
    this.answerSync(old, { errorCode: ErrorCode.FENCED_INSTANCE_ID });
    old.session?.cancel();
    old.session = null;
    const replacement = old.withId(newMemberId);
    this.#members.delete(oldMemberId);
    this.#members.set(newMemberId, replacement);
    if (this.leaderId === oldMemberId) this.leaderId = newMemberId;
    this.#staticMembers.set(groupInstanceId, newMemberId);
    if (this.pendingSync.delete(oldMemberId)) this.pendingSync.add(newMemberId);
    return replacement;
  }

  /**
   * Makes sure that the leader is one who has joined this rebalance.
   * Returns false if the group has no leader or nobody joined.
   */
  electJoinedLeader(): boolean {
    if (this.leaderId === null) return false;
    const leader = this.#members.get(this.leaderId);
    if (leader?.awaitingJoin) return true;
    for (const member of this.#members.values()) {
      if (member.awaitingJoin === null) continue;
      this.leaderId = member.memberId;
      return true;
    }
    return false;
  }

  /** Starts the next generation: CompletingRebalance with members, Empty without. */
  startNextGeneration(nowMs: number): void {
    this.generationId++;
    this.pendingSync.clear();
    this.protocolName = this.#members.size > 0 ? this.selectProtocol() : null;
    this.subscribedTopics = subscribedTopicsOf(this);
    this.transitionTo(this.#members.size > 0 ? 'CompletingRebalance' : 'Empty', nowMs);
  }

  /** The protocol with the most votes among those that every member supports. */
  selectProtocol(): string {
    const candidates = new Set<string>();
    for (const [name, supporters] of this.#supporters)
      if (supporters === this.#members.size) candidates.add(name);
    const votes = new Map<string, number>();
    let winner: string | null = null;
    for (const member of this.#members.values()) {
      const choice = member.vote(candidates);
      if (choice === null) continue;
      const count = (votes.get(choice) ?? 0) + 1;
      votes.set(choice, count);
    }
    for (const [name, count] of votes) if (winner === null || count > votes.get(winner)!) winner = name;
    if (winner === null) throw new Error(`No protocol is supported by all members of group ${this.groupId}`);
    return winner;
  }

  /** Whether a member of that type could join: some protocol of its is supported by all members. */
  supports(protocolType: string, protocols: readonly Pick<MemberProtocol, 'name'>[]): boolean {
    if (this.#state === 'Empty') return protocolType !== '' && protocols.length > 0;
    return (
      this.protocolType === protocolType &&
      protocols.some(({ name }) => (this.#supporters.get(name) ?? 0) === this.#members.size)
    );
  }

  isSubscribedTo(topic: string): boolean {
    return this.subscribedTopics?.has(topic) ?? this.isConsumerGroup;
  }

  /** NONE if the member is known and, for a static one, not fenced by a newer member with its instance id. */
  validateMember(memberId: string, groupInstanceId: string | null): ErrorCode {
    if (groupInstanceId !== null) {
      const current = this.#staticMembers.get(groupInstanceId);
      if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
      if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID;
    }
    return this.#members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID;
  }

  /** Answers a member's parked JoinGroup, if there is one. */
  answerJoin(member: ClassicMember, response: Partial<JoinGroupResponse>): void {
    const reply = member.awaitingJoin;
    if (reply === null) return;
    member.awaitingJoin = null;
    this.#awaitingJoin--;
    reply(joinResponse(response));
  }

  /** Answers a member's parked SyncGroup; false if there is none. */
  answerSync(member: ClassicMember, response: Partial<SyncGroupResponse>): boolean {
    const reply = member.awaitingSync;
    if (reply === null) return false;
    member.awaitingSync = null;
    reply(createSyncGroupResponse(response));
    return true;
  }

  /** Parks a member's SyncGroup; one that it sent before, and gave up, is answered. */
  parkSync(member: ClassicMember, reply: Reply<SyncGroupResponse>): void {
    this.answerSync(member, { errorCode: ErrorCode.REBALANCE_IN_PROGRESS });
    member.awaitingSync = reply;
  }

  /** Parks a member's JoinGroup; one that it sent before, and gave up, is answered. */
  #park(member: ClassicMember, reply: Reply<JoinGroupResponse> | null): void {
    this.answerJoin(member, { memberId: member.memberId, errorCode: ErrorCode.REBALANCE_IN_PROGRESS });
    member.awaitingJoin = reply;
    if (reply !== null) this.#awaitingJoin++;
  }

  #countProtocols(member: ClassicMember, change: 1 | -1): void {
    for (const { name } of member.protocols) {
      const count = (this.#supporters.get(name) ?? 0) + change;
      if (count === 0) this.#supporters.delete(name);
      else this.#supporters.set(name, count);
    }
  }
}

/** A JoinGroupResponse with a null protocol name unless one is given, as Kafka answers errors. */
export function joinResponse(response: Partial<JoinGroupResponse>): JoinGroupResponse {
  return createJoinGroupResponse({ generationId: -1, protocolName: null, ...response });
}

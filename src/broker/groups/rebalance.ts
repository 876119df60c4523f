import { ErrorCode } from '../../protocol/errors.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import { EMPTY_BYTES } from '../../protocol/wire/types.ts';
import type { ClassicGroup } from './classic-group.ts';
import type { GroupContext } from './group-context.ts';
import type { ClassicMember } from './member.ts';

/** The transitions of a group and its time-outs: sessions, the join phase, the sync phase. */
export class Rebalancer {
  readonly #context: GroupContext;

  constructor(context: GroupContext) {
    this.#context = context;
  }

  /** Begins a rebalance if the group can, else completes the one under way if all have joined. */
  prepareOrComplete(group: ClassicGroup, reason: string): void {
    if (group.canRebalance) this.prepare(group, reason);
    else this.completeIfAllJoined(group);
  }

  /** Begins a rebalance: members must rejoin within the rebalance time-out. */
  prepare(group: ClassicGroup, reason: string): void {
    if (group.state === 'CompletingRebalance') this.dropAssignments(group, ErrorCode.REBALANCE_IN_PROGRESS);
    this.#endSyncPhase(group);
    const initial = group.state === 'Empty';
    group.transitionTo('PreparingRebalance', this.#context.clock.now());
    this.#context.logger.info(
      { group: group.groupId, generation: group.generationId, reason },
      'group rebalances',
    );
    if (initial) {
      const { initialRebalanceDelayMs } = this.#context.config;
      const remainingMs = Math.max(group.rebalanceTimeoutMs - initialRebalanceDelayMs, 0);
      this.#waitForFirstMembers(group, initialRebalanceDelayMs, remainingMs);
    } else if (group.hasAllMembersJoined) {
      this.complete(group);
    } else {
      this.#scheduleJoin(group, group.rebalanceTimeoutMs, () => this.complete(group));
    }
  }

  /** Ends the join phase early. The first rebalance of a group always waits for its delay. */
  completeIfAllJoined(group: ClassicGroup): void {
    if (group.state === 'PreparingRebalance' && group.previousState !== 'Empty' && group.hasAllMembersJoined)
      this.complete(group);
  }

  /** Ends the join phase: removes the dynamic members that did not rejoin and starts the next generation. */
  complete(group: ClassicGroup): void {
    group.joinTimer?.cancel();
    group.joinTimer = null;
    for (const member of [...group.members()])
      if (member.awaitingJoin === null && member.groupInstanceId === null) group.remove(member.memberId);
    if (!group.electJoinedLeader() && group.size > 0) {
      // Only static members are left and none has rejoined: wait until one does or their sessions end.
      this.#scheduleJoin(group, group.rebalanceTimeoutMs, () => this.complete(group));
      return;
    }
    group.startNextGeneration(this.#context.clock.now());
    if (group.state === 'Empty') this.#persistEmpty(group);
    else this.#beginSyncPhase(group);
  }

  /** Removes a member whose session has ended. */
  removeMember(group: ClassicGroup, member: ClassicMember, reason: string): void {
    this.dismiss(group, member);
    if (group.state === 'Stable' || group.state === 'CompletingRebalance') this.prepare(group, reason);
    else this.completeIfAllJoined(group);
  }

  /** Takes a member out of the group without looking at what follows; its parked requests are answered. */
  dismiss(group: ClassicGroup, member: ClassicMember): void {
    group.answerJoin(member, { errorCode: ErrorCode.UNKNOWN_MEMBER_ID });
    group.answerSync(member, { errorCode: ErrorCode.UNKNOWN_MEMBER_ID });
    group.remove(member.memberId);
  }

  /** Remembers an id that was given out until its owner joins with it, at most `timeoutMs`; or until there are too many. */
  addPendingMember(group: ClassicGroup, memberId: string, timeoutMs: number): void {
    const [oldest] = group.pendingMembers.keys();
    if (group.pendingMembers.size >= this.#context.config.maxPendingMembers) group.forgetPending(oldest!);
    const timer = this.#context.clock.setTimer(timeoutMs, () => {
      group.remove(memberId);
      this.completeIfAllJoined(group);
    });
    group.pendingMembers.set(memberId, timer);
  }

  /** Starts a member's session anew. */
  restartSession(group: ClassicGroup, member: ClassicMember, timeoutMs = member.sessionTimeoutMs): void {
    member.session?.cancel();
    member.session = this.#context.clock.setTimer(timeoutMs, () => {
      member.session = null;
      if (member.satisfiesHeartbeat) return;
      this.#context.logger.info(
        { group: group.groupId, member: member.memberId },
        'group member lost: its session timed out',
      );
      this.removeMember(group, member, `session of ${member.memberId} timed out`);
    });
  }

  /** A member asks for its assignment in time. */
  syncReceived(group: ClassicGroup, memberId: string): void {
    group.pendingSync.delete(memberId);
    if (group.pendingSync.size > 0) return;
    group.syncTimer?.cancel();
    group.syncTimer = null;
  }

  /** Gives the members their assignments (by member id); the group is Stable then. */
  spreadAssignments(group: ClassicGroup, assignments: ReadonlyMap<string, Uint8Array>): void {
    const { protocolType, protocolName } = group;
    for (const member of group.members()) {
      member.assignment = assignments.get(member.memberId) ?? EMPTY_BYTES;
      // A session that ended while the member waited was ignored, so start a new one.
      if (group.answerSync(member, { protocolType, protocolName, assignment: member.assignment }))
        this.restartSession(group, member);
    }
    group.transitionTo('Stable', this.#context.clock.now());
  }

  /** Takes all assignments away and answers the waiting members with an error. */
  dropAssignments(group: ClassicGroup, errorCode: ErrorCode): void {
    for (const member of group.members()) {
      member.assignment = EMPTY_BYTES;
      if (group.answerSync(member, { errorCode })) this.restartSession(group, member);
    }
  }

  /** Ends a group's life here: no timer fires any more and every parked request is answered. */
  bury(group: ClassicGroup, errorCode: ErrorCode): void {
    group.transitionTo('Dead', this.#context.clock.now());
    group.joinTimer?.cancel();
    group.syncTimer?.cancel();
    group.joinTimer = null;
    group.syncTimer = null;
    for (const timer of group.pendingMembers.values()) timer.cancel();
    group.pendingMembers.clear();
    for (const member of group.members()) {
      group.answerJoin(member, { memberId: member.memberId, errorCode });
      group.answerSync(member, { errorCode });
      member.session?.cancel();
      member.session = null;
    }
  }

  #scheduleJoin(group: ClassicGroup, delayMs: number, action: () => void): void {
    group.joinTimer?.cancel();
    group.joinTimer = this.#context.clock.setTimer(delayMs, action);
  }

  /** Waits for more members as long as new ones keep coming, at most the rebalance time-out in all. */
  #waitForFirstMembers(group: ClassicGroup, delayMs: number, remainingMs: number): void {
    this.#scheduleJoin(group, delayMs, () => {
      if (!group.newMemberAdded || remainingMs === 0) {
        this.complete(group);
        return;
      }
      group.newMemberAdded = false;
      const nextDelayMs = Math.min(this.#context.config.initialRebalanceDelayMs, remainingMs);
      this.#waitForFirstMembers(group, nextDelayMs, Math.max(remainingMs - delayMs, 0));
    });
  }

  #beginSyncPhase(group: ClassicGroup): void {
    const { groupId, generationId, size, protocolName } = group;
    this.#context.logger.info(
      { group: groupId, generation: generationId, members: size, protocol: protocolName },
      'group begins a generation',
    );
    for (const member of group.members()) {
      group.answerJoin(member, currentGeneration(group, member));
      this.restartSession(group, member);
      member.isNew = false;
      group.pendingSync.add(member.memberId);
    }
    group.syncTimer?.cancel();
    group.syncTimer = this.#context.clock.setTimer(group.rebalanceTimeoutMs, () => this.#expireSync(group));
  }

  #endSyncPhase(group: ClassicGroup): void {
    group.pendingSync.clear();
    group.syncTimer?.cancel();
    group.syncTimer = null;
  }

  /** Members that joined and never asked for their assignment leave the group. */
  #expireSync(group: ClassicGroup): void {
    group.syncTimer = null;
    const silent = [...group.pendingSync];
    for (const memberId of silent) {
      const member = group.member(memberId);
      if (member !== undefined) this.dismiss(group, member);
    }
    this.prepare(group, `no SyncGroup from ${silent.length} members`);
  }

  #persistEmpty(group: ClassicGroup): void {
    this.#context.persist(group, new Map()).catch((error: unknown) => {
      // After a crash the last generation would be read back, and end with its sessions.
      this.#context.logger.warn({ group: group.groupId, err: error }, 'the empty group was not written');
    });
  }
}

/** A member's JoinGroup answer for the group's current generation; the leader learns who is in it. */
export function currentGeneration(group: ClassicGroup, member: ClassicMember): Partial<JoinGroupResponse> {
  const { generationId, protocolType, protocolName } = group;
  const leads = group.leaderId === member.memberId;
  return {
    memberId: member.memberId,
    generationId,
    protocolType,
    protocolName,
    leader: group.leaderId ?? '',
    members: leads ? memberList(group) : [],
  };
}

function memberList(group: ClassicGroup): JoinGroupResponse['members'] {
  return Array.from(group.members(), (member) => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    metadata: member.metadata(group.protocolName),
  }));
}

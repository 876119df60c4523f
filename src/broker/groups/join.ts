import { ErrorCode } from '../../protocol/errors.ts';
import type { JoinGroupRequest } from '../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import { groupAppendError } from './append-errors.ts';
import { type ClassicGroup, joinResponse } from './classic-group.ts';
import type { GroupContext } from './group-context.ts';
import { ClassicMember, type Reply } from './member.ts';
import { currentGeneration, type Rebalancer } from './rebalance.ts';

/** A JoinGroup request with who sent it. The byte fields of `request` are the coordinator's own. */
export interface JoinCall {
  readonly request: JoinGroupRequest;
  readonly apiVersion: number;
  readonly clientId: string;
  readonly clientHost: string;
  readonly reply: Reply<JoinGroupResponse>;
}

/** From this version a dynamic member is given its id first and joins with it (KIP-394). */
export const REQUIRES_MEMBER_ID = 4;
/** From this version a replaced static leader learns the members and is told not to assign (KIP-814). */
const SUPPORTS_SKIPPING_ASSIGNMENT = 9;

/** Of the client's name in a member's id, in UTF-16 units: of three bytes each, so that the id fits into a string of the protocol. */
const NAME_IN_ID_MAX = 10_000;

/** JoinGroup: who may join, under which id, and whether that begins a rebalance. */
export class JoinPhase {
  readonly #context: GroupContext;
  readonly #rebalancer: Rebalancer;

  constructor(context: GroupContext, rebalancer: Rebalancer) {
    this.#context = context;
    this.#rebalancer = rebalancer;
  }

  join(group: ClassicGroup, call: JoinCall): void {
    const { memberId, protocolType, protocols } = call.request;
    if (!this.#hasRoom(group, memberId)) {
      const member = group.member(memberId);
      if (member !== undefined) this.#rebalancer.dismiss(group, member);
      group.forgetPending(memberId);
      refuse(call, ErrorCode.GROUP_MAX_SIZE_REACHED, '');
      // The others need not wait for it any more.
      this.#rebalancer.completeIfAllJoined(group);
    } else if (!group.supports(protocolType, protocols)) {
      refuse(call, ErrorCode.INCONSISTENT_GROUP_PROTOCOL, memberId);
    } else if (memberId === '') {
      this.#joinNew(group, call);
    } else {
      this.#joinKnown(group, call);
    }
  }

  /**
   * During a rebalance those who wait count, so that the last to rejoin are turned away if the limit was lowered;
   * otherwise the members do.
   */
  #hasRoom(group: ClassicGroup, memberId: string): boolean {
    const { maxSize } = this.#context.config;
    const member = group.member(memberId);
    switch (group.state) {
      case 'PreparingRebalance':
        return (member !== undefined && member.awaitingJoin !== null) || group.awaitingJoin < maxSize;
      case 'CompletingRebalance':
      case 'Stable':
        return member !== undefined || group.size < maxSize;
      default:
        return true;
    }
  }

  #joinNew(group: ClassicGroup, call: JoinCall): void {
    const { groupInstanceId, sessionTimeoutMs } = call.request;
    const newMemberId = `${shortened(groupInstanceId ?? call.clientId)}-${this.#context.randomId()}`;
    if (groupInstanceId !== null) {
      const current = group.staticMemberId(groupInstanceId);
      if (current === undefined) this.#addMember(group, call, newMemberId);
      else this.#replaceMember(group, call, groupInstanceId, current, newMemberId);
    } else if (call.apiVersion >= REQUIRES_MEMBER_ID) {
      this.#rebalancer.addPendingMember(group, newMemberId, sessionTimeoutMs);
      refuse(call, ErrorCode.MEMBER_ID_REQUIRED, newMemberId);
    } else {
      this.#addMember(group, call, newMemberId);
    }
  }

  #joinKnown(group: ClassicGroup, call: JoinCall): void {
    const { memberId, groupInstanceId, protocols } = call.request;
    if (group.pendingMembers.has(memberId)) {
      // An id that was given out belongs to a dynamic member.
      if (groupInstanceId !== null) refuse(call, ErrorCode.UNKNOWN_MEMBER_ID, memberId);
      else this.#addMember(group, call, memberId);
      return;
    }
    const error = group.validateMember(memberId, groupInstanceId);
    const member = group.member(memberId);
    if (error !== ErrorCode.NONE || member === undefined) {
      refuse(call, error, memberId);
      return;
    }
    // A member that has not changed may have lost our answer: give it again. Only the leader of a stable group
    // rebalances by rejoining, because something that it assigns may have changed.
    const repeats =
      member.matches(protocols) &&
      (group.state === 'CompletingRebalance' || (group.state === 'Stable' && group.leaderId !== memberId));
    if (repeats) {
      call.reply(joinResponse(currentGeneration(group, member)));
      return;
    }
    group.update(member, call.request, call.reply);
    this.#rebalancer.prepareOrComplete(group, `${memberId} rejoined: ${reasonOf(call)}`);
  }

  #addMember(group: ClassicGroup, call: JoinCall, memberId: string): void {
    const member = new ClassicMember({
      memberId,
      groupInstanceId: call.request.groupInstanceId,
      clientId: call.clientId,
      clientHost: call.clientHost,
      protocolType: call.request.protocolType,
      rebalanceTimeoutMs: call.request.rebalanceTimeoutMs,
      sessionTimeoutMs: call.request.sessionTimeoutMs,
      protocols: call.request.protocols,
    });
    member.isNew = true;
    if (group.state === 'PreparingRebalance' && group.previousState === 'Empty') group.newMemberAdded = true;
    group.add(member, call.reply);
    // It does not know its id yet and cannot heartbeat. If its client gave up meanwhile, it must not stay for ever.
    this.#rebalancer.restartSession(group, member, this.#context.config.newMemberJoinTimeoutMs);
    this.#rebalancer.prepareOrComplete(group, `${memberId} joined: ${reasonOf(call)}`);
  }

  /** A static member came back without its id: it takes the place of its former self (KIP-345). */
  #replaceMember(
    group: ClassicGroup,
    call: JoinCall,
    groupInstanceId: string,
    oldMemberId: string,
    newMemberId: string,
  ): void {
    const oldLeader = group.leaderId ?? '';
    const member = group.replaceStaticMember(groupInstanceId, oldMemberId, newMemberId);
    const { protocols, rebalanceTimeoutMs, sessionTimeoutMs } = member;
    group.update(member, call.request, call.reply);
    this.#rebalancer.restartSession(group, member);
    if (group.state === 'Stable' && group.selectProtocol() === group.protocolName) {
      this.#persistMembers(group).then(
        () => this.#continueGeneration(group, call, member, oldLeader),
        (error: unknown) => {
          if (group.state !== 'Stable' || group.member(newMemberId) !== member) return;
          group.answerJoin(member, { errorCode: groupAppendError(error), leader: oldLeader });
          group.update(member, { protocols, rebalanceTimeoutMs, sessionTimeoutMs }, null);
          const former = group.replaceStaticMember(groupInstanceId, newMemberId, oldMemberId);
          this.#rebalancer.restartSession(group, former);
        },
      );
    } else {
      // Also in CompletingRebalance: the leader may be assigning to the old id at this moment.
      this.#rebalancer.prepareOrComplete(
        group,
        `static member ${groupInstanceId} rejoined: ${reasonOf(call)}`,
      );
    }
  }

  /** Writes the group with the assignments that it has. */
  #persistMembers(group: ClassicGroup): Promise<void> {
    const assignments = new Map<string, Uint8Array>();
    for (const { memberId, assignment } of group.members()) assignments.set(memberId, assignment);
    return this.#context.persist(group, assignments);
  }

  /** A replaced static member goes on in the same generation; if a rebalance has begun it waits for that instead. */
  #continueGeneration(group: ClassicGroup, call: JoinCall, member: ClassicMember, oldLeader: string): void {
    if (group.state !== 'Stable' || member.awaitingJoin !== call.reply) return;
    const current = currentGeneration(group, member);
    if (call.apiVersion >= SUPPORTS_SKIPPING_ASSIGNMENT)
      group.answerJoin(member, { ...current, skipAssignment: group.leaderId === member.memberId });
    // Older clients must not learn that they lead, or they would assign anew.
    else group.answerJoin(member, { ...current, leader: oldLeader, members: [] });
  }
}

/** As it is read back: half a character at the end would be another one. */
function shortened(name: string): string {
  return name.length <= NAME_IN_ID_MAX ? name : Buffer.from(name.slice(0, NAME_IN_ID_MAX)).toString();
}

function refuse(call: JoinCall, errorCode: ErrorCode, memberId: string): void {
  call.reply(joinResponse({ memberId, errorCode }));
}

function reasonOf(call: JoinCall): string {
  return call.request.reason ?? 'not provided';
}

import { ErrorCode } from '../../protocol/errors.ts';
import type { HeartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import type { MemberIdentity } from '../../protocol/generated/leave-group-request.ts';
import { createMemberResponse, type MemberResponse } from '../../protocol/generated/leave-group-response.ts';
import type { ClassicGroup } from './classic-group.ts';
import type { GroupContext } from './group-context.ts';
import type { Rebalancer } from './rebalance.ts';

/** Heartbeats and leaving. */
export class Membership {
  readonly #context: GroupContext;
  readonly #rebalancer: Rebalancer;

  constructor(context: GroupContext, rebalancer: Rebalancer) {
    this.#context = context;
    this.#rebalancer = rebalancer;
  }

  heartbeat(group: ClassicGroup, request: HeartbeatRequest): ErrorCode {
    const error = group.validateMember(request.memberId, request.groupInstanceId);
    const member = group.member(request.memberId);
    if (error !== ErrorCode.NONE || member === undefined) return error;
    if (request.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
    this.#rebalancer.restartSession(group, member);
    return group.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
  }

  /** Removes members for good; a static one also by its instance id alone, as administrators do (KIP-345). */
  leave(group: ClassicGroup, identities: readonly MemberIdentity[]): MemberResponse[] {
    const responses = identities.map((identity) => {
      const { memberId, groupInstanceId } = identity;
      return createMemberResponse({ memberId, groupInstanceId, errorCode: this.#leaveOne(group, identity) });
    });
    const left = responses.filter(({ errorCode }) => errorCode === ErrorCode.NONE).length;
    if (left > 0) {
      if (group.state === 'Stable' || group.state === 'CompletingRebalance')
        this.#rebalancer.prepare(group, `${left} members left`);
      else this.#rebalancer.completeIfAllJoined(group);
    }
    return responses;
  }

  #leaveOne(group: ClassicGroup, { memberId, groupInstanceId, reason }: MemberIdentity): ErrorCode {
    if (group.pendingMembers.has(memberId)) {
      group.forgetPending(memberId);
      return ErrorCode.NONE;
    }
    const byInstance = memberId === '' && groupInstanceId !== null;
    const id = byInstance ? (group.staticMemberId(groupInstanceId) ?? '') : memberId;
    const error = group.validateMember(id, groupInstanceId);
    const member = group.member(id);
    if (error !== ErrorCode.NONE || member === undefined) return error;
    this.#context.logger.info(
      { group: group.groupId, member: id, reason: reason ?? 'not provided' },
      'group member left',
    );
    this.#rebalancer.dismiss(group, member);
    return ErrorCode.NONE;
  }
}

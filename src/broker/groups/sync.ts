import { ErrorCode } from '../../protocol/errors.ts';
import type { SyncGroupRequest } from '../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../protocol/generated/sync-group-response.ts';
import { groupAppendError } from './append-errors.ts';
import type { ClassicGroup } from './classic-group.ts';
import type { GroupContext } from './group-context.ts';
import type { Reply } from './member.ts';
import type { Rebalancer } from './rebalance.ts';

/** SyncGroup: the leader's assignments are written before anybody gets one. */
export class SyncPhase {
  readonly #context: GroupContext;
  readonly #rebalancer: Rebalancer;

  constructor(context: GroupContext, rebalancer: Rebalancer) {
    this.#context = context;
    this.#rebalancer = rebalancer;
  }

  /** The byte fields of `request` are the coordinator's own. */
  sync(group: ClassicGroup, request: SyncGroupRequest, reply: Reply<SyncGroupResponse>): void {
    const errorCode = validate(group, request);
    const member = group.member(request.memberId);
    if (errorCode !== ErrorCode.NONE || member === undefined) {
      reply(createSyncGroupResponse({ errorCode }));
      return;
    }
    this.#rebalancer.syncReceived(group, member.memberId);
    if (group.state === 'CompletingRebalance') {
      group.parkSync(member, reply);
      if (group.leaderId === member.memberId) this.#storeAssignments(group, request);
    } else {
      const { protocolType, protocolName } = group;
      reply(createSyncGroupResponse({ protocolType, protocolName, assignment: member.assignment }));
    }
  }

  #storeAssignments(group: ClassicGroup, request: SyncGroupRequest): void {
    // A leader that asks again gets the answer of the write under way.
    if (group.storingGeneration === group.generationId) return;
    const assignments = new Map(
      request.assignments.map(({ memberId, assignment }) => [memberId, assignment]),
    );
    const { generationId } = request;
    // The group may have gone on to another rebalance by the time the write is done.
    const isCurrent = () => group.state === 'CompletingRebalance' && group.generationId === generationId;
    group.storingGeneration = generationId;
    this.#context.persist(group, assignments).then(
      () => {
        if (isCurrent()) this.#rebalancer.spreadAssignments(group, assignments);
      },
      (error: unknown) => {
        this.#context.logger.warn({ group: group.groupId, err: error }, 'the assignments were not written');
        if (!isCurrent()) return;
        this.#rebalancer.dropAssignments(group, groupAppendError(error));
        this.#rebalancer.prepare(group, 'the assignments were not written');
      },
    );
  }
}

function validate(group: ClassicGroup, request: SyncGroupRequest): ErrorCode {
  const error = group.validateMember(request.memberId, request.groupInstanceId);
  if (error !== ErrorCode.NONE) return error;
  if (request.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
  if (differs(request.protocolType, group.protocolType) || differs(request.protocolName, group.protocolName))
    return ErrorCode.INCONSISTENT_GROUP_PROTOCOL;
  return group.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
}

/** Old clients do not name the protocol. */
function differs(named: string | null, actual: string | null): boolean {
  return named !== null && actual !== null && named !== actual;
}

import type { StreamsGroupMemberMetadataValueEndpoint as Endpoint } from '../../../protocol/generated/streams-group-member-metadata-value.ts';
import { MemberState } from '../consumer/consumer-member.ts';
import { type MemberTasks, NO_TASKS, sameMemberTasks } from './tasks.ts';

export type { Endpoint };

/** What a member says of itself; a record of its own. */
export interface StreamsMemberMetadata {
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly topologyEpoch: number;
  /** The instance of the application that the member, one of its threads, belongs to. */
  readonly processId: string;
  /** Where the instance answers queries of its state; null if it does not. */
  readonly userEndpoint: Endpoint | null;
  readonly clientTags: ReadonlyMap<string, string>;
}

/** What a member has; a record of its own. */
export interface StreamsMemberProgress {
  readonly memberEpoch: number;
  /** The epoch before, with which the member comes if our answer was lost. */
  readonly previousEpoch: number;
  readonly state: MemberState;
  readonly assigned: MemberTasks;
  /** What it has been told to give up and has not confirmed. */
  readonly pendingRevocation: MemberTasks;
}

/** A member of a streams group; replaced, never changed. */
export interface StreamsMember extends StreamsMemberMetadata, StreamsMemberProgress {
  readonly memberId: string;
}

export const NEW_PROGRESS: StreamsMemberProgress = {
  memberEpoch: 0,
  previousEpoch: -1,
  state: MemberState.STABLE,
  assigned: NO_TASKS,
  pendingRevocation: NO_TASKS,
};

export function newStreamsMember(memberId: string): StreamsMember {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: '',
    clientHost: '',
    rebalanceTimeoutMs: -1,
    topologyEpoch: -1,
    processId: '',
    userEndpoint: null,
    clientTags: new Map(),
    ...NEW_PROGRESS,
  };
}

/** What the record of a member's metadata carries. */
export function metadataOf(member: StreamsMemberMetadata): StreamsMemberMetadata {
  const { instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs } = member;
  const { topologyEpoch, processId, userEndpoint, clientTags } = member;
  return {
    ...{ instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs },
    ...{ topologyEpoch, processId, userEndpoint, clientTags },
  };
}

/** What the record of a member's tasks carries. */
export function progressOf(member: StreamsMemberProgress): StreamsMemberProgress {
  const { memberEpoch, previousEpoch, state, assigned, pendingRevocation } = member;
  return { memberEpoch, previousEpoch, state, assigned, pendingRevocation };
}

export function sameMetadata(a: StreamsMemberMetadata, b: StreamsMemberMetadata): boolean {
  return (
    a.instanceId === b.instanceId &&
    a.rackId === b.rackId &&
    a.clientId === b.clientId &&
    a.clientHost === b.clientHost &&
    a.rebalanceTimeoutMs === b.rebalanceTimeoutMs &&
    a.topologyEpoch === b.topologyEpoch &&
    a.processId === b.processId &&
    a.userEndpoint?.host === b.userEndpoint?.host &&
    a.userEndpoint?.port === b.userEndpoint?.port &&
    sameEntries(a.clientTags, b.clientTags)
  );
}

export function sameProgress(a: StreamsMemberProgress, b: StreamsMemberProgress): boolean {
  return (
    a.memberEpoch === b.memberEpoch &&
    a.previousEpoch === b.previousEpoch &&
    a.state === b.state &&
    sameMemberTasks(a.assigned, b.assigned) &&
    sameMemberTasks(a.pendingRevocation, b.pendingRevocation)
  );
}

export function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

import { type Assignment, NO_PARTITIONS } from '../consumer/assignment.ts';

/** What a member says of itself; a record of its own. */
export interface ShareMemberMetadata {
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly topicNames: ReadonlySet<string>;
}

/** What a member has; a record of its own. */
export interface ShareMemberAssignment {
  readonly memberEpoch: number;
  /** The epoch before, with which the member comes if our answer was lost. */
  readonly previousEpoch: number;
  readonly assigned: Assignment;
}

/** A member of a share group; replaced, never changed. */
export interface ShareMember extends ShareMemberMetadata, ShareMemberAssignment {
  readonly memberId: string;
}

const NEW_SHARE_ASSIGNMENT: ShareMemberAssignment = {
  memberEpoch: 0,
  previousEpoch: -1,
  assigned: NO_PARTITIONS,
};

export function newShareMember(memberId: string): ShareMember {
  return {
    ...{ memberId, rackId: null, clientId: '', clientHost: '', topicNames: new Set<string>() },
    ...NEW_SHARE_ASSIGNMENT,
  };
}

/** What the record of a member's metadata carries. */
export function shareMetadataOf(member: ShareMemberMetadata): ShareMemberMetadata {
  const { rackId, clientId, clientHost, topicNames } = member;
  return { rackId, clientId, clientHost, topicNames };
}

/** What the record of a member's assignment carries. */
export function shareProgressOf(member: ShareMemberAssignment): ShareMemberAssignment {
  const { memberEpoch, previousEpoch, assigned } = member;
  return { memberEpoch, previousEpoch, assigned };
}

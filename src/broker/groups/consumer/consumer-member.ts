import type { MemberProtocol } from '../member.ts';
import { type EpochAssignment, NO_EPOCH_PARTITIONS, sameEpochAssignment } from './assignment.ts';

/** Where a member stands on its way to its target assignment; Kafka's names and numbers. */
export const MemberState = {
  STABLE: 0,
  /** It has been told to give partitions up and has not confirmed it. */
  UNREVOKED_PARTITIONS: 1,
  /** It waits for partitions that others have not given up. */
  UNRELEASED_PARTITIONS: 2,
  /** Of a later Kafka. */
  UNKNOWN: 127,
} as const;
export type MemberState = (typeof MemberState)[keyof typeof MemberState];

/** Epochs that are none: of a member that leaves, and of a static one that leaves for a while. */
export const LEAVE_EPOCH = -1;
export const STATIC_LEAVE_EPOCH = -2;

/** What a member that uses the classic protocol in a consumer group supports. */
export interface ClassicSupport {
  readonly sessionTimeoutMs: number;
  readonly protocols: readonly MemberProtocol[];
}

/** What a member says of itself; a record of its own. */
export interface MemberMetadata {
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly topicNames: ReadonlySet<string>;
  /** Null or empty: none. */
  readonly topicRegex: string | null;
  readonly serverAssignor: string | null;
  /** Null for a member that uses the consumer protocol. */
  readonly classic: ClassicSupport | null;
}

/** What a member has; a record of its own. */
export interface MemberAssignment {
  readonly memberEpoch: number;
  /** The epoch before, with which the member comes if our answer was lost. */
  readonly previousEpoch: number;
  readonly state: MemberState;
  readonly assigned: EpochAssignment;
  readonly pendingRevocation: EpochAssignment;
}

/** A member of a consumer group; replaced, never changed. */
export interface ConsumerMember extends MemberMetadata, MemberAssignment {
  readonly memberId: string;
}

export const NEW_METADATA: MemberMetadata = {
  instanceId: null,
  rackId: null,
  clientId: '',
  clientHost: '',
  rebalanceTimeoutMs: -1,
  topicNames: new Set(),
  topicRegex: '',
  serverAssignor: null,
  classic: null,
};

export const NEW_ASSIGNMENT: MemberAssignment = {
  memberEpoch: 0,
  previousEpoch: -1,
  state: MemberState.STABLE,
  assigned: NO_EPOCH_PARTITIONS,
  pendingRevocation: NO_EPOCH_PARTITIONS,
};

export function newMember(memberId: string): ConsumerMember {
  return { memberId, ...NEW_METADATA, ...NEW_ASSIGNMENT };
}

/** What the record of a member's metadata carries. */
export function metadataOf(member: MemberMetadata): MemberMetadata {
  const { instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs } = member;
  const { topicNames, topicRegex, serverAssignor, classic } = member;
  return {
    ...{ instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs },
    ...{ topicNames, topicRegex, serverAssignor, classic },
  };
}

/** What the record of a member's assignment carries. */
export function progressOf(member: MemberAssignment): MemberAssignment {
  const { memberEpoch, previousEpoch, state, assigned, pendingRevocation } = member;
  return { memberEpoch, previousEpoch, state, assigned, pendingRevocation };
}

/** The member in another epoch; the one before is remembered. */
export function inEpoch<M extends Pick<MemberAssignment, 'memberEpoch' | 'previousEpoch'>>(
  member: M,
  memberEpoch: number,
): M {
  return { ...member, memberEpoch, previousEpoch: member.memberEpoch };
}

export function isReconciledTo(
  member: Pick<MemberAssignment, 'state' | 'memberEpoch'>,
  targetEpoch: number,
): boolean {
  return member.state === MemberState.STABLE && member.memberEpoch === targetEpoch;
}

/** The member's regular expression, or null if it has none. */
export function regexOf(member: MemberMetadata | null | undefined): string | null {
  const regex = member?.topicRegex;
  return regex === null || regex === undefined || regex === '' ? null : regex;
}

export function sameMetadata(a: MemberMetadata, b: MemberMetadata): boolean {
  return (
    a.instanceId === b.instanceId &&
    a.rackId === b.rackId &&
    a.clientId === b.clientId &&
    a.clientHost === b.clientHost &&
    a.rebalanceTimeoutMs === b.rebalanceTimeoutMs &&
    a.topicRegex === b.topicRegex &&
    a.serverAssignor === b.serverAssignor &&
    sameTopics(a.topicNames, b.topicNames) &&
    sameClassic(a.classic, b.classic)
  );
}

export function sameMemberAssignment(a: MemberAssignment, b: MemberAssignment): boolean {
  return (
    a.memberEpoch === b.memberEpoch &&
    a.previousEpoch === b.previousEpoch &&
    a.state === b.state &&
    sameEpochAssignment(a.assigned, b.assigned) &&
    sameEpochAssignment(a.pendingRevocation, b.pendingRevocation)
  );
}

export function sameTopics(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const topic of a) if (!b.has(topic)) return false;
  return true;
}

function sameClassic(a: ClassicSupport | null, b: ClassicSupport | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.sessionTimeoutMs === b.sessionTimeoutMs &&
    a.protocols.length === b.protocols.length &&
    a.protocols.every(({ name, metadata }, i) => {
      const other = b.protocols[i]!;
      return name === other.name && Buffer.compare(metadata, other.metadata) === 0;
    })
  );
}

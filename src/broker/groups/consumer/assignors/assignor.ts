import type { Uuid } from '../../../../protocol/wire/types.ts';
import type { Assignment } from '../assignment.ts';

/** What an assignor knows of a member. */
export interface AssignableMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  /** The existing topics that it subscribes to. */
  readonly topicIds: ReadonlySet<Uuid>;
  /** What it was assigned before. */
  readonly assignment: Assignment;
}

/** A group whose partitions are to be shared out. */
export interface AssignableGroup {
  readonly members: readonly AssignableMember[];
  /** Whether all members subscribe to the same topics. */
  readonly isHomogeneous: boolean;
  /** Of a topic that some member subscribes to. */
  partitionCount(topicId: Uuid): number;
}

/** Shares the partitions of a group out to its members. The result has every member, and every partition once. */
export interface Assignor {
  readonly name: string;
  assign(group: AssignableGroup): Map<string, Assignment>;
}

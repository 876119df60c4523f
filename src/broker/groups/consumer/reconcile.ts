import type { Uuid } from '../../../protocol/wire/types.ts';
import type { Assignment, EpochAssignment, TopicPartitions } from './assignment.ts';
import { NO_EPOCH_PARTITIONS } from './assignment.ts';
import { type ConsumerMember, inEpoch, MemberState } from './consumer-member.ts';

/** What a member's assignment is reconciled with. */
export interface Reconciliation {
  readonly targetEpoch: number;
  readonly target: Assignment;
  /** The existing topics that the member subscribes to. */
  readonly topicIds: ReadonlySet<Uuid>;
  /** Whether it subscribes to others than before. */
  readonly hasSubscriptionChanged: boolean;
  /** What the member says that it owns; null if it does not say. */
  readonly owned: readonly TopicPartitions[] | null;
  /** Whether another member has the partition or has not confirmed to have given it up. */
  isTaken(topicId: Uuid, partition: number): boolean;
}

/**
 * The member one step nearer to its target assignment; the same object if there is no step to take. It gives up partitions
 * first, and stays in its epoch until it has confirmed that; only then it gets others, as far as they are free.
 */
export function reconcile(member: ConsumerMember, context: Reconciliation): ConsumerMember {
  switch (member.state) {
    case MemberState.STABLE:
      if (member.memberEpoch !== context.targetEpoch) return nextAssignment(member, context);
      return context.hasSubscriptionChanged ? withoutUnsubscribed(member, context) : member;
    case MemberState.UNREVOKED_PARTITIONS:
      if (!ownsAny(context.owned, member.pendingRevocation)) return nextAssignment(member, context);
      return context.hasSubscriptionChanged ? withoutUnsubscribed(member, context) : member;
    default:
      return nextAssignment(member, context);
  }
}

/** A member that does not say what it owns may own everything. */
function ownsAny(owned: readonly TopicPartitions[] | null, partitions: EpochAssignment): boolean {
  if (owned === null) return true;
  return owned.some(({ topicId, partitions: own }) =>
    own.some((partition) => partitions.get(topicId)?.has(partition) ?? false),
  );
}

/** Gives up the topics that the member does not subscribe to any more. */
function withoutUnsubscribed(member: ConsumerMember, { topicIds, owned }: Reconciliation): ConsumerMember {
  const assigned = new Map(member.assigned);
  const pendingRevocation = new Map(member.pendingRevocation);
  for (const [topicId, partitions] of member.assigned) {
    if (topicIds.has(topicId)) continue;
    assigned.delete(topicId);
    pendingRevocation.set(topicId, new Map([...(pendingRevocation.get(topicId) ?? []), ...partitions]));
  }
  if (assigned.size === member.assigned.size) return member;
  const current = inEpoch(member, member.memberEpoch);
  return ownsAny(owned, pendingRevocation)
    ? { ...current, state: MemberState.UNREVOKED_PARTITIONS, assigned, pendingRevocation }
    : { ...current, assigned };
}

function nextAssignment(member: ConsumerMember, context: Reconciliation): ConsumerMember {
  const { assigned, revoked, additional, hasUnreleased } = compare(member, context);
  if (revoked.size > 0 && ownsAny(context.owned, revoked))
    return {
      ...inEpoch(member, member.memberEpoch),
      state: MemberState.UNREVOKED_PARTITIONS,
      assigned,
      pendingRevocation: revoked,
    };
  for (const [topicId, partitions] of additional) {
    const own = assigned.get(topicId) ?? new Map<number, number>();
    assigned.set(topicId, own);
    for (const partition of partitions) own.set(partition, context.targetEpoch);
  }
  return {
    ...inEpoch(member, context.targetEpoch),
    state: hasUnreleased ? MemberState.UNRELEASED_PARTITIONS : MemberState.STABLE,
    assigned,
    pendingRevocation: NO_EPOCH_PARTITIONS,
  };
}

interface Comparison {
  /** What the member keeps. */
  readonly assigned: Map<Uuid, Map<number, number>>;
  /** What it must give up. */
  readonly revoked: Map<Uuid, Map<number, number>>;
  /** What it can get at once. */
  readonly additional: Map<Uuid, Set<number>>;
  /** Whether something that it is to get is not free. */
  readonly hasUnreleased: boolean;
}

function compare(member: ConsumerMember, { target, topicIds, isTaken }: Reconciliation): Comparison {
  const assigned = new Map<Uuid, Map<number, number>>();
  const revoked = new Map<Uuid, Map<number, number>>();
  const additional = new Map<Uuid, Set<number>>();
  let hasUnreleased = false;
  for (const [topicId, partitions] of member.assigned) {
    const wanted = topicIds.has(topicId) ? target.get(topicId) : undefined;
    const kept = new Map<number, number>();
    const given = new Map<number, number>();
    for (const [partition, epoch] of partitions)
      (wanted?.has(partition) ? kept : given).set(partition, epoch);
    if (kept.size > 0) assigned.set(topicId, kept);
    if (given.size > 0) revoked.set(topicId, given);
  }
  for (const [topicId, partitions] of target) {
    if (!topicIds.has(topicId)) continue;
    const free = new Set<number>();
    for (const partition of partitions) {
      if (assigned.get(topicId)?.has(partition)) continue;
      if (isTaken(topicId, partition)) hasUnreleased = true;
      else free.add(partition);
    }
    if (free.size > 0) additional.set(topicId, free);
  }
  return { assigned, revoked, additional, hasUnreleased };
}

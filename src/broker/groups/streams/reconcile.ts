import { withEpoch } from '../consumer/assignment.ts';
import { inEpoch, MemberState } from '../consumer/consumer-member.ts';
import type { StreamsMember } from './streams-member.ts';
import {
  type DatedTasks,
  hasTasks,
  type MemberTasks,
  NO_TASKS,
  type OwnedTasks,
  ownsAny,
  type Role,
  type TaskRoles,
  type Tasks,
} from './tasks.ts';

/** What a member's tasks are reconciled with. */
export interface Reconciliation {
  readonly targetEpoch: number;
  readonly target: TaskRoles;
  /** What the member says that it has; null if it does not say. */
  readonly owned: OwnedTasks | null;
  /** The processes whose members have the task in this role, or have not confirmed to have given it up. */
  processesOf(role: Role, subtopologyId: string, partition: number): Iterable<string>;
}

/**
 * The member one step nearer to its target assignment; the same object if there is no step to take. It gives up tasks first, and
 * stays in its epoch until it has confirmed that; only then it gets others, as far as they are free.
 */
export function reconcile(member: StreamsMember, context: Reconciliation): StreamsMember {
  switch (member.state) {
    case MemberState.STABLE:
      return member.memberEpoch === context.targetEpoch ? member : nextTasks(member, context);
    case MemberState.UNREVOKED_PARTITIONS:
      return ownsAny(context.owned, member.pendingRevocation) ? member : nextTasks(member, context);
    default:
      return nextTasks(member, context);
  }
}

function nextTasks(member: StreamsMember, context: Reconciliation): StreamsMember {
  const { target, targetEpoch } = context;
  const active = compare(member, 'active', context);
  const standby = compare(member, 'standby', context);
  const warmup = compare(member, 'warmup', context);
  const kept = selected(member.assigned, target, true);
  const revoked = selected(member.assigned, target, false);
  if (hasTasks(revoked) && ownsAny(context.owned, revoked))
    return {
      ...inEpoch(member, member.memberEpoch),
      state: MemberState.UNREVOKED_PARTITIONS,
      assigned: kept,
      pendingRevocation: revoked,
    };
  const waits = active.waits || standby.waits || warmup.waits;
  return {
    ...inEpoch(member, targetEpoch),
    state: waits ? MemberState.UNRELEASED_PARTITIONS : MemberState.STABLE,
    assigned: {
      active: withTasks(kept.active, active.free, targetEpoch),
      standby: withCopies(kept.standby, standby.free),
      warmup: withCopies(kept.warmup, warmup.free),
    },
    pendingRevocation: NO_TASKS,
  };
}

interface Comparison {
  /** What the member can get at once. */
  readonly free: Tasks;
  /** Whether something that it is to get is not free. */
  readonly waits: boolean;
}

/**
 * An active task is free when nobody has it; beyond that, an instance of the application never has a task twice, for all its
 * members keep the state of a task in the same place.
 */
function compare(member: StreamsMember, role: Role, { target, processesOf }: Reconciliation): Comparison {
  const free = new Map<string, Set<number>>();
  let waits = false;
  for (const [subtopologyId, partitions] of target[role])
    for (const partition of partitions) {
      if (member.assigned[role].get(subtopologyId)?.has(partition)) continue;
      const processes = (other: Role) => [...processesOf(other, subtopologyId, partition)];
      const actives = processes('active');
      const isTaken =
        (role === 'active' ? actives.length > 0 : actives.includes(member.processId)) ||
        processes('standby').includes(member.processId) ||
        processes('warmup').includes(member.processId);
      if (isTaken) {
        waits = true;
        continue;
      }
      const set = free.get(subtopologyId) ?? new Set<number>();
      free.set(subtopologyId, set.add(partition));
    }
  return { free, waits };
}

/** The tasks that are in the target, or with false those that are not. */
function selected(
  { active, standby, warmup }: MemberTasks,
  target: TaskRoles,
  isWanted: boolean,
): MemberTasks {
  const part = <P extends Iterable<unknown> & { readonly size: number }>(
    tasks: ReadonlyMap<string, P>,
    wanted: Tasks,
    filter: (partitions: P, isKept: (partition: number) => boolean) => P,
  ): Map<string, P> => {
    const found = new Map<string, P>();
    for (const [subtopologyId, partitions] of tasks) {
      const some = wanted.get(subtopologyId);
      const kept = filter(partitions, (partition) => (some?.has(partition) ?? false) === isWanted);
      if (kept.size > 0) found.set(subtopologyId, kept);
    }
    return found;
  };
  const ofSet = (partitions: ReadonlySet<number>, isKept: (partition: number) => boolean) =>
    new Set([...partitions].filter(isKept));
  return {
    active: part(
      active,
      target.active,
      (partitions: ReadonlyMap<number, number>, isKept) =>
        new Map([...partitions].filter(([partition]) => isKept(partition))),
    ),
    standby: part(standby, target.standby, ofSet),
    warmup: part(warmup, target.warmup, ofSet),
  };
}

function withTasks(tasks: DatedTasks, more: Tasks, epoch: number): DatedTasks {
  if (more.size === 0) return tasks;
  const all = new Map(tasks);
  for (const [subtopologyId, partitions] of withEpoch(more, epoch))
    all.set(subtopologyId, new Map([...(tasks.get(subtopologyId) ?? []), ...partitions]));
  return all;
}

function withCopies(tasks: Tasks, more: Tasks): Tasks {
  if (more.size === 0) return tasks;
  const all = new Map(tasks);
  for (const [subtopologyId, partitions] of more)
    all.set(subtopologyId, new Set([...(tasks.get(subtopologyId) ?? []), ...partitions]));
  return all;
}

import {
  type Assignment,
  type EpochAssignment,
  NO_EPOCH_PARTITIONS,
  NO_PARTITIONS,
  sameAssignment,
  sameEpochAssignment,
} from '../consumer/assignment.ts';

/** Partitions by subtopology: a task is one partition of a subtopology's input. Never changed once it is shared. */
export type Tasks = Assignment;

/** As `Tasks`, each with the member epoch in which its member got it. */
export type DatedTasks = EpochAssignment;

/** Of either kind. */
export type AnyTasks = ReadonlyMap<string, ReadonlySet<number> | ReadonlyMap<number, number>>;

/** The roles in which a member has a task: it processes it, keeps a copy of its state, or makes one to take it over. */
export const ROLES = ['active', 'standby', 'warmup'] as const;
export type Role = (typeof ROLES)[number];

/** What a member is to have. */
export type TaskRoles = Readonly<Record<Role, Tasks>>;

/** What a member has; only for active tasks the epochs matter, which fence commits. */
export interface MemberTasks {
  readonly active: DatedTasks;
  readonly standby: Tasks;
  readonly warmup: Tasks;
}

/** Tasks as requests, responses and records carry them. */
export interface TaskIds {
  readonly subtopologyId: string;
  readonly partitions: readonly number[];
}

export const NO_ROLES: TaskRoles = { active: NO_PARTITIONS, standby: NO_PARTITIONS, warmup: NO_PARTITIONS };
export const NO_TASKS: MemberTasks = {
  active: NO_EPOCH_PARTITIONS,
  standby: NO_PARTITIONS,
  warmup: NO_PARTITIONS,
};

/** A task's name in Kafka Streams. */
export function taskName(subtopologyId: string, partition: number): string {
  return `${subtopologyId}_${partition}`;
}

export function tasksOf(list: readonly TaskIds[]): Tasks {
  const tasks = new Map<string, Set<number>>();
  for (const { subtopologyId, partitions } of list) {
    const set = tasks.get(subtopologyId) ?? new Set();
    for (const partition of partitions) set.add(partition);
    if (set.size > 0) tasks.set(subtopologyId, set);
  }
  return tasks;
}

/** Ascending within a subtopology. */
export function taskIdsOf(tasks: AnyTasks): { subtopologyId: string; partitions: number[] }[] {
  return Array.from(tasks, ([subtopologyId, partitions]) => ({
    subtopologyId,
    partitions: [...partitions.keys()].sort((a, b) => a - b),
  }));
}

export function hasTask(tasks: AnyTasks, subtopologyId: string, partition: number): boolean {
  return tasks.get(subtopologyId)?.has(partition) ?? false;
}

export function hasTasks({ active, standby, warmup }: MemberTasks): boolean {
  return active.size + standby.size + warmup.size > 0;
}

export function sameRoles(a: TaskRoles, b: TaskRoles): boolean {
  return ROLES.every((role) => sameAssignment(a[role], b[role]));
}

export function sameMemberTasks(a: MemberTasks, b: MemberTasks): boolean {
  return (
    sameEpochAssignment(a.active, b.active) &&
    sameAssignment(a.standby, b.standby) &&
    sameAssignment(a.warmup, b.warmup)
  );
}

/** What a member says that it has. */
export type OwnedTasks = Readonly<Record<Role, readonly TaskIds[]>>;

/** What the member says that it has; null if it does not say. It says all of it or nothing. */
export function ownedTasks(request: {
  readonly activeTasks: readonly TaskIds[] | null;
  readonly standbyTasks: readonly TaskIds[] | null;
  readonly warmupTasks: readonly TaskIds[] | null;
}): OwnedTasks | null {
  const { activeTasks: active, standbyTasks: standby, warmupTasks: warmup } = request;
  return active === null || standby === null || warmup === null ? null : { active, standby, warmup };
}

/** Whether the member may have one of the tasks; one that does not say what it has may have everything. */
export function ownsAny(owned: OwnedTasks | null, tasks: MemberTasks): boolean {
  if (owned === null) return true;
  return ROLES.some((role) =>
    owned[role].some(({ subtopologyId, partitions }) =>
      partitions.some((partition) => hasTask(tasks[role], subtopologyId, partition)),
    ),
  );
}

/** Whether the member has nothing but these tasks. */
export function ownsOnly(owned: OwnedTasks | null, tasks: MemberTasks): boolean {
  if (owned === null) return false;
  return ROLES.every((role) =>
    owned[role].every(({ subtopologyId, partitions }) =>
      partitions.every((partition) => hasTask(tasks[role], subtopologyId, partition)),
    ),
  );
}

/** Whether the member says that it has all of these tasks and no others; not when it does not say. */
export function ownsExactly(owned: OwnedTasks | null, tasks: MemberTasks): boolean {
  if (owned === null || !ownsOnly(owned, tasks)) return false;
  return ROLES.every((role) => countOf(tasksOf(owned[role])) === countOf(tasks[role]));
}

function countOf(tasks: AnyTasks): number {
  let count = 0;
  for (const { size } of tasks.values()) count += size;
  return count;
}

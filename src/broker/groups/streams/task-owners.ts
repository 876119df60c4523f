import type { StreamsMember } from './streams-member.ts';
import { hasTask, type MemberTasks, ROLES, type Role, taskName } from './tasks.ts';

/** Who has each task of a group, in each role, or has not confirmed to have given it up. */
export class TaskOwners {
  /** Member ids by task. For an active task there is one; a compacted log may tell of the next one first. */
  readonly #owners: Readonly<Record<Role, Map<string, Set<string>>>> = {
    active: new Map(),
    standby: new Map(),
    warmup: new Map(),
  };

  replace(before: StreamsMember | null, after: StreamsMember | null): void {
    if (before?.assigned === after?.assigned && before?.pendingRevocation === after?.pendingRevocation)
      return;
    if (before !== null) this.#change(before, false);
    if (after !== null) this.#change(after, true);
  }

  /** The ids of the members that have the task in this role. */
  ownersOf(role: Role, subtopologyId: string, partition: number): Iterable<string> {
    return this.#owners[role].get(taskName(subtopologyId, partition)) ?? [];
  }

  #change({ memberId, assigned, pendingRevocation }: StreamsMember, owns: boolean): void {
    for (const role of ROLES)
      for (const tasks of [assigned[role], pendingRevocation[role]])
        for (const [subtopologyId, partitions] of tasks)
          for (const partition of partitions.keys())
            this.#set(this.#owners[role], taskName(subtopologyId, partition), memberId, owns);
  }

  #set(owners: Map<string, Set<string>>, task: string, memberId: string, owns: boolean): void {
    const ids = owners.get(task) ?? new Set<string>();
    if (owns) ids.add(memberId);
    else ids.delete(memberId);
    if (ids.size > 0) owners.set(task, ids);
    else owners.delete(task);
  }
}

/** The epoch in which the member got an active task, also one that it is to give up; null if it has not got it. */
export function assignmentEpochOf(
  {
    assigned,
    pendingRevocation,
  }: { readonly assigned: MemberTasks; readonly pendingRevocation: MemberTasks },
  subtopologyId: string,
  partition: number,
): number | null {
  for (const { active } of [assigned, pendingRevocation])
    if (hasTask(active, subtopologyId, partition)) return active.get(subtopologyId)!.get(partition)!;
  return null;
}

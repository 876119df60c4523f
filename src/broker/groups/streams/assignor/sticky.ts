import type { TaskRoles } from '../tasks.ts';
import { taskName } from '../tasks.ts';
import { MemberLoad, ProcessLoad, Quota, type Task } from './loads.ts';

/** What the assignor knows of a member. */
export interface AssignableMember {
  readonly memberId: string;
  /** The instance of the application that it is a thread of. */
  readonly processId: string;
  /** What it was assigned before. */
  readonly former: TaskRoles;
}

export interface AssignableSubtopology {
  readonly id: string;
  readonly taskCount: number;
  /** Whether its tasks have state, which is worth copies. */
  readonly isStateful: boolean;
}

export interface AssignableStreams {
  readonly members: readonly AssignableMember[];
  readonly subtopologies: readonly AssignableSubtopology[];
  /** Copies of the state of each stateful task. */
  readonly standbyReplicas: number;
}

/**
 * Kafka 4.3's assignor of streams groups ("sticky"): tasks stay where they were, or go to where their state is copied, as long as
 * no member gets more than its share; the rest goes to the instances with the least to do. No instance has a task twice. The
 * result has every member, every task once as active, and as many copies as there are instances for them.
 */
export function assignTasks(group: AssignableStreams): Map<string, TaskRoles> {
  return new StickyAssignment(group).assign();
}

class StickyAssignment {
  readonly #group: AssignableStreams;
  readonly #members: MemberLoad[] = [];
  readonly #processes: ProcessLoad[] = [];
  /** Who had each task before, by its name. */
  readonly #formerActive = new Map<string, MemberLoad>();
  readonly #formerStandbys = new Map<string, MemberLoad[]>();
  readonly #activeQuota: Quota;
  readonly #totalQuota: Quota;

  constructor(group: AssignableStreams) {
    this.#group = group;
    const { members, subtopologies, standbyReplicas } = group;
    const count = (isCounted: (subtopology: AssignableSubtopology) => boolean) =>
      subtopologies.filter(isCounted).reduce((sum, { taskCount }) => sum + taskCount, 0);
    const active = count(() => true);
    const standby = count(({ isStateful }) => isStateful) * standbyReplicas;
    this.#activeQuota = new Quota(active, members.length);
    this.#totalQuota = new Quota(active + standby, members.length);
    const processes = new Map<string, ProcessLoad>();
    for (const { memberId, processId, former } of members) {
      const process = processes.get(processId) ?? new ProcessLoad();
      processes.set(processId, process);
      const member = new MemberLoad(memberId, process);
      this.#members.push(member);
      for (const name of namesOf(former.active)) this.#formerActive.set(name, member);
      for (const name of namesOf(former.standby))
        this.#formerStandbys.set(name, [...(this.#formerStandbys.get(name) ?? []), member]);
    }
    this.#processes.push(...processes.values());
  }

  assign(): Map<string, TaskRoles> {
    if (this.#members.length > 0) {
      this.#assignActive();
      if (this.#group.standbyReplicas > 0) this.#assignStandbys();
    }
    return new Map(this.#members.map((member) => [member.memberId, member.tasks]));
  }

  #tasks(isWanted: (subtopology: AssignableSubtopology) => boolean): Task[] {
    return this.#group.subtopologies
      .filter(isWanted)
      .flatMap(({ id, taskCount }) =>
        Array.from({ length: taskCount }, (_, partition) => ({ subtopologyId: id, partition })),
      );
  }

  #assignActive(): void {
    // Tasks of the same partition are likely to have been together.
    let tasks = this.#tasks(() => true).sort(byPartition);
    tasks = tasks.filter((task) => !this.#addWithin(this.#formerActive.get(nameOf(task)), task));
    tasks = tasks.filter((task) => !this.#addWithin(this.#formerStandby(task, false), task));
    for (const task of tasks.sort(bySubtopology)) {
      const count = this.#leastLoaded(null)!.leastLoaded().add('active', task);
      this.#activeQuota.reached(count);
      this.#totalQuota.reached(count);
    }
  }

  /** Makes the task active in the member if there is one that has not got its share. */
  #addWithin(member: MemberLoad | undefined, task: Task): boolean {
    if (member === undefined || member.count >= this.#activeQuota.perMember) return false;
    const count = member.add('active', task);
    this.#activeQuota.reached(count);
    this.#totalQuota.reached(count);
    return true;
  }

  #assignStandbys(): void {
    const { standbyReplicas } = this.#group;
    const open: { task: Task; copies: number }[] = [];
    for (const task of this.#tasks(({ isStateful }) => isStateful).sort((a, b) => byPartition(b, a))) {
      let copies = 0;
      while (copies < standbyReplicas && this.#addFormer(task)) copies++;
      if (copies < standbyReplicas) open.push({ task, copies: standbyReplicas - copies });
    }
    for (const { task, copies } of open.sort((a, b) => bySubtopology(b.task, a.task)))
      for (let i = 0; i < copies; i++) {
        const process = this.#leastLoaded(task);
        // There are fewer instances than copies are wanted.
        if (process === null) break;
        this.#totalQuota.reached(process.leastLoaded().add('standby', task));
      }
  }

  /** A copy where the task was active or had a copy before, if whoever had it has not got its share. */
  #addFormer(task: Task): boolean {
    const active = this.#formerActive.get(nameOf(task));
    const isFree = (member: MemberLoad | undefined): member is MemberLoad =>
      member !== undefined && !member.process.has(task) && member.count < this.#totalQuota.perMember;
    const member = isFree(active) ? active : this.#formerStandby(task, true);
    if (!isFree(member)) return false;
    this.#totalQuota.reached(member.add('standby', task));
    return true;
  }

  /** Of those who had a copy the one with the least to do; `isNew`: in an instance that has not got the task. */
  #formerStandby(task: Task, isNew: boolean): MemberLoad | undefined {
    let candidate: MemberLoad | undefined;
    for (const member of this.#formerStandbys.get(nameOf(task)) ?? []) {
      if (isNew && member.process.has(task)) continue;
      if (
        candidate === undefined ||
        (member.process.load < candidate.process.load && member.count < candidate.count)
      )
        candidate = member;
    }
    return candidate;
  }

  /** The instance with the least to do, of those that have not got the task; null if there is none. */
  #leastLoaded(without: Task | null): ProcessLoad | null {
    let least: ProcessLoad | null = null;
    for (const process of this.#processes)
      if ((least === null || process.load < least.load) && (without === null || !process.has(without)))
        least = process;
    return least;
  }
}

function nameOf({ subtopologyId, partition }: Task): string {
  return taskName(subtopologyId, partition);
}

function* namesOf(tasks: TaskRoles['active']): Generator<string> {
  for (const [subtopologyId, partitions] of tasks)
    for (const partition of partitions) yield taskName(subtopologyId, partition);
}

function byPartition(a: Task, b: Task): number {
  return a.partition - b.partition || compareText(a.subtopologyId, b.subtopologyId);
}

function bySubtopology(a: Task, b: Task): number {
  return compareText(a.subtopologyId, b.subtopologyId) || a.partition - b.partition;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

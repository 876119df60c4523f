import { type Role, type TaskRoles, taskName } from '../tasks.ts';

export interface Task {
  readonly subtopologyId: string;
  readonly partition: number;
}

/** A member and the tasks that it gets. */
export class MemberLoad {
  readonly memberId: string;
  readonly process: ProcessLoad;
  /** Tasks of all roles. */
  count = 0;
  readonly #tasks = { active: new Map<string, Set<number>>(), standby: new Map<string, Set<number>>() };

  constructor(memberId: string, process: ProcessLoad) {
    this.memberId = memberId;
    this.process = process;
    process.members.push(this);
  }

  /** How many tasks the member has with this one. */
  add(role: Exclude<Role, 'warmup'>, { subtopologyId, partition }: Task): number {
    const partitions = this.#tasks[role].get(subtopologyId) ?? new Set<number>();
    this.#tasks[role].set(subtopologyId, partitions.add(partition));
    this.process.added(subtopologyId, partition);
    return ++this.count;
  }

  get tasks(): TaskRoles {
    return { ...this.#tasks, warmup: new Map() };
  }
}

/** An instance of the application with its members. */
export class ProcessLoad {
  readonly members: MemberLoad[] = [];
  #count = 0;
  readonly #tasks = new Set<string>();

  /** Tasks for each member. */
  get load(): number {
    return this.#count / this.members.length;
  }

  has({ subtopologyId, partition }: Task): boolean {
    return this.#tasks.has(taskName(subtopologyId, partition));
  }

  /** For its members. */
  added(subtopologyId: string, partition: number): void {
    this.#count++;
    this.#tasks.add(taskName(subtopologyId, partition));
  }

  /** The member with the fewest tasks. */
  leastLoaded(): MemberLoad {
    return this.members.reduce((least, member) => (member.count < least.count ? member : least));
  }
}

/** How many tasks a member may have so that all get about as many; rises for the others if one has got fewer. */
export class Quota {
  #tasks: number;
  #members: number;

  constructor(tasks: number, members: number) {
    this.#tasks = tasks;
    this.#members = members;
  }

  get perMember(): number {
    return this.#members === 0 ? 0 : Math.ceil(this.#tasks / this.#members);
  }

  /** A member has so many tasks now. */
  reached(count: number): void {
    if (count !== this.perMember) return;
    this.#members--;
    this.#tasks -= count;
  }
}

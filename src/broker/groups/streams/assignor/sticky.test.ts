import assert from 'node:assert/strict';
import { SeededRandom } from '../../../../util/testing/seeded-random.ts';
import { NO_ROLES, ROLES, type TaskRoles } from '../tasks.ts';
import { type AssignableSubtopology, assignTasks } from './sticky.ts';

interface Thread {
  readonly memberId: string;
  readonly processId: string;
}

const STATELESS: AssignableSubtopology = { id: '0', taskCount: 6, isStateful: false };
const STATEFUL: AssignableSubtopology = { id: '1', taskCount: 6, isStateful: true };

/** `a1`: member 1 of process a. */
function threads(...names: string[]): Thread[] {
  return names.map((memberId) => ({ memberId, processId: memberId[0]! }));
}

function assign(
  members: readonly Thread[],
  subtopologies: readonly AssignableSubtopology[],
  standbyReplicas = 0,
  former: ReadonlyMap<string, TaskRoles> = new Map(),
): Map<string, TaskRoles> {
  return assignTasks({
    members: members.map((member) => ({ ...member, former: former.get(member.memberId) ?? NO_ROLES })),
    subtopologies,
    standbyReplicas,
  });
}

function namesOf(tasks: TaskRoles | undefined, role: keyof TaskRoles = 'active'): string[] {
  return Array.from(tasks?.[role] ?? [])
    .flatMap(([id, partitions]) => Array.from(partitions, (partition) => `${id}_${partition}`))
    .sort();
}

/** Every task is active once, and no process has one twice. Returns how many tasks each member has as active. */
function check(
  members: readonly Thread[],
  subtopologies: readonly AssignableSubtopology[],
  standbyReplicas: number,
  assignment: ReadonlyMap<string, TaskRoles>,
): number[] {
  assert.deepEqual([...assignment.keys()].sort(), members.map(({ memberId }) => memberId).sort());
  const owners = new Map<string, string[]>();
  const standbys = new Map<string, number>();
  for (const { memberId, processId } of members)
    for (const role of ROLES)
      for (const name of namesOf(assignment.get(memberId), role)) {
        owners.set(`${name} in ${processId}`, [...(owners.get(`${name} in ${processId}`) ?? []), role]);
        if (role !== 'active') standbys.set(name, (standbys.get(name) ?? 0) + 1);
      }
  for (const [where, roles] of owners) assert.equal(roles.length, 1, `${where} is ${roles}`);
  const active = members.flatMap(({ memberId }) => namesOf(assignment.get(memberId)));
  const all = subtopologies.flatMap(({ id, taskCount }) =>
    Array.from({ length: taskCount }, (_, partition) => `${id}_${partition}`),
  );
  assert.deepEqual(active.sort(), all.sort());
  const processes = new Set(members.map(({ processId }) => processId)).size;
  for (const { id, taskCount, isStateful } of subtopologies)
    for (let partition = 0; partition < taskCount; partition++)
      assert.equal(
        standbys.get(`${id}_${partition}`) ?? 0,
        isStateful ? Math.min(standbyReplicas, processes - 1) : 0,
        `copies of ${id}_${partition}`,
      );
  return members.map(({ memberId }) => namesOf(assignment.get(memberId)).length);
}

describe('the sticky assignor of streams groups', () => {
  it('shares tasks out to members and their instances', () => {
    const members = threads('a1', 'a2', 'b1');
    const counts = check(members, [STATELESS, STATEFUL], 0, assign(members, [STATELESS, STATEFUL]));
    assert.deepEqual(counts, [4, 4, 4]);
  });

  it('gives nothing to nobody, and empty tasks to members without a topology', () => {
    assert.equal(assign([], [STATELESS]).size, 0);
    assert.deepEqual(assign(threads('a1'), []).get('a1'), {
      active: new Map(),
      standby: new Map(),
      warmup: new Map(),
    });
  });

  it('leaves tasks where they are, and moves no more than it must when a member joins', () => {
    const before = assign(threads('a1', 'b1'), [STATEFUL]);
    const members = threads('a1', 'b1', 'c1');
    const after = assign(members, [STATEFUL], 0, before);
    assert.deepEqual(check(members, [STATEFUL], 0, after), [2, 2, 2]);
    for (const id of ['a1', 'b1'])
      assert.ok(namesOf(after.get(id)).every((name) => namesOf(before.get(id)).includes(name)));
    assert.deepEqual(assign(members, [STATEFUL], 0, after), after);
  });

  it('makes a copy active when the one that had the task is gone', () => {
    const before = assign(threads('a1', 'b1', 'c1'), [STATEFUL], 1);
    check(threads('a1', 'b1', 'c1'), [STATEFUL], 1, before);
    const members = threads('b1', 'c1');
    const after = assign(members, [STATEFUL], 1, before);
    check(members, [STATEFUL], 1, after);
    // Where all copies are in one place its member gets no more than its share.
    const moved = namesOf(before.get('a1'));
    const heirs = moved.filter((name) =>
      members.some(
        ({ memberId }) =>
          namesOf(after.get(memberId)).includes(name) &&
          namesOf(before.get(memberId), 'standby').includes(name),
      ),
    );
    assert.ok(heirs.length > 0, `${moved} went where no copies were`);
  });

  it('keeps copies in other instances, as many as there are', () => {
    const members = threads('a1', 'a2', 'b1', 'b2');
    check(members, [STATELESS, STATEFUL], 2, assign(members, [STATELESS, STATEFUL], 2));
    const alone = threads('a1', 'a2');
    check(alone, [STATEFUL], 1, assign(alone, [STATEFUL], 1));
  });

  it('keeps its promises for any members and tasks, and changes nothing when nothing changed', () => {
    const random = new SeededRandom(7);
    let former = new Map<string, TaskRoles>();
    for (let round = 0; round < 300; round++) {
      const members: Thread[] = [];
      for (const process of ['a', 'b', 'c', 'd'])
        for (let i = random.integer(0, 3); i > 0; i--)
          members.push({ memberId: `${process}${i}`, processId: process });
      if (members.length === 0) continue;
      const subtopologies = ['0', '1', '2'].map((id) => ({
        id,
        taskCount: random.integer(1, 12),
        isStateful: random.chance(0.5),
      }));
      const standbyReplicas = random.integer(0, 2);
      const assignment = assign(members, subtopologies, standbyReplicas, former);
      const counts = check(members, subtopologies, standbyReplicas, assignment);
      const processes = new Map<string, { tasks: number; members: number }>();
      for (const [i, { processId }] of members.entries()) {
        const { tasks, members: size } = processes.get(processId) ?? { tasks: 0, members: 0 };
        processes.set(processId, { tasks: tasks + counts[i]!, members: size + 1 });
      }
      const total = counts.reduce((sum, count) => sum + count, 0);
      const fair = Math.ceil(total / members.length);
      for (const { tasks, members: size } of processes.values())
        assert.ok(
          tasks <= (fair + 1) * size,
          `round ${round}: ${tasks} tasks for ${size} of ${members.length}`,
        );
      former = assignment;
    }
  });
});

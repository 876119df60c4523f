import assert from 'node:assert/strict';
import { SeededRandom } from '../../../../util/testing/seeded-random.ts';
import { type Assignment, assignmentOf, NO_PARTITIONS } from '../assignment.ts';
import type { AssignableMember, Assignor } from './assignor.ts';
import { rangeAssignor } from './range.ts';
import { uniformAssignor } from './uniform.ts';

type Counts = Readonly<Record<string, number>>;

function member(
  memberId: string,
  topicIds: readonly string[],
  assignment: Assignment = NO_PARTITIONS,
  instanceId: string | null = null,
): AssignableMember {
  return { memberId, instanceId, topicIds: new Set(topicIds), assignment };
}

function assign(assignor: Assignor, counts: Counts, members: readonly AssignableMember[]) {
  const keys = new Set(members.map(({ topicIds }) => [...topicIds].sort().join()));
  return assignor.assign({
    members,
    isHomogeneous: keys.size <= 1,
    partitionCount: (topicId) => counts[topicId]!,
  });
}

function shown(assignments: ReadonlyMap<string, Assignment>): Record<string, string> {
  return Object.fromEntries(
    Array.from(assignments, ([memberId, assignment]) => [
      memberId,
      Array.from(assignment, ([topicId, partitions]) => `${topicId}:${[...partitions].sort((a, b) => a - b)}`)
        .sort()
        .join(' '),
    ]),
  );
}

const size = (assignment: Assignment) => [...assignment.values()].reduce((sum, { size: n }) => sum + n, 0);

/** Every partition has one owner, who subscribes to it. */
function assertComplete(
  counts: Counts,
  members: readonly AssignableMember[],
  assignments: ReadonlyMap<string, Assignment>,
): void {
  const owners = new Map<string, string>();
  for (const { memberId, topicIds } of members)
    for (const [topicId, partitions] of assignments.get(memberId)!)
      for (const partition of partitions) {
        assert.ok(topicIds.has(topicId), `${memberId} does not subscribe to ${topicId}`);
        assert.ok(partition < counts[topicId]!);
        const key = `${topicId}:${partition}`;
        assert.equal(owners.get(key), undefined, `${key} has two owners`);
        owners.set(key, memberId);
      }
  const subscribed = new Set(members.flatMap(({ topicIds }) => [...topicIds]));
  const total = [...subscribed].reduce((sum, topicId) => sum + counts[topicId]!, 0);
  assert.equal(owners.size, total);
}

describe('the range assignor', () => {
  it('cuts every topic into ranges, the first of which are longer', () => {
    const members = ['c', 'a', 'b'].map((id) => member(id, ['t', 'u']));
    assert.deepEqual(shown(assign(rangeAssignor, { t: 7, u: 2 }, members)), {
      a: 't:0,1,2 u:0',
      b: 't:3,4 u:1',
      c: 't:5,6',
    });
  });

  it('orders static members by their instance ids, before dynamic ones', () => {
    const members = [
      member('x', ['t']),
      member('z', ['t'], NO_PARTITIONS, '1'),
      member('y', ['t'], NO_PARTITIONS, '2'),
    ];
    assert.deepEqual(shown(assign(rangeAssignor, { t: 3 }, members)), { z: 't:0', y: 't:1', x: 't:2' });
  });

  it('serves each topic to those who subscribe to it', () => {
    const members = [member('a', ['t']), member('b', ['t', 'u']), member('c', ['u'])];
    assert.deepEqual(shown(assign(rangeAssignor, { t: 4, u: 3 }, members)), {
      a: 't:0,1',
      b: 't:2,3 u:0,1',
      c: 'u:2',
    });
  });
});

describe('the uniform assignor', () => {
  it('moves no more than it must when a member joins or leaves', () => {
    const two = [
      member('a', ['t'], assignmentOf([{ topicId: 't', partitions: [0, 1, 2] }])),
      member('b', ['t'], assignmentOf([{ topicId: 't', partitions: [3, 4, 5] }])),
    ];
    const three = assign(uniformAssignor, { t: 6 }, [...two, member('c', ['t'])]);
    assert.deepEqual(shown(three), { a: 't:0,1', b: 't:3,4', c: 't:2,5' });
    const left = ['a', 'c'].map((id) => member(id, ['t'], three.get(id)!));
    assert.deepEqual(shown(assign(uniformAssignor, { t: 6 }, left)), { a: 't:0,1,3', c: 't:2,4,5' });
  });

  it('balances members with different subscriptions as far as these allow', () => {
    const members = [member('a', ['t']), member('b', ['t', 'u']), member('c', ['u'])];
    const assignments = assign(uniformAssignor, { t: 4, u: 2 }, members);
    assert.deepEqual(
      members.map(({ memberId }) => size(assignments.get(memberId)!)),
      [2, 2, 2],
    );
  });

  it('takes away what a member does not subscribe to any more', () => {
    const had = assignmentOf([
      { topicId: 't', partitions: [0] },
      { topicId: 'u', partitions: [0] },
    ]);
    const members = [member('a', ['t'], had), member('b', ['u'])];
    assert.deepEqual(shown(assign(uniformAssignor, { t: 1, u: 1 }, members)), { a: 't:0', b: 'u:0' });
  });

  it('keeps balance and as much as it can, whatever the group', () => {
    const random = new SeededRandom(7);
    for (let run = 0; run < 400; run++) {
      const topicIds = Array.from({ length: random.integer(1, 5) }, (_, i) => `t${i}`);
      const counts = Object.fromEntries(topicIds.map((id) => [id, random.integer(1, 12)]));
      const homogeneous = random.chance(0.5);
      const choose = () => {
        const some = topicIds.filter(() => random.chance(0.6));
        return homogeneous || some.length === 0 ? topicIds : some;
      };
      let members = Array.from({ length: random.integer(1, 6) }, (_, i) => member(`m${i}`, choose()));
      for (let step = 0; step < 4; step++) {
        const assignments = assign(uniformAssignor, counts, members);
        assertComplete(counts, members, assignments);
        if (homogeneous) {
          const sizes = members.map(({ memberId }) => size(assignments.get(memberId)!));
          assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `not balanced: ${sizes}`);
        }
        members = members.map((each) => ({ ...each, assignment: assignments.get(each.memberId)! }));
        assert.deepEqual(
          shown(assign(uniformAssignor, counts, members)),
          shown(assignments),
          'moves though nothing changed',
        );
        if (random.chance(0.5)) members.push(member(`n${run}-${step}`, choose()));
        else if (members.length > 1) members.splice(random.integer(0, members.length - 1), 1);
      }
    }
  });
});

import assert from 'node:assert/strict';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type { Assignment } from '../consumer/assignment.ts';
import { assignShares, type SharingMember } from './simple-assignor.ts';

const NONE: Assignment = new Map();

function member(memberId: string, topicIds: readonly string[], assignment = NONE): SharingMember {
  return { memberId, topicIds: new Set(topicIds), assignment };
}

function sizesOf(assigned: ReadonlyMap<string, Assignment>): number[] {
  return Array.from(assigned.values(), (assignment) =>
    [...assignment.values()].reduce((sum, partitions) => sum + partitions.size, 0),
  );
}

/** How many members each partition has. */
function sharersOf(assigned: ReadonlyMap<string, Assignment>): Map<string, number> {
  const sharers = new Map<string, number>();
  for (const assignment of assigned.values())
    for (const [topicId, partitions] of assignment)
      for (const partition of partitions) {
        const key = `${topicId}:${partition}`;
        sharers.set(key, (sharers.get(key) ?? 0) + 1);
      }
  return sharers;
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('the simple assignor', () => {
  it('gives every partition to somebody, and about as many to everybody', () => {
    for (let members = 1; members <= 9; members++)
      for (let partitions = 1; partitions <= 9; partitions++) {
        const about = `${members} members, ${partitions} partitions`;
        const all = range(members).map((i) => member(`m${i}`, ['t']));
        const assigned = assignShares(all, () => range(partitions));
        const sizes = sizesOf(assigned);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `${about}: ${sizes}`);
        const sharers = sharersOf(assigned);
        assert.equal(sharers.size, partitions, about);
        assert.ok(Math.max(...sharers.values()) <= Math.ceil(members / partitions), about);
      }
  });

  it('moves nothing without a reason', () => {
    const first = assignShares([member('a', ['t']), member('b', ['t'])], () => range(6));
    const again = assignShares([member('a', ['t'], first.get('a')), member('b', ['t'], first.get('b'))], () =>
      range(6),
    );
    assert.deepEqual(again, first);
    const three = assignShares(
      [member('a', ['t'], first.get('a')), member('b', ['t'], first.get('b')), member('c', ['t'])],
      () => range(6),
    );
    for (const id of ['a', 'b'])
      for (const partition of three.get(id)!.get('t')!) assert.ok(first.get(id)!.get('t')!.has(partition));
    assert.deepEqual(sizesOf(three), [2, 2, 2]);
  });

  it('gives members with different subscriptions only what they want, and everything to somebody', () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 200; round++) {
      const topics = ['a', 'b', 'c'];
      const counts = new Map(topics.map((topic) => [topic, random.integer(0, 5)]));
      const members = range(random.integer(1, 6)).map((i) =>
        member(
          `m${i}`,
          topics.filter(() => random.chance(0.6)),
        ),
      );
      const assigned = assignShares(members, (topic) => range(counts.get(topic)!));
      for (const { memberId, topicIds } of members)
        for (const topic of assigned.get(memberId)!.keys()) assert.ok(topicIds.has(topic));
      const wanted = topics.filter((topic) => members.some(({ topicIds }) => topicIds.has(topic)));
      const expected = wanted.reduce((sum, topic) => sum + counts.get(topic)!, 0);
      assert.equal(sharersOf(assigned).size, expected);
    }
  });
});

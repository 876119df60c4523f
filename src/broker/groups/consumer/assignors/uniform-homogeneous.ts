import type { Uuid } from '../../../../protocol/wire/types.ts';
import type { Assignment } from '../assignment.ts';
import type { AssignableGroup } from './assignor.ts';

type Draft = Map<Uuid, Set<number>>;

interface Unfilled {
  readonly draft: Draft;
  readonly room: number;
}

/**
 * Kafka's `uniform` for members that all subscribe to the same topics: everybody gets the same number of partitions, or
 * one more, and keeps as many as possible of those that it had.
 */
export function assignHomogeneous({ members, partitionCount }: AssignableGroup): Map<string, Assignment> {
  const topicIds = members[0]!.topicIds;
  const { unassigned, total } = unassignedPartitions(members, topicIds, partitionCount);
  const quota = Math.floor(total / members.length);
  /** Members that are to get one partition more than the quota. */
  let extras = total % members.length;
  const drafts = new Map<string, Draft>();
  const unfilled: Unfilled[] = [];
  for (const [position, { memberId, assignment }] of members.entries()) {
    let takesExtra = extras > 0;
    const { draft, kept } = keep(assignment, topicIds, takesExtra ? quota + 1 : quota, unassigned);
    let room = quota + (takesExtra ? 1 : 0) - kept;
    // One that does not own it already leaves the extra partition to another, while there are enough of them.
    if (room > 0 && takesExtra && members.length - position > extras) {
      room--;
      takesExtra = false;
    }
    if (takesExtra) extras--;
    if (room > 0) unfilled.push({ draft, room });
    drafts.set(memberId, draft);
  }
  fill(unfilled, unassigned);
  return drafts;
}

function unassignedPartitions(
  members: AssignableGroup['members'],
  topicIds: ReadonlySet<Uuid>,
  partitionCount: (topicId: Uuid) => number,
): { unassigned: [Uuid, number][]; total: number } {
  const unassigned: [Uuid, number][] = [];
  let total = 0;
  for (const topicId of topicIds) {
    const count = partitionCount(topicId);
    total += count;
    const assigned = new Set<number>();
    for (const { assignment } of members)
      for (const partition of assignment.get(topicId) ?? []) assigned.add(partition);
    for (let partition = 0; partition < count; partition++)
      if (!assigned.has(partition)) unassigned.push([topicId, partition]);
  }
  return { unassigned, total };
}

/** What a member keeps of its former assignment, at most `most` partitions; the others go to `unassigned`. */
function keep(
  former: Assignment,
  topicIds: ReadonlySet<Uuid>,
  most: number,
  unassigned: [Uuid, number][],
): { draft: Draft; kept: number } {
  const draft: Draft = new Map();
  let kept = 0;
  for (const [topicId, partitions] of former) {
    if (!topicIds.has(topicId)) continue;
    const own = new Set<number>();
    for (const partition of partitions) {
      if (kept < most) {
        own.add(partition);
        kept++;
      } else unassigned.push([topicId, partition]);
    }
    if (own.size > 0) draft.set(topicId, own);
  }
  return { draft, kept };
}

function fill(unfilled: readonly Unfilled[], unassigned: readonly [Uuid, number][]): void {
  let next = 0;
  for (const { draft, room } of unfilled)
    for (let i = 0; i < room && next < unassigned.length; i++) {
      const [topicId, partition] = unassigned[next++]!;
      const own = draft.get(topicId);
      if (own === undefined) draft.set(topicId, new Set([partition]));
      else own.add(partition);
    }
}

import type { Uuid } from '../../../../protocol/wire/types.ts';
import type { Assignment } from '../assignment.ts';
import type { AssignableGroup, AssignableMember, Assignor } from './assignor.ts';

interface Shares {
  readonly partitionCount: number;
  subscribers: number;
  /** How many members have their share, and how many partitions those are. */
  served: number;
  next: number;
}

/**
 * Kafka's `range`: each topic is cut into consecutive ranges, one for each subscriber, in the order of instance ids and
 * then member ids. Members with equal positions get the same partitions of all topics that they share.
 */
export const rangeAssignor: Assignor = {
  name: 'range',
  assign({ members, partitionCount }: AssignableGroup): Map<string, Assignment> {
    const topics = new Map<Uuid, Shares>();
    for (const { topicIds } of members)
      for (const topicId of topicIds) {
        const shares = topics.get(topicId);
        if (shares !== undefined) shares.subscribers++;
        else
          topics.set(topicId, {
            partitionCount: partitionCount(topicId),
            subscribers: 1,
            served: 0,
            next: 0,
          });
      }
    const assignments = new Map<string, Assignment>();
    for (const { memberId, topicIds } of [...members].sort(compare)) {
      const assignment = new Map<Uuid, ReadonlySet<number>>();
      for (const topicId of topicIds) {
        const range = nextRange(topics.get(topicId)!);
        if (range.size > 0) assignment.set(topicId, range);
      }
      assignments.set(memberId, assignment);
    }
    return assignments;
  },
};

/** Static members first, by instance id; dynamic ones by member id. */
function compare(a: AssignableMember, b: AssignableMember): number {
  if (a.instanceId !== null && b.instanceId !== null) return compareText(a.instanceId, b.instanceId);
  if (a.instanceId !== null) return -1;
  if (b.instanceId !== null) return 1;
  return compareText(a.memberId, b.memberId);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The first subscribers get one partition more where they cannot all get the same number. */
function nextRange(shares: Shares): ReadonlySet<number> {
  const { partitionCount, subscribers, served } = shares;
  const extra = served < partitionCount % subscribers ? 1 : 0;
  const end = Math.min(shares.next + Math.floor(partitionCount / subscribers) + extra, partitionCount);
  const range = new Set<number>();
  for (let partition = shares.next; partition < end; partition++) range.add(partition);
  shares.served++;
  shares.next = end;
  return range;
}

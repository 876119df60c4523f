import type { AssignedPartition } from './consumer-protocol.ts';

export interface SubscribedMember {
  readonly memberId: string;
  /** Of static members. */
  readonly groupInstanceId: string | null;
  readonly topics: readonly string[];
}

/**
 * Kafka's range assignment (RangeAssignor): of each topic, neighbouring partitions to one member; the first members get one more where they
 * cannot all get the same number. Static members come first, by instance id, so that who returns gets what it had; then dynamic ones by member id.
 * @param partitionCounts of the topics that exist
 */
export function assignRanges(
  members: readonly SubscribedMember[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, AssignedPartition[]> {
  const sorted = [...members].sort(compareMembers);
  const assigned = new Map(sorted.map(({ memberId }) => [memberId, [] as AssignedPartition[]]));
  for (const [topic, count] of [...partitionCounts].sort(([a], [b]) => compareText(a, b))) {
    const interested = sorted.filter(({ topics }) => topics.includes(topic));
    const each = Math.floor(count / interested.length);
    const extra = count % interested.length;
    for (const [i, { memberId }] of interested.entries()) {
      const start = each * i + Math.min(i, extra);
      const end = start + each + (i < extra ? 1 : 0);
      for (let partition = start; partition < end; partition++)
        assigned.get(memberId)!.push({ topic, partition });
    }
  }
  return assigned;
}

function compareMembers(a: SubscribedMember, b: SubscribedMember): number {
  if (a.groupInstanceId !== null && b.groupInstanceId !== null)
    return compareText(a.groupInstanceId, b.groupInstanceId);
  if (a.groupInstanceId !== null) return -1;
  if (b.groupInstanceId !== null) return 1;
  return compareText(a.memberId, b.memberId);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

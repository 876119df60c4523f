import type { Uuid } from '../../../protocol/wire/types.ts';
import type { Assignment } from '../consumer/assignment.ts';

export const SIMPLE_ASSIGNOR = 'simple';

export interface SharingMember {
  readonly memberId: string;
  readonly topicIds: ReadonlySet<Uuid>;
  /** What it was to have until now. */
  readonly assignment: Assignment;
}

interface Slot {
  readonly topicId: Uuid;
  readonly partition: number;
  sharers: number;
}

/** How a set of members shares partitions. */
interface Sharing {
  readonly members: readonly SharingMember[];
  readonly slots: readonly Slot[];
}

/**
 * Kafka's simple assignor: every partition has a member, all partitions about as many, all members about as many partitions, and as little
 * as possible is moved. Members with different subscriptions share each topic among those that want it.
 */
export function assignShares(
  members: readonly SharingMember[],
  partitionsOf: (topicId: Uuid) => readonly number[],
): Map<string, Assignment> {
  const assigned = new Map<string, Map<Uuid, Set<number>>>();
  for (const { memberId } of members) assigned.set(memberId, new Map());
  for (const sharing of sharingsOf(members, partitionsOf)) share(sharing, assigned);
  return assigned;
}

function sharingsOf(
  members: readonly SharingMember[],
  partitionsOf: (topicId: Uuid) => readonly number[],
): Sharing[] {
  const slotsOf = (topicId: Uuid) =>
    partitionsOf(topicId).map((partition) => ({ topicId, partition, sharers: 0 }));
  const topicIds = new Set(members.flatMap((member) => [...member.topicIds]));
  if (members.every((member) => member.topicIds.size === topicIds.size))
    return [{ members, slots: [...topicIds].flatMap(slotsOf) }];
  return Array.from(topicIds, (topicId) => ({
    members: members.filter((member) => member.topicIds.has(topicId)),
    slots: slotsOf(topicId),
  }));
}

function share({ members, slots }: Sharing, assigned: Map<string, Map<Uuid, Set<number>>>): void {
  if (members.length === 0 || slots.length === 0) return;
  const sharing = Math.ceil(members.length / slots.length);
  const perMember = (sharing * slots.length) / members.length;
  const missing = members.map((_, i) => Math.ceil(perMember * (i + 1)) - Math.ceil(perMember * i));
  const take = (index: number, slot: Slot) => {
    const own = assigned.get(members[index]!.memberId)!;
    const partitions = own.get(slot.topicId) ?? new Set();
    own.set(slot.topicId, partitions.add(slot.partition));
    slot.sharers++;
    missing[index]!--;
  };
  const has = (index: number, { topicId, partition }: Slot) =>
    assigned.get(members[index]!.memberId)!.get(topicId)?.has(partition) ?? false;
  for (const [index, { assignment }] of members.entries())
    for (const slot of slots)
      if (missing[index]! > 0 && slot.sharers < sharing && assignment.get(slot.topicId)?.has(slot.partition))
        take(index, slot);
  // Partitions that the fewest have come first; of these, in their order.
  for (let level = 0; level < sharing; level++)
    for (const slot of slots)
      while (slot.sharers <= level) {
        const index = missing.findIndex((count, i) => count > 0 && !has(i, slot));
        if (index < 0) break;
        take(index, slot);
      }
  for (const slot of slots)
    if (slot.sharers === 0) {
      // Whoever is still missing some has this one already: the member with the least takes it.
      const index = missing.indexOf(Math.max(...missing));
      take(index, slot);
    }
}

import type { Uuid } from '../../../protocol/wire/types.ts';

/** Partitions by topic; a topic without partitions is not in it. Never changed once it is shared. */
export type Assignment = ReadonlyMap<Uuid, ReadonlySet<number>>;

/** Partitions by topic, each with the member epoch in which its member got it. Never changed once it is shared. */
export type EpochAssignment = ReadonlyMap<Uuid, ReadonlyMap<number, number>>;

/** Partitions as requests, responses and records carry them. */
export interface TopicPartitions {
  readonly topicId: Uuid;
  readonly partitions: readonly number[];
}

export const NO_PARTITIONS: Assignment = new Map();
export const NO_EPOCH_PARTITIONS: EpochAssignment = new Map();

export function assignmentOf(topics: readonly TopicPartitions[]): Assignment {
  const assignment = new Map<Uuid, Set<number>>();
  for (const { topicId, partitions } of topics) {
    const set = assignment.get(topicId) ?? new Set();
    for (const partition of partitions) set.add(partition);
    if (set.size > 0) assignment.set(topicId, set);
  }
  return assignment;
}

/** Every partition with the same epoch. */
export function withEpoch(assignment: Assignment, epoch: number): EpochAssignment {
  const dated = new Map<Uuid, Map<number, number>>();
  for (const [topicId, partitions] of assignment)
    dated.set(topicId, new Map(Array.from(partitions, (partition) => [partition, epoch])));
  return dated;
}

/** The partitions of either kind of assignment, ascending within a topic. */
export function topicPartitionsOf(
  assignment: ReadonlyMap<Uuid, ReadonlySet<number> | ReadonlyMap<number, number>>,
): { topicId: Uuid; partitions: number[] }[] {
  return Array.from(assignment, ([topicId, partitions]) => ({
    topicId,
    partitions: [...partitions.keys()].sort((a, b) => a - b),
  }));
}

export function sameAssignment(a: Assignment, b: Assignment): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId);
    if (others === undefined || others.size !== partitions.size) return false;
    for (const partition of partitions) if (!others.has(partition)) return false;
  }
  return true;
}

export function sameEpochAssignment(a: EpochAssignment, b: EpochAssignment): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId);
    if (others === undefined || others.size !== partitions.size) return false;
    for (const [partition, epoch] of partitions) if (others.get(partition) !== epoch) return false;
  }
  return true;
}

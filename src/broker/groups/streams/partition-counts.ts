import type { Topics } from '../consumer/topics.ts';
import { Status, TopicsProblem } from './status.ts';
import { inputTopics, invalidTopology, type Subtopology, type Topology } from './topology.ts';

/** How many partitions a topic has or is to have; undefined if that is not known yet. */
type CountOf = (name: string) => number | undefined;

/**
 * How many partitions the internal topics are to have: repartition topics as the topology says, else as many as what is written
 * to them comes from, and as many as those that they are joined with; changelog topics as many as their subtopology has tasks.
 * All source topics must exist. @throws ApiError STREAMS_INVALID_TOPOLOGY @throws TopicsProblem
 */
export function decidePartitionCounts(topology: Topology, topics: Topics): Map<string, number> {
  const { subtopologies } = topology;
  const decided = repartitionCounts(subtopologies, topics);
  const countOf: CountOf = (name) => topics.byName(name)?.partitionCount ?? decided.get(name);
  const repartition = subtopologies.flatMap((subtopology) => subtopology.repartitionSourceTopics);
  const fixed = new Set(repartition.filter(({ partitions }) => partitions !== 0).map(({ name }) => name));
  const flexible = new Set(repartition.filter(({ partitions }) => partitions === 0).map(({ name }) => name));
  for (const subtopology of subtopologies)
    for (const group of copartitionGroups(subtopology)) {
      const count = commonCount(group, { fixed, flexible, countOf });
      for (const name of group) if (fixed.has(name) || flexible.has(name)) decided.set(name, count);
    }
  for (const subtopology of subtopologies) {
    const sources = new Set(subtopology.sourceTopics);
    const count = Math.max(0, ...inputTopics(subtopology).map((name) => countOf(name) ?? 0));
    for (const { name } of subtopology.stateChangelogTopics) if (!sources.has(name)) decided.set(name, count);
  }
  return decided;
}

function repartitionCounts(subtopologies: readonly Subtopology[], topics: Topics): Map<string, number> {
  const counts = new Map<string, number>();
  const readers = new Map<string, Subtopology[]>();
  for (const subtopology of subtopologies)
    for (const { name, partitions } of subtopology.repartitionSourceTopics) {
      if (partitions !== 0) counts.set(name, partitions);
      const others = readers.get(name);
      if (others === undefined) readers.set(name, [subtopology]);
      else others.push(subtopology);
    }
  const ready = new Set(subtopologies.filter((each) => upstreamCount(each, counts, topics) !== null));
  const open = new Set(subtopologies);
  // As Kafka, in their order again and again, each by what is known of its inputs then; but a large one is not looked at in vain.
  for (let before = -1; open.size !== before; ) {
    before = open.size;
    for (const subtopology of open) {
      if (!ready.has(subtopology)) continue;
      open.delete(subtopology);
      const upstream = upstreamCount(subtopology, counts, topics)!;
      for (const sink of subtopology.repartitionSinkTopics) {
        if (counts.has(sink)) continue;
        counts.set(sink, upstream);
        for (const reader of readers.get(sink) ?? []) ready.add(reader);
      }
    }
  }
  for (const { repartitionSinkTopics } of open)
    if (repartitionSinkTopics.some((sink) => !counts.has(sink)))
      throw invalidTopology(
        'Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved.',
      );
  for (const { repartitionSourceTopics } of subtopologies)
    if (repartitionSourceTopics.some(({ name }) => !counts.has(name)))
      throw invalidTopology(
        'Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.',
      );
  return counts;
}

/** Of the largest known input of the subtopology; null if none is known yet. */
function upstreamCount(
  subtopology: Subtopology,
  counts: ReadonlyMap<string, number>,
  topics: Topics,
): number | null {
  const known = [
    ...subtopology.repartitionSourceTopics.map(({ name }) => counts.get(name)),
    ...subtopology.sourceTopics.map((name) => topics.byName(name)?.partitionCount),
  ].filter((count) => count !== undefined);
  return known.length === 0 ? null : Math.max(...known);
}

function copartitionGroups(subtopology: Subtopology): Set<string>[] {
  return subtopology.copartitionGroups
    .map(
      ({ sourceTopics, repartitionSourceTopics }) =>
        new Set([
          ...sourceTopics.map((place) => subtopology.sourceTopics[place]!),
          ...repartitionSourceTopics.map((place) => subtopology.repartitionSourceTopics[place]!.name),
        ]),
    )
    .filter(({ size }) => size > 0);
}

/** The number of partitions that all topics of a copartition group have or are to have. */
function commonCount(
  group: ReadonlySet<string>,
  topics: {
    readonly fixed: ReadonlySet<string>;
    readonly flexible: ReadonlySet<string>;
    readonly countOf: CountOf;
  },
): number {
  const { fixed, flexible, countOf } = topics;
  const known = new Map<string, number>();
  for (const name of [...group].sort()) {
    const count = countOf(name);
    if (count === undefined) throw invalidTopology(`Number of partitions is not set for topic: ${name}`);
    known.set(name, count);
  }
  const select = (isWanted: (name: string) => boolean) =>
    new Map([...known].filter(([name]) => isWanted(name)));
  const external = select((name) => !fixed.has(name) && !flexible.has(name));
  const fixedHere = select((name) => fixed.has(name));
  if (external.size === 0 && fixedHere.size === 0) return Math.max(...known.values());
  const decisive = external.size > 0 ? external : fixedHere;
  const count = [...decisive.values()][0]!;
  if ([...decisive.values()].some((other) => other !== count))
    throw incorrect(
      `Following topics do not have the same number of partitions: [${shown(external.size > 0 ? external : known)}]`,
    );
  for (const [name, other] of fixedHere)
    if (other !== count)
      throw incorrect(
        `Number of partitions [${other}] of repartition topic [${name}] doesn't match number of partitions [${count}] of the source topic.`,
      );
  return count;
}

function incorrect(message: string): TopicsProblem {
  return new TopicsProblem(Status.INCORRECTLY_PARTITIONED_TOPICS, message);
}

/** As Java shows a sorted map. */
function shown(counts: ReadonlyMap<string, number>): string {
  return `{${Array.from(counts, ([name, count]) => `${name}=${count}`).join(', ')}}`;
}

import type { CreatableTopic } from '../../../protocol/generated/create-topics-request.ts';
import type { StreamsGroupTopologyValueTopicInfo as TopicInfo } from '../../../protocol/generated/streams-group-topology-value.ts';
import type { Topics } from '../consumer/topics.ts';
import { decidePartitionCounts } from './partition-counts.ts';
import { Status, TopicsProblem } from './status.ts';
import { inputTopics, invalidTopology, requiredTopics, type Subtopology, type Topology } from './topology.ts';

/** How many names of topics a message has. */
const NAMES_SHOWN_MAX = 3;
/** Of all subtopologies; what they are assigned by takes time and memory in proportion. */
const TASKS_MAX = 100_000;
/** Of topics without their own: the broker's default. */
const DEFAULT_REPLICATION = -1;

/** A repartition or changelog topic, and how many partitions it must have. */
export interface InternalTopic {
  readonly info: TopicInfo;
  readonly partitionCount: number;
}

export interface ConfiguredSubtopology {
  readonly id: string;
  /** One for each partition of the largest input topic. */
  readonly taskCount: number;
  readonly sourceTopics: readonly string[];
  readonly repartitionSinkTopics: readonly string[];
  readonly repartitionSourceTopics: readonly InternalTopic[];
  readonly changelogTopics: readonly InternalTopic[];
}

/** What a topology comes to with the topics that there are. */
export interface ConfiguredTopology {
  /** By id; null if topics of others are missing, or partitioned in a way that does not fit. */
  readonly subtopologies: ReadonlyMap<string, ConfiguredSubtopology> | null;
  /** Why no tasks can be assigned; null if they can. */
  readonly problem: TopicsProblem | null;
  /** Internal topics that are to be created. */
  readonly missingTopics: readonly CreatableTopic[];
}

/** @throws ApiError STREAMS_INVALID_TOPOLOGY for a topology that no topics would suit */
export function configureTopology(topology: Topology, topics: Topics): ConfiguredTopology {
  try {
    checkSourceTopics(topology, topics);
    const decided = decidePartitionCounts(topology, topics);
    const subtopologies = new Map(
      topology.subtopologies.map((subtopology) => [
        subtopology.subtopologyId,
        configureSubtopology(subtopology, topics, decided),
      ]),
    );
    checkTaskCount(subtopologies.values());
    const missingTopics = findMissing(topology, subtopologies, topics);
    const names = missingTopics.map(({ name }) => name);
    const problem =
      names.length === 0
        ? null
        : new TopicsProblem(
            Status.MISSING_INTERNAL_TOPICS,
            `Internal topics are missing: ${shortened(names)}`,
          );
    return { subtopologies, problem, missingTopics };
  } catch (error) {
    if (!(error instanceof TopicsProblem)) throw error;
    return { subtopologies: null, problem: error, missingTopics: [] };
  }
}

function checkSourceTopics({ subtopologies }: Topology, topics: Topics): void {
  const missing = new Set(
    subtopologies.flatMap(({ sourceTopics }) => sourceTopics).filter((name) => topics.byName(name) === null),
  );
  if (missing.size > 0)
    throw new TopicsProblem(
      Status.MISSING_SOURCE_TOPICS,
      `Source topics ${shortened([...missing].sort())} are missing.`,
    );
}

function configureSubtopology(
  subtopology: Subtopology,
  topics: Topics,
  decided: ReadonlyMap<string, number>,
): ConfiguredSubtopology {
  const { subtopologyId: id, sourceTopics, repartitionSinkTopics } = subtopology;
  const countOf = (name: string) => topics.byName(name)?.partitionCount ?? decided.get(name) ?? 0;
  const taskCount = Math.max(0, ...inputTopics(subtopology).map(countOf));
  if (taskCount === 0) throw invalidTopology(`No source topics found for subtopology ${id}`);
  const internal = (info: TopicInfo): InternalTopic => ({
    info,
    partitionCount: info.partitions === 0 ? (decided.get(info.name) ?? countOf(info.name)) : info.partitions,
  });
  return {
    id,
    taskCount,
    sourceTopics,
    repartitionSinkTopics,
    repartitionSourceTopics: subtopology.repartitionSourceTopics.map(internal),
    changelogTopics: subtopology.stateChangelogTopics.map(internal),
  };
}

function checkTaskCount(subtopologies: Iterable<ConfiguredSubtopology>): void {
  let tasks = 0;
  for (const { taskCount } of subtopologies) tasks += taskCount;
  if (tasks > TASKS_MAX)
    throw invalidTopology(`The topology has ${tasks} tasks, and ${TASKS_MAX} are the most.`);
}

/** The internal topics that do not exist; those that do must have the right number of partitions. */
function findMissing(
  topology: Topology,
  subtopologies: ReadonlyMap<string, ConfiguredSubtopology>,
  topics: Topics,
): CreatableTopic[] {
  const wanted = new Map<string, InternalTopic>();
  for (const { repartitionSourceTopics, changelogTopics } of subtopologies.values())
    for (const topic of [...repartitionSourceTopics, ...changelogTopics]) wanted.set(topic.info.name, topic);
  for (const name of requiredTopics(topology)) {
    const found = topics.byName(name)?.partitionCount;
    const expected = wanted.get(name)?.partitionCount;
    if (found === undefined || expected === undefined) continue;
    if (found !== expected)
      throw new TopicsProblem(
        Status.INCORRECTLY_PARTITIONED_TOPICS,
        `Existing topic ${name} has different number of partitions: expected ${expected}, found ${found}`,
      );
    wanted.delete(name);
  }
  return [...wanted.values()].map(creatable);
}

function creatable({ info, partitionCount }: InternalTopic): CreatableTopic {
  return {
    name: info.name,
    numPartitions: partitionCount,
    replicationFactor: info.replicationFactor === 0 ? DEFAULT_REPLICATION : info.replicationFactor,
    assignments: [],
    configs: info.topicConfigs.map(({ key: name, value }) => ({ name, value })),
  };
}

function shortened(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return more > 0 ? `${shown} and ${more} additional topics` : shown;
}

/** Whether the topology has the task. */
export function isTaskOf(
  subtopologies: ReadonlyMap<string, ConfiguredSubtopology>,
  subtopologyId: string,
  partition: number,
): boolean {
  const subtopology = subtopologies.get(subtopologyId);
  return subtopology !== undefined && partition >= 0 && partition < subtopology.taskCount;
}

import { StreamsError } from '../errors.ts';
import { nameOf, type TopicPartition } from '../records.ts';
import type { SubTopology, Topology } from '../topology.ts';
import { createTopic } from '../transport/admin.ts';
import type { Cluster } from '../transport/cluster.ts';
import type { Settings } from './options.ts';
import { changelogName, topicName } from './task.ts';

/** Times are those of what is processed, whatever brokers have as their default. */
const INTERNAL = { 'message.timestamp.type': 'CreateTime' };
/** What was processed is removed by whole segments: as in Kafka Streams these are small. */
const REPARTITION = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'segment.bytes': '52428800' };

export interface PlannedTask {
  readonly id: string;
  readonly subTopology: SubTopology;
  readonly partition: number;
  readonly inputs: readonly TopicPartition[];
}

/** The topics of an application as they are, and the tasks that follow. */
export interface Layout {
  /** All topics that are read, by their whole names. */
  readonly sources: readonly string[];
  readonly repartitionTopics: ReadonlySet<string>;
  readonly partitions: ReadonlyMap<string, number>;
  readonly tasks: ReadonlyMap<string, PlannedTask>;
}

/**
 * Looks up the topics, and makes the internal ones that are missing.
 * @throws StreamsError MISSING_TOPIC, NOT_COPARTITIONED, or INVALID_TOPOLOGY when internal topics do not fit
 */
export async function prepare(cluster: Cluster, topology: Topology, settings: Settings): Promise<Layout> {
  const { applicationId, badRecords } = settings;
  const deadLetters = typeof badRecords === 'string' ? [] : [badRecords.deadLetterTopic];
  const given = [...new Set([...topology.sourceTopics, ...topology.sinkTopics, ...deadLetters])];
  const found = await cluster.retry(() => cluster.refresh(given));
  const missing = given.filter((topic) => (found.get(topic) ?? null) === null);
  if (missing.length > 0)
    throw new StreamsError('MISSING_TOPIC', `there is no topic ${missing.join(', ')}; create it first`);
  const partitions = new Map(given.map((topic) => [topic, found.get(topic)!.leaders.length]));
  const counts = topology.partitionCounts(partitions);
  for (const [topic, count] of counts) partitions.set(topicName(applicationId, topic), count);
  const tasks = new Map<string, PlannedTask>();
  const changelogs = new Map<string, number>();
  for (const subTopology of topology.subTopologies) {
    const sources = subTopology.sources.map(({ topic }) => ({
      topic: topicName(applicationId, topic),
      count: counts.get(topic)!,
    }));
    const most = Math.max(...sources.map(({ count }) => count));
    for (let partition = 0; partition < most; partition++) {
      const inputs = sources
        .filter(({ count }) => partition < count)
        .map(({ topic }) => ({ topic, partition }));
      const id = `${subTopology.id}_${partition}`;
      tasks.set(id, { id, subTopology, partition, inputs });
    }
    for (const { name } of subTopology.stores) changelogs.set(changelogName(applicationId, name), most);
  }
  const repartitionTopics = new Set(
    topology.repartitionTopics.map((topic) => topicName(applicationId, topic)),
  );
  const create = (topic: string, count: number, configs: Record<string, string>) =>
    makeInternal(cluster, topic, count, settings.replicationFactor, { ...INTERNAL, ...configs });
  for (const topic of repartitionTopics) await create(topic, partitions.get(topic)!, REPARTITION);
  for (const [topic, count] of changelogs) await create(topic, count, { 'cleanup.policy': 'compact' });
  const sources = [...counts.keys()].map((topic) => topicName(applicationId, topic));
  return { sources, repartitionTopics, partitions, tasks };
}

async function makeInternal(
  cluster: Cluster,
  topic: string,
  count: number,
  replicationFactor: number,
  configs: Record<string, string>,
): Promise<void> {
  const look = async () => (await cluster.refresh([topic])).get(topic) ?? null;
  let info = await cluster.retry(look);
  if (info === null) {
    await createTopic(cluster, topic, count, replicationFactor, configs);
    info = await cluster.retry(() => cluster.topic(topic));
  }
  if (info.leaders.length === count) return;
  throw new StreamsError(
    'INVALID_TOPOLOGY',
    `internal topic ${topic} has ${info.leaders.length} partitions, but the source topics need ${count}; stop all instances, ` +
      'delete the internal topics and the group’s offsets, and start again from the source topics',
  );
}

/** The tasks all of whose inputs are among the partitions. */
export function tasksOf(layout: Layout, partitions: readonly TopicPartition[]): PlannedTask[] {
  const have = new Set(partitions.map(nameOf));
  return [...layout.tasks.values()].filter(({ inputs }) => inputs.every((input) => have.has(nameOf(input))));
}

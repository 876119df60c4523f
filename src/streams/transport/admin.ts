import { byTopic } from '../../client/consumer-protocol.ts';
import { nameOf, type TopicPartition } from '../records.ts';
import type { Cluster } from './cluster.ts';
import { CoordinatorType } from './cluster.ts';
import { BrokerError } from './errors.ts';

const CREATE_TIMEOUT_MS = 30_000;
const READ_COMMITTED = 1;

/** Does nothing when the topic exists. */
export function createTopic(
  cluster: Cluster,
  name: string,
  partitions: number,
  replicationFactor: number,
  configs: Readonly<Record<string, string>>,
): Promise<void> {
  return cluster.retry(async () => {
    const wanted = {
      name,
      numPartitions: partitions,
      replicationFactor,
      assignments: [],
      configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
    };
    const { topics } = await cluster.callController(
      cluster.apis.createTopics,
      [wanted],
      CREATE_TIMEOUT_MS,
      false,
    );
    for (const { errorCode } of topics)
      if (cluster.idOf(errorCode) !== 'TOPIC_ALREADY_EXISTS')
        cluster.check(errorCode, `create topic ${name}`);
  });
}

/** The offsets of the earliest records, or those after the latest that are committed, by the names of partitions. */
export function listOffsets(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  which: 'earliest' | 'latest',
): Promise<Map<string, number>> {
  const timestamp = which === 'earliest' ? -2n : -1n;
  return cluster.retry(async () => {
    const found = new Map<string, number>();
    for (const [leader, group] of await cluster.byLeader(partitions)) {
      const topics = byTopic(group).map(([name, items]) => ({
        name,
        partitions: items.map(({ partition }) => ({
          partitionIndex: partition,
          currentLeaderEpoch: -1,
          timestamp,
        })),
      }));
      const answer = await cluster.callNode(leader, cluster.apis.listOffsets, -1, READ_COMMITTED, topics);
      for (const { name: topic, partitions: answers } of answer.topics) {
        for (const { partitionIndex: partition, errorCode, offset } of answers) {
          cluster.check(errorCode, `list the offsets of ${topic}-${partition}`);
          found.set(nameOf({ topic, partition }), Number(offset));
        }
      }
    }
    return found;
  });
}

export interface Committed {
  readonly offset: number;
  readonly metadata: string;
}

/** What a group has committed, without transactions that are still open; null where there is nothing. */
export function committed(
  cluster: Cluster,
  groupId: string,
  partitions: readonly TopicPartition[],
): Promise<Map<string, Committed | null>> {
  return cluster.retry(async () => {
    const topics = byTopic(partitions).map(([name, items]) => ({
      name,
      partitionIndexes: items.map(({ partition }) => partition),
    }));
    const group = { groupId, memberId: null, memberEpoch: -1, topics };
    const { apis } = cluster;
    const answer = await cluster.callCoordinator(
      CoordinatorType.group,
      groupId,
      apis.offsetFetch,
      [group],
      true,
    );
    const found = new Map<string, Committed | null>();
    for (const { errorCode, topics: answers } of answer.groups) {
      cluster.check(errorCode, `read the offsets of group ${groupId}`);
      for (const { name: topic, partitions: entries } of answers) {
        for (const { partitionIndex: partition, committedOffset, metadata, errorCode: code } of entries) {
          cluster.check(code, `read the offset of ${topic}-${partition}`);
          const offset = Number(committedOffset);
          found.set(nameOf({ topic, partition }), offset < 0 ? null : { offset, metadata: metadata ?? '' });
        }
      }
    }
    for (const partition of partitions)
      if (!found.has(nameOf(partition)))
        throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `read the offset of ${nameOf(partition)}`);
    return found;
  });
}

/** Deletes the records before offsets. */
export async function deleteRecords(
  cluster: Cluster,
  offsets: readonly (TopicPartition & { readonly offset: number })[],
): Promise<void> {
  for (const [leader, group] of await cluster.byLeader(offsets)) {
    const topics = byTopic(group).map(([name, items]) => ({
      name,
      partitions: items.map(({ partition, offset }) => ({
        partitionIndex: partition,
        offset: BigInt(offset),
      })),
    }));
    const answer = await cluster.callNode(leader, cluster.apis.deleteRecords, topics, CREATE_TIMEOUT_MS);
    for (const { name, partitions } of answer.topics)
      for (const { errorCode } of partitions) cluster.check(errorCode, `delete records of ${name}`);
  }
}

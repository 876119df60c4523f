import type {
  EndpointToPartitions,
  StreamsGroupHeartbeatResponseTopicPartition as TopicPartitions,
} from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import type { Topics } from '../consumer/topics.ts';
import type { ConfiguredTopology } from './configured-topology.ts';
import type { StreamsGroup } from './streams-group.ts';
import type { StreamsMember } from './streams-member.ts';
import type { AnyTasks } from './tasks.ts';

/** Where the state of which input partitions can be queried: everybody in the group, and the member as it is now. */
export function partitionsByEndpoint(
  group: StreamsGroup,
  updated: StreamsMember,
  configured: ConfiguredTopology,
  topics: Topics,
): EndpointToPartitions[] {
  const others = [...group.members()].filter(({ memberId }) => memberId !== updated.memberId);
  return [...others, updated].flatMap(({ userEndpoint, assigned }) =>
    userEndpoint === null
      ? []
      : [
          {
            userEndpoint,
            activePartitions: partitionsOf(assigned.active, configured, topics),
            standbyPartitions: partitionsOf(assigned.standby, configured, topics),
          },
        ],
  );
}

/** The partitions that the tasks read; a topic may have fewer than its subtopology has tasks. */
function partitionsOf(
  tasks: AnyTasks,
  { subtopologies }: ConfiguredTopology,
  topics: Topics,
): TopicPartitions[] {
  return Array.from(tasks).flatMap(([subtopologyId, partitions]) => {
    const subtopology = subtopologies?.get(subtopologyId);
    if (subtopology === undefined) return [];
    const inputs = new Set([
      ...subtopology.sourceTopics,
      ...subtopology.repartitionSourceTopics.map(({ info }) => info.name),
    ]);
    return Array.from(inputs, (topic) => {
      const count = topics.byName(topic)?.partitionCount ?? 0;
      const read = [...partitions.keys()].filter((partition) => partition < count);
      return { topic, partitions: read.sort((a, b) => a - b) };
    });
  });
}

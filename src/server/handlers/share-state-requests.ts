import type { TopicNames } from '../../broker/groups/ports.ts';
import type { SharePartitionKey } from '../../broker/share/partition-state.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';

/** What all results of partitions have. */
interface Result {
  partition: number;
  errorCode: number;
  errorMessage: string | null;
}

/** Whether the metadata has such a partition: states are begun, told of and removed only of those. */
export function assertPartition(topics: TopicNames, { topicId, partition }: SharePartitionKey): void {
  const name = topics.nameOf(topicId);
  if (name === null || partition >= (topics.partitionCount(name) ?? 0))
    throw new ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
}

/**
 * Carries out a request of the share coordinator's for each partition. `create` makes a result of what the action resolves with, or of the
 * error that it rejects with. As in Kafka nothing is done without a group, or where a topic has no partitions. Of what is named several times
 * the last is carried out.
 */
export async function forEachState<P extends { partition: number }, R>(
  groupId: string,
  topics: readonly { topicId: string; partitions: readonly P[] }[],
  create: (partial: Partial<Result>) => R,
  action: (key: SharePartitionKey, request: P) => Promise<object>,
): Promise<{ topicId: string; partitions: R[] }[]> {
  if (groupId === '' || topics.some(({ partitions }) => partitions.length === 0)) return [];
  const one = async (topicId: string, request: P): Promise<R> => {
    const { partition } = request;
    try {
      if (partition < 0)
        throw new ApiError(ErrorCode.INVALID_REQUEST, 'The partition id cannot be a negative number.');
      return create({ partition, ...(await action({ groupId, topicId, partition }, request)) });
    } catch (error) {
      const { code: errorCode, message: errorMessage } =
        error instanceof ApiError ? error : new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR);
      return create({ partition, errorCode, errorMessage });
    }
  };
  const byTopic = new Map<string, Map<number, P>>();
  for (const { topicId, partitions } of topics) {
    const last = byTopic.get(topicId) ?? new Map<number, P>();
    byTopic.set(topicId, last);
    for (const request of partitions) last.set(request.partition, request);
  }
  return Promise.all(
    Array.from(byTopic, async ([topicId, last]) => ({
      topicId,
      partitions: await Promise.all(Array.from(last.values(), (request) => one(topicId, request))),
    })),
  );
}

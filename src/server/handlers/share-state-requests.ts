import type { SharePartitionKey } from '../../broker/share/partition-state.ts';
import { ApiError, ErrorCode, errorInfo } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';

/** What all results of partitions have. */
interface Result {
  partition: number;
  errorCode: number;
  errorMessage: string | null;
}

/**
 * Carries out a request of the share coordinator's for each partition. `create` makes a result of what the action resolves with, or of the
 * error that it rejects with.
 */
export function forEachState<P extends { partition: number }, R>(
  groupId: string,
  topics: readonly { topicId: string; partitions: readonly P[] }[],
  create: (partial: Partial<Result>) => R,
  action: (key: SharePartitionKey, request: P) => Promise<object>,
): Promise<{ topicId: string; partitions: R[] }[]> {
  const one = async (topicId: string, request: P): Promise<R> => {
    const { partition } = request;
    try {
      check(groupId, topicId, partition);
      return create({ partition, ...(await action({ groupId, topicId, partition }, request)) });
    } catch (error) {
      const { code: errorCode, message: errorMessage } =
        error instanceof ApiError ? error : new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR);
      return create({ partition, errorCode, errorMessage });
    }
  };
  return Promise.all(
    topics.map(async ({ topicId, partitions }) => ({
      topicId,
      partitions: await Promise.all(partitions.map((request) => one(topicId, request))),
    })),
  );
}

function check(groupId: string, topicId: string, partition: number): void {
  const refuse = (message: string): never => {
    throw new ApiError(ErrorCode.INVALID_REQUEST, message);
  };
  if (groupId === '') refuse(errorInfo(ErrorCode.INVALID_GROUP_ID).message);
  if (topicId === ZERO_UUID) refuse('The topic id cannot be null.');
  if (partition < 0) refuse('The partition id cannot be a negative number.');
}

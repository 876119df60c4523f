import type { SharedPartition } from '../../broker/share/share-sessions.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';

/** Kafka's limit for the id of a member. */
const MEMBER_ID_MAX = 36;

/** Why a request of a share session is refused as a whole; null if it is not. */
export function requestProblem({
  groupId,
  memberId,
}: {
  readonly groupId: string | null;
  readonly memberId: string | null;
}): { errorCode: ErrorCode; errorMessage: string } | null {
  const refuse = (errorCode: ErrorCode) => ({ errorCode, errorMessage: errorInfo(errorCode).message });
  if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
  if (groupId === null || memberId === null || memberId === '' || memberId.length > MEMBER_ID_MAX)
    return refuse(ErrorCode.INVALID_REQUEST);
  return null;
}

const NOT_ASKED = { leaderId: 0, leaderEpoch: 0 };
const UNKNOWN = { leaderId: -1, leaderEpoch: -1 };

/** Where a client that is in the wrong place should go: nowhere else, so that it asks for the metadata. */
export function leaderFor(errorCode: number): { leaderId: number; leaderEpoch: number } {
  return errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER ? { ...UNKNOWN } : { ...NOT_ASKED };
}

/** One entry for each topic, in the order in which they come. */
export function byTopic<T extends SharedPartition, P, R>(
  parts: readonly T[],
  partitionOf: (part: T) => P,
  topicOf: (topicId: string, partitions: P[]) => R,
): R[] {
  const topics = new Map<string, P[]>();
  for (const part of parts) {
    const partitions = topics.get(part.topicId) ?? [];
    topics.set(part.topicId, partitions);
    partitions.push(partitionOf(part));
  }
  return Array.from(topics, ([topicId, partitions]) => topicOf(topicId, partitions));
}

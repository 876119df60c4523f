import { ErrorCode } from '../../../protocol/errors.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type { Topics } from './topics.ts';

/** From this version of OffsetCommit clients know the errors of the consumer protocol. */
const KNOWS_MEMBER_EPOCHS = 9;

/** A commit and who makes it. */
export interface MemberCommit {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly memberEpoch: number;
  readonly isTransactional: boolean;
  readonly apiVersion: number;
  readonly parts: readonly {
    readonly topic: string;
    readonly request: { readonly partitionIndex: number };
  }[];
}

/**
 * Whether a member may commit. One that has not heard of its newest epoch yet may, for partitions that it has had all the time
 * since the epoch that it knows.
 */
export function checkCommit(group: ConsumerGroup, commit: MemberCommit, topics: Topics): ErrorCode {
  const { memberId, instanceId, memberEpoch, isTransactional, apiVersion } = commit;
  if (memberEpoch < 0 && group.size === 0) return ErrorCode.NONE;
  if (isTransactional && memberEpoch < 0 && memberId === '' && instanceId === null) return ErrorCode.NONE;
  const member = group.member(memberId);
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  const isClassic = member.classic !== null;
  if (!isTransactional && !isClassic && apiVersion < KNOWS_MEMBER_EPOCHS)
    return ErrorCode.UNSUPPORTED_VERSION;
  if (memberEpoch === member.memberEpoch) return ErrorCode.NONE;
  const stale = isClassic || isTransactional ? ErrorCode.ILLEGAL_GENERATION : ErrorCode.STALE_MEMBER_EPOCH;
  if (memberEpoch > member.memberEpoch) return stale;
  for (const { topic, request } of commit.parts) {
    const topicId = topics.byName(topic)?.id ?? '';
    const epoch =
      member.assigned.get(topicId)?.get(request.partitionIndex) ??
      member.pendingRevocation.get(topicId)?.get(request.partitionIndex);
    if (epoch === undefined || memberEpoch < epoch) return stale;
  }
  return ErrorCode.NONE;
}

/** Whether who asks for offsets is a member in its current epoch; without a member id and epoch nobody asks. */
export function checkFetch(group: ConsumerGroup, memberId: string | null, memberEpoch: number): ErrorCode {
  if (memberId === null && memberEpoch < 0) return ErrorCode.NONE;
  const member = memberId === null ? undefined : group.member(memberId);
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  if (memberEpoch === member.memberEpoch) return ErrorCode.NONE;
  return member.classic === null ? ErrorCode.STALE_MEMBER_EPOCH : ErrorCode.ILLEGAL_GENERATION;
}

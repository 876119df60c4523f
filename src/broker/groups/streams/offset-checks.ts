import { ErrorCode } from '../../../protocol/errors.ts';
import type { MemberCommit } from '../consumer/offset-checks.ts';
import type { StreamsGroup } from './streams-group.ts';
import { assignmentEpochOf } from './task-owners.ts';

/** From this version of OffsetCommit clients know the errors of member epochs. */
const KNOWS_MEMBER_EPOCHS = 9;

/**
 * Whether a member may commit. One that has not heard of its newest epoch yet may, for the input of tasks that it has had all the
 * time since the epoch that it knows.
 */
export function checkStreamsCommit(group: StreamsGroup, commit: MemberCommit): ErrorCode {
  const { memberId, instanceId, memberEpoch, isTransactional, apiVersion } = commit;
  if (memberEpoch < 0 && group.size === 0) return ErrorCode.NONE;
  if (isTransactional && memberEpoch < 0 && memberId === '' && instanceId === null) return ErrorCode.NONE;
  const member = group.member(memberId);
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  if (!isTransactional && apiVersion < KNOWS_MEMBER_EPOCHS) return ErrorCode.UNSUPPORTED_VERSION;
  if (memberEpoch === member.memberEpoch) return ErrorCode.NONE;
  const stale = isTransactional ? ErrorCode.ILLEGAL_GENERATION : ErrorCode.STALE_MEMBER_EPOCH;
  if (memberEpoch > member.memberEpoch) return stale;
  for (const { topic, request } of commit.parts) {
    const subtopologyId = group.readerOf(topic);
    const epoch =
      subtopologyId === null ? null : assignmentEpochOf(member, subtopologyId, request.partitionIndex);
    if (epoch === null || memberEpoch < epoch) return stale;
  }
  return ErrorCode.NONE;
}

/** Whether who asks for offsets is a member in its current epoch; without a member id and epoch nobody asks. */
export function checkStreamsFetch(
  group: StreamsGroup,
  memberId: string | null,
  memberEpoch: number,
): ErrorCode {
  if (memberId === null && memberEpoch < 0) return ErrorCode.NONE;
  const member = memberId === null ? undefined : group.member(memberId);
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  return memberEpoch === member.memberEpoch ? ErrorCode.NONE : ErrorCode.STALE_MEMBER_EPOCH;
}

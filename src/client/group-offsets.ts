import { ErrorCode } from '../protocol/errors.ts';
import { offsetCommitRequest } from '../protocol/generated/offset-commit-request.ts';
import { offsetCommitResponse } from '../protocol/generated/offset-commit-response.ts';
import { offsetFetchRequest } from '../protocol/generated/offset-fetch-request.ts';
import {
  type OffsetFetchResponse,
  offsetFetchResponse,
} from '../protocol/generated/offset-fetch-response.ts';
import { type AssignedPartition, byTopic } from './consumer-protocol.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import { brokerError, DirectError } from './errors.ts';
import type { GroupIdentity } from './group.ts';

const OFFSET_FETCH_VERSION = 7;
/** The last that names topics, and is for members of the consumer protocol too. */
const OFFSET_COMMIT_VERSION = 7;
const RETRY_MS = 100;
/** Offsets of a transaction that is being ended are waited for. */
const UNSTABLE_ATTEMPTS = 100;

/** Where consumers of a group go on. */
export interface PartitionOffset extends AssignedPartition {
  readonly offset: bigint;
  /** Of the records before it, where that is known: it tells whether the log has lost some of them. */
  readonly leaderEpoch?: number;
}

/** The committed offsets of partitions; null where there is none. */
export async function committedOffsets(
  coordinator: CoordinatorLink,
  groupId: string,
  partitions: readonly AssignedPartition[],
): Promise<(PartitionOffset | null)[]> {
  const wanted = byTopic(partitions).map(([name, items]) => ({
    name,
    partitionIndexes: items.map(({ partition }) => partition),
  }));
  const found = await fetchOffsets(coordinator, groupId, wanted);
  return partitions.map(
    ({ topic, partition }) => found.find((one) => one.topic === topic && one.partition === partition) ?? null,
  );
}

/** Every offset that a group has committed. */
export function allCommittedOffsets(
  coordinator: CoordinatorLink,
  groupId: string,
): Promise<PartitionOffset[]> {
  return fetchOffsets(coordinator, groupId, null);
}

async function fetchOffsets(
  coordinator: CoordinatorLink,
  groupId: string,
  topics: { name: string; partitionIndexes: number[] }[] | null,
): Promise<PartitionOffset[]> {
  const doing = `read the offsets of group ${groupId}`;
  for (let attempt = 1; ; attempt++) {
    const answer = await coordinator.call(
      offsetFetchRequest,
      offsetFetchResponse,
      { groupId, topics, requireStable: true },
      { version: OFFSET_FETCH_VERSION, doing, errorsOf: errorsOfFetch },
    );
    const errorCode = errorsOfFetch(answer).find((code) => code !== ErrorCode.NONE);
    if (errorCode === undefined)
      return answer.topics.flatMap(({ name, partitions }) =>
        partitions
          .filter(({ committedOffset }) => committedOffset >= 0n)
          .map(({ partitionIndex, committedOffset, committedLeaderEpoch }) => ({
            topic: name,
            partition: partitionIndex,
            offset: committedOffset,
            leaderEpoch: committedLeaderEpoch,
          })),
      );
    if (errorCode !== ErrorCode.UNSTABLE_OFFSET_COMMIT || attempt >= UNSTABLE_ATTEMPTS)
      throw brokerError(errorCode, null, doing);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function errorsOfFetch({ errorCode, topics }: OffsetFetchResponse): number[] {
  return [errorCode, ...topics.flatMap(({ partitions }) => partitions.map((one) => one.errorCode))];
}

/** Commits offsets as a member of the group. @throws DirectError FENCED when the partitions are another's by now */
export async function commitOffsets(
  coordinator: CoordinatorLink,
  { groupId, memberId, generation }: GroupIdentity,
  offsets: readonly PartitionOffset[],
): Promise<void> {
  if (offsets.length === 0) return;
  const doing = `commit to group ${groupId}`;
  const topics = offsetTopics(offsets) as never;
  const answer = await coordinator.call(
    offsetCommitRequest,
    offsetCommitResponse,
    { groupId, generationIdOrMemberEpoch: generation, memberId, groupInstanceId: null, topics },
    { version: OFFSET_COMMIT_VERSION, doing, errorsOf: errorsOfPartitions },
  );
  throwCommitErrors(errorsOfPartitions(answer), doing);
}

/** Offsets as requests have them. */
export function offsetTopics(offsets: readonly PartitionOffset[]) {
  return byTopic(offsets).map(([name, items]) => ({
    name,
    partitions: items.map(({ partition, offset, leaderEpoch = -1 }) => ({
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: leaderEpoch,
      committedMetadata: null,
    })),
  }));
}

export function errorsOfPartitions({
  topics,
}: {
  topics: readonly { partitions: readonly { errorCode: number }[] }[];
}): number[] {
  return topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode));
}

/** @throws DirectError for the first that is one */
export function throwCommitErrors(errorCodes: readonly number[], doing: string): void {
  for (const errorCode of errorCodes) {
    if (errorCode === ErrorCode.ILLEGAL_GENERATION || errorCode === ErrorCode.UNKNOWN_MEMBER_ID)
      throw new DirectError('FENCED', 'the partitions have gone to another member', { doing });
    if (errorCode !== ErrorCode.NONE) throw brokerError(errorCode, null, doing);
  }
}

import { ErrorCode } from '../../protocol/errors.ts';
import type { OffsetCommitRequest } from '../../protocol/generated/offset-commit-request.ts';
import {
  createOffsetCommitResponse,
  createOffsetCommitResponsePartition,
  createOffsetCommitResponseTopic,
  type OffsetCommitResponse,
  type OffsetCommitResponseTopic,
} from '../../protocol/generated/offset-commit-response.ts';
import type { OffsetDeleteRequest } from '../../protocol/generated/offset-delete-request.ts';
import {
  createOffsetDeleteResponse,
  createOffsetDeleteResponsePartition,
  createOffsetDeleteResponseTopic,
  type OffsetDeleteResponse,
  type OffsetDeleteResponseTopic,
} from '../../protocol/generated/offset-delete-response.ts';
import type { TxnOffsetCommitRequest } from '../../protocol/generated/txn-offset-commit-request.ts';
import {
  createTxnOffsetCommitResponse,
  createTxnOffsetCommitResponsePartition,
  createTxnOffsetCommitResponseTopic,
  type TxnOffsetCommitResponse,
  type TxnOffsetCommitResponseTopic,
} from '../../protocol/generated/txn-offset-commit-response.ts';
import { AnsweredTopics } from './answered-topics.ts';
import type { GroupCoordinator } from './coordinator.ts';
import type { CommitPart, DeletePart } from './offset-operations.ts';
import type { TopicNames } from './ports.ts';

/** From this version topics go by id. */
const USES_TOPIC_IDS = 10;

/** OffsetCommit: resolves when what could be committed is written. */
export async function commitOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: OffsetCommitRequest,
  apiVersion: number,
): Promise<OffsetCommitResponse> {
  const parts: CommitPart[] = [];
  const usesIds = apiVersion >= USES_TOPIC_IDS;
  const unknown = usesIds ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  const topics = new AnsweredTopics<OffsetCommitResponseTopic>();
  for (const { name: givenName, topicId, partitions } of request.topics) {
    const name = usesIds ? topicNames.nameOf(topicId) : givenName;
    const count = name === null ? null : topicNames.partitionCount(name);
    const answer = topics.add(count !== null, () =>
      createOffsetCommitResponseTopic({ name: name ?? '', topicId }),
    );
    for (const partition of partitions) {
      const { partitionIndex } = partition;
      const isThere = name !== null && has(count, partitionIndex);
      const errorCode = count === null ? unknown : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      const response = createOffsetCommitResponsePartition({
        partitionIndex,
        ...(!isThere && { errorCode }),
      });
      answer(isThere).push(response);
      if (isThere) parts.push({ topic: name, request: partition, response });
    }
  }
  if (parts.length > 0) {
    const shard = coordinator.shardOf(request.groupId);
    if (typeof shard === 'number') for (const { response } of parts) response.errorCode = shard;
    else await shard.offsetOperations.commit(request, apiVersion, parts);
  }
  return createOffsetCommitResponse({ topics: topics.all() });
}

/** TxnOffsetCommit: resolves when what could be committed is written. `mayWrite`: whether the group belongs to the transaction. */
export async function commitPendingOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: TxnOffsetCommitRequest,
  mayWrite: () => ErrorCode | Promise<ErrorCode>,
): Promise<TxnOffsetCommitResponse> {
  const parts: CommitPart[] = [];
  const topics = new AnsweredTopics<TxnOffsetCommitResponseTopic>();
  for (const { name, partitions } of request.topics) {
    const count = topicNames.partitionCount(name);
    const answer = topics.add(count !== null, () => createTxnOffsetCommitResponseTopic({ name }));
    for (const partition of partitions) {
      const { partitionIndex } = partition;
      const isThere = has(count, partitionIndex);
      const errorCode = isThere ? ErrorCode.NONE : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      const response = createTxnOffsetCommitResponsePartition({ partitionIndex, errorCode });
      answer(isThere).push(response);
      if (isThere) parts.push({ topic: name, request: partition, response });
    }
  }
  if (parts.length > 0) {
    const refuse = (error: ErrorCode) => {
      for (const { response } of parts) response.errorCode = error;
    };
    const allowed = request.groupId === '' ? ErrorCode.INVALID_GROUP_ID : mayWrite();
    const error = allowed instanceof Promise ? await allowed : allowed;
    const shard = error === ErrorCode.NONE ? coordinator.shardOf(request.groupId) : error;
    if (typeof shard === 'number') refuse(shard);
    else await shard.offsetOperations.commitPending(request, parts);
  }
  return createTxnOffsetCommitResponse({ topics: topics.all() });
}

/** OffsetDelete: resolves when the deletions are written. */
export async function deleteOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: OffsetDeleteRequest,
): Promise<OffsetDeleteResponse> {
  const shard = request.groupId === '' ? ErrorCode.INVALID_GROUP_ID : coordinator.shardOf(request.groupId);
  if (typeof shard === 'number') return createOffsetDeleteResponse({ errorCode: shard });
  const parts: DeletePart[] = [];
  const topics = new AnsweredTopics<OffsetDeleteResponseTopic>();
  for (const { name, partitions } of request.topics) {
    const count = topicNames.partitionCount(name);
    const answer = topics.add(count !== null, () => createOffsetDeleteResponseTopic({ name }));
    for (const { partitionIndex: partition } of partitions) {
      const isThere = has(count, partition);
      const errorCode = isThere ? ErrorCode.NONE : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      const response = createOffsetDeleteResponsePartition({ partitionIndex: partition, errorCode });
      answer(isThere).push(response);
      if (isThere) parts.push({ topic: name, partition, response });
    }
  }
  const errorCode = await shard.offsetOperations.delete(request.groupId, parts);
  return createOffsetDeleteResponse(errorCode === ErrorCode.NONE ? { topics: topics.all() } : { errorCode });
}

function has(count: number | null, partition: number): boolean {
  return count !== null && partition >= 0 && partition < count;
}

import { ErrorCode } from '../../protocol/errors.ts';
import type { OffsetCommitRequest } from '../../protocol/generated/offset-commit-request.ts';
import {
  createOffsetCommitResponse,
  createOffsetCommitResponsePartition,
  createOffsetCommitResponseTopic,
  type OffsetCommitResponse,
} from '../../protocol/generated/offset-commit-response.ts';
import type { OffsetDeleteRequest } from '../../protocol/generated/offset-delete-request.ts';
import {
  createOffsetDeleteResponse,
  createOffsetDeleteResponsePartition,
  createOffsetDeleteResponseTopic,
  type OffsetDeleteResponse,
} from '../../protocol/generated/offset-delete-response.ts';
import type { TxnOffsetCommitRequest } from '../../protocol/generated/txn-offset-commit-request.ts';
import {
  createTxnOffsetCommitResponse,
  createTxnOffsetCommitResponsePartition,
  createTxnOffsetCommitResponseTopic,
  type TxnOffsetCommitResponse,
} from '../../protocol/generated/txn-offset-commit-response.ts';
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
  const topics = request.topics.map(({ name: givenName, topicId, partitions }) => {
    const name = usesIds ? topicNames.nameOf(topicId) : givenName;
    const count = name === null ? null : topicNames.partitionCount(name);
    return createOffsetCommitResponseTopic({
      name: name ?? '',
      topicId,
      partitions: partitions.map((partition) => {
        const { partitionIndex } = partition;
        const response = createOffsetCommitResponsePartition({ partitionIndex });
        if (name === null || count === null) response.errorCode = unknown;
        else if (partitionIndex < 0 || partitionIndex >= count)
          response.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        else parts.push({ topic: name, request: partition, response });
        return response;
      }),
    });
  });
  if (parts.length > 0) {
    const shard = coordinator.shardOf(request.groupId);
    if (typeof shard === 'number') for (const { response } of parts) response.errorCode = shard;
    else await shard.offsetOperations.commit(request, apiVersion, parts);
  }
  return createOffsetCommitResponse({ topics });
}

/** TxnOffsetCommit: resolves when what could be committed is written. `mayWrite`: whether the group belongs to the transaction. */
export async function commitPendingOffsets(
  coordinator: GroupCoordinator,
  topicNames: TopicNames,
  request: TxnOffsetCommitRequest,
  mayWrite: () => ErrorCode | Promise<ErrorCode>,
): Promise<TxnOffsetCommitResponse> {
  const parts: CommitPart[] = [];
  const topics = request.topics.map(({ name, partitions }) => {
    const count = topicNames.partitionCount(name) ?? 0;
    return createTxnOffsetCommitResponseTopic({
      name,
      partitions: partitions.map((partition) => {
        const { partitionIndex } = partition;
        const response = createTxnOffsetCommitResponsePartition({ partitionIndex });
        if (partitionIndex < 0 || partitionIndex >= count)
          response.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        else parts.push({ topic: name, request: partition, response });
        return response;
      }),
    });
  });
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
  return createTxnOffsetCommitResponse({ topics });
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
  const topics = request.topics.map(({ name, partitions }) => {
    const count = topicNames.partitionCount(name) ?? 0;
    return createOffsetDeleteResponseTopic({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const response = createOffsetDeleteResponsePartition({ partitionIndex });
        if (partitionIndex >= 0 && partitionIndex < count)
          parts.push({ topic: name, partition: partitionIndex, response });
        else response.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        return response;
      }),
    });
  });
  const errorCode = await shard.offsetOperations.delete(request.groupId, parts);
  return createOffsetDeleteResponse(errorCode === ErrorCode.NONE ? { topics } : { errorCode });
}

import { shareGroupCurrentMemberAssignmentKey } from '../../../protocol/generated/share-group-current-member-assignment-key.ts';
import {
  createShareGroupCurrentMemberAssignmentValue,
  shareGroupCurrentMemberAssignmentValue,
} from '../../../protocol/generated/share-group-current-member-assignment-value.ts';
import { shareGroupMemberMetadataKey } from '../../../protocol/generated/share-group-member-metadata-key.ts';
import {
  createShareGroupMemberMetadataValue,
  shareGroupMemberMetadataValue,
} from '../../../protocol/generated/share-group-member-metadata-value.ts';
import { shareGroupMetadataKey } from '../../../protocol/generated/share-group-metadata-key.ts';
import {
  createShareGroupMetadataValue,
  shareGroupMetadataValue,
} from '../../../protocol/generated/share-group-metadata-value.ts';
import { shareGroupStatePartitionMetadataKey } from '../../../protocol/generated/share-group-state-partition-metadata-key.ts';
import {
  createShareGroupStatePartitionMetadataValue,
  shareGroupStatePartitionMetadataValue,
  type TopicPartitionsInfo,
} from '../../../protocol/generated/share-group-state-partition-metadata-value.ts';
import { shareGroupTargetAssignmentMemberKey } from '../../../protocol/generated/share-group-target-assignment-member-key.ts';
import {
  createShareGroupTargetAssignmentMemberValue,
  shareGroupTargetAssignmentMemberValue,
} from '../../../protocol/generated/share-group-target-assignment-member-value.ts';
import { shareGroupTargetAssignmentMetadataKey } from '../../../protocol/generated/share-group-target-assignment-metadata-key.ts';
import {
  createShareGroupTargetAssignmentMetadataValue,
  shareGroupTargetAssignmentMetadataValue,
} from '../../../protocol/generated/share-group-target-assignment-metadata-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../../protocol/internal-records.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import { assignmentOf, topicPartitionsOf } from '../consumer/assignment.ts';
import type { OffsetsRecord } from '../ports.ts';
import type { GroupStates, ShareGroupRecord, TopicStates } from './share-group.ts';

/** Of every value here: none has more than one version. */
const VERSION = 0;
/** Members of share groups have no other state. */
const STABLE = 0;

/** The record as Kafka 4.3 writes it. */
export function encodeShareRecord(groupId: string, record: ShareGroupRecord): OffsetsRecord {
  switch (record.kind) {
    case 'epoch': {
      const key = encodeCoordinatorKey(shareGroupMetadataKey, { groupId });
      const message = record.value && createShareGroupMetadataValue(record.value);
      return { key, value: message && encodeVersioned(shareGroupMetadataValue, message, VERSION) };
    }
    case 'member': {
      const { memberId, value } = record;
      const key = encodeCoordinatorKey(shareGroupMemberMetadataKey, { groupId, memberId });
      const message =
        value &&
        createShareGroupMemberMetadataValue({
          rackId: value.rackId,
          clientId: value.clientId,
          clientHost: value.clientHost,
          subscribedTopicNames: [...value.topicNames].sort(),
        });
      return { key, value: message && encodeVersioned(shareGroupMemberMetadataValue, message, VERSION) };
    }
    case 'target-epoch': {
      const key = encodeCoordinatorKey(shareGroupTargetAssignmentMetadataKey, { groupId });
      const message =
        record.value &&
        createShareGroupTargetAssignmentMetadataValue({
          assignmentEpoch: record.value.epoch,
          assignmentTimestamp: BigInt(record.value.timestampMs),
        });
      return {
        key,
        value: message && encodeVersioned(shareGroupTargetAssignmentMetadataValue, message, VERSION),
      };
    }
    case 'target': {
      const { memberId, value } = record;
      const key = encodeCoordinatorKey(shareGroupTargetAssignmentMemberKey, { groupId, memberId });
      const message =
        value && createShareGroupTargetAssignmentMemberValue({ topicPartitions: topicPartitionsOf(value) });
      return {
        key,
        value: message && encodeVersioned(shareGroupTargetAssignmentMemberValue, message, VERSION),
      };
    }
    case 'current': {
      const { memberId, value } = record;
      const key = encodeCoordinatorKey(shareGroupCurrentMemberAssignmentKey, { groupId, memberId });
      const message =
        value &&
        createShareGroupCurrentMemberAssignmentValue({
          memberEpoch: value.memberEpoch,
          previousMemberEpoch: value.previousEpoch,
          state: STABLE,
          assignedPartitions: topicPartitionsOf(value.assigned),
        });
      return {
        key,
        value: message && encodeVersioned(shareGroupCurrentMemberAssignmentValue, message, VERSION),
      };
    }
    case 'states': {
      const key = encodeCoordinatorKey(shareGroupStatePartitionMetadataKey, { groupId });
      const message =
        record.value &&
        createShareGroupStatePartitionMetadataValue({
          initializingTopics: topicInfos(record.value.initializing),
          initializedTopics: topicInfos(record.value.initialized),
          deletingTopics: Array.from(record.value.deleting, ([topicId, topicName]) => ({
            topicId,
            topicName,
          })),
        });
      return {
        key,
        value: message && encodeVersioned(shareGroupStatePartitionMetadataValue, message, VERSION),
      };
    }
  }
}

/** The group and what the record says of it; null if it is not of a share group. @throws ProtocolError */
export function parseShareRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): { groupId: string; record: ShareGroupRecord } | null {
  switch (coordinatorKeyType(key)) {
    case shareGroupMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(shareGroupMetadataKey, key);
      const message = value && decodeVersioned(shareGroupMetadataValue, value).value;
      return { groupId, record: { kind: 'epoch', value: message } };
    }
    case shareGroupMemberMetadataKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(shareGroupMemberMetadataKey, key);
      const message = value && decodeVersioned(shareGroupMemberMetadataValue, value).value;
      const member = message && {
        rackId: message.rackId,
        clientId: message.clientId,
        clientHost: message.clientHost,
        topicNames: new Set(message.subscribedTopicNames),
      };
      return { groupId, record: { kind: 'member', memberId, value: member } };
    }
    case shareGroupTargetAssignmentMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(shareGroupTargetAssignmentMetadataKey, key);
      const message = value && decodeVersioned(shareGroupTargetAssignmentMetadataValue, value).value;
      const target = message && {
        epoch: message.assignmentEpoch,
        timestampMs: Number(message.assignmentTimestamp),
      };
      return { groupId, record: { kind: 'target-epoch', value: target } };
    }
    case shareGroupTargetAssignmentMemberKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(shareGroupTargetAssignmentMemberKey, key);
      const message = value && decodeVersioned(shareGroupTargetAssignmentMemberValue, value).value;
      const target = message && assignmentOf(message.topicPartitions);
      return { groupId, record: { kind: 'target', memberId, value: target } };
    }
    case shareGroupCurrentMemberAssignmentKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(shareGroupCurrentMemberAssignmentKey, key);
      const message = value && decodeVersioned(shareGroupCurrentMemberAssignmentValue, value).value;
      const current = message && {
        memberEpoch: message.memberEpoch,
        previousEpoch: message.previousMemberEpoch,
        assigned: assignmentOf(message.assignedPartitions),
      };
      return { groupId, record: { kind: 'current', memberId, value: current } };
    }
    case shareGroupStatePartitionMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(shareGroupStatePartitionMetadataKey, key);
      return { groupId, record: { kind: 'states', value: value && parseStates(value) } };
    }
    default:
      return null;
  }
}

function topicInfos(topics: ReadonlyMap<Uuid, TopicStates>): TopicPartitionsInfo[] {
  return Array.from(topics, ([topicId, { name, partitions }]) => ({
    topicId,
    topicName: name,
    partitions: [...partitions].sort((a, b) => a - b),
  }));
}

function parseStates(bytes: Uint8Array): GroupStates {
  const { value: message } = decodeVersioned(shareGroupStatePartitionMetadataValue, bytes);
  const states = (topics: readonly TopicPartitionsInfo[]) =>
    new Map(
      topics.map(({ topicId, topicName, partitions }) => [
        topicId,
        { name: topicName, partitions: new Set(partitions) },
      ]),
    );
  return {
    initializing: states(message.initializingTopics),
    initialized: states(message.initializedTopics),
    deleting: new Map(message.deletingTopics.map(({ topicId, topicName }) => [topicId, topicName])),
  };
}

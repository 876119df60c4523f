import { consumerGroupCurrentMemberAssignmentKey } from '../../../protocol/generated/consumer-group-current-member-assignment-key.ts';
import {
  type ConsumerGroupCurrentMemberAssignmentValueTopicPartitions as CurrentPartitions,
  consumerGroupCurrentMemberAssignmentValue,
  createConsumerGroupCurrentMemberAssignmentValue,
} from '../../../protocol/generated/consumer-group-current-member-assignment-value.ts';
import { consumerGroupMemberMetadataKey } from '../../../protocol/generated/consumer-group-member-metadata-key.ts';
import {
  consumerGroupMemberMetadataValue,
  createConsumerGroupMemberMetadataValue,
} from '../../../protocol/generated/consumer-group-member-metadata-value.ts';
import { consumerGroupMetadataKey } from '../../../protocol/generated/consumer-group-metadata-key.ts';
import {
  consumerGroupMetadataValue,
  createConsumerGroupMetadataValue,
} from '../../../protocol/generated/consumer-group-metadata-value.ts';
import { consumerGroupPartitionMetadataKey } from '../../../protocol/generated/consumer-group-partition-metadata-key.ts';
import { consumerGroupRegularExpressionKey } from '../../../protocol/generated/consumer-group-regular-expression-key.ts';
import {
  consumerGroupRegularExpressionValue,
  createConsumerGroupRegularExpressionValue,
} from '../../../protocol/generated/consumer-group-regular-expression-value.ts';
import { consumerGroupTargetAssignmentMemberKey } from '../../../protocol/generated/consumer-group-target-assignment-member-key.ts';
import {
  consumerGroupTargetAssignmentMemberValue,
  createConsumerGroupTargetAssignmentMemberValue,
} from '../../../protocol/generated/consumer-group-target-assignment-member-value.ts';
import { consumerGroupTargetAssignmentMetadataKey } from '../../../protocol/generated/consumer-group-target-assignment-metadata-key.ts';
import {
  consumerGroupTargetAssignmentMetadataValue,
  createConsumerGroupTargetAssignmentMetadataValue,
} from '../../../protocol/generated/consumer-group-target-assignment-metadata-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../../protocol/internal-records.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import type { OffsetsRecord } from '../ports.ts';
import { assignmentOf, type EpochAssignment, topicPartitionsOf } from './assignment.ts';
import { type MemberAssignment, type MemberMetadata, MemberState } from './consumer-member.ts';
import type { ConsumerGroupRecord } from './group-records.ts';

/** Of every value here: none has more than one version. */
const VERSION = 0;

/** The record as Kafka 4.3 writes it. */
export function encodeConsumerRecord(groupId: string, record: ConsumerGroupRecord): OffsetsRecord {
  switch (record.kind) {
    case 'epoch': {
      const key = encodeCoordinatorKey(consumerGroupMetadataKey, { groupId });
      const message = record.value && createConsumerGroupMetadataValue(record.value);
      return { key, value: message && encodeVersioned(consumerGroupMetadataValue, message, VERSION) };
    }
    case 'partition-metadata':
      return { key: encodeCoordinatorKey(consumerGroupPartitionMetadataKey, { groupId }), value: null };
    case 'member': {
      const key = encodeCoordinatorKey(consumerGroupMemberMetadataKey, {
        groupId,
        memberId: record.memberId,
      });
      return { key, value: record.value && encodeMember(record.value) };
    }
    case 'target-epoch': {
      const key = encodeCoordinatorKey(consumerGroupTargetAssignmentMetadataKey, { groupId });
      if (record.value === null) return { key, value: null };
      const message = createConsumerGroupTargetAssignmentMetadataValue({
        assignmentEpoch: record.value.epoch,
        assignmentTimestamp: BigInt(record.value.timestampMs),
      });
      return { key, value: encodeVersioned(consumerGroupTargetAssignmentMetadataValue, message, VERSION) };
    }
    case 'target': {
      const { memberId } = record;
      const key = encodeCoordinatorKey(consumerGroupTargetAssignmentMemberKey, { groupId, memberId });
      if (record.value === null) return { key, value: null };
      const topicPartitions = topicPartitionsOf(record.value);
      const message = createConsumerGroupTargetAssignmentMemberValue({ topicPartitions });
      return { key, value: encodeVersioned(consumerGroupTargetAssignmentMemberValue, message, VERSION) };
    }
    case 'current': {
      const { memberId } = record;
      const key = encodeCoordinatorKey(consumerGroupCurrentMemberAssignmentKey, { groupId, memberId });
      return { key, value: record.value && encodeCurrent(record.value) };
    }
    case 'regex': {
      const key = encodeCoordinatorKey(consumerGroupRegularExpressionKey, {
        groupId,
        regularExpression: record.regex,
      });
      if (record.value === null) return { key, value: null };
      const { topics, version, timestampMs } = record.value;
      const message = createConsumerGroupRegularExpressionValue({
        topics: [...topics].sort(),
        version,
        timestamp: BigInt(timestampMs),
      });
      return { key, value: encodeVersioned(consumerGroupRegularExpressionValue, message, VERSION) };
    }
  }
}

function encodeMember(member: MemberMetadata): Uint8Array {
  const { classic } = member;
  const message = createConsumerGroupMemberMetadataValue({
    instanceId: member.instanceId,
    rackId: member.rackId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: [...member.topicNames].sort(),
    subscribedTopicRegex: member.topicRegex,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    serverAssignor: member.serverAssignor,
    classicMemberMetadata: classic && {
      sessionTimeoutMs: classic.sessionTimeoutMs,
      supportedProtocols: [...classic.protocols],
    },
  });
  return encodeVersioned(consumerGroupMemberMetadataValue, message, VERSION);
}

function encodeCurrent(member: MemberAssignment): Uint8Array {
  const message = createConsumerGroupCurrentMemberAssignmentValue({
    memberEpoch: member.memberEpoch,
    previousMemberEpoch: member.previousEpoch,
    state: member.state,
    assignedPartitions: datedPartitions(member.assigned),
    partitionsPendingRevocation: datedPartitions(member.pendingRevocation),
  });
  return encodeVersioned(consumerGroupCurrentMemberAssignmentValue, message, VERSION);
}

function datedPartitions(assignment: EpochAssignment): CurrentPartitions[] {
  return topicPartitionsOf(assignment).map(({ topicId, partitions }) => ({
    topicId,
    partitions,
    assignmentEpochs: partitions.map((partition) => assignment.get(topicId)!.get(partition)!),
  }));
}

/** The group and what the record says of it; null if it is not of a consumer group. @throws ProtocolError */
export function parseConsumerRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): { groupId: string; record: ConsumerGroupRecord } | null {
  switch (coordinatorKeyType(key)) {
    case consumerGroupMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(consumerGroupMetadataKey, key);
      const message = value && decodeVersioned(consumerGroupMetadataValue, value).value;
      return { groupId, record: { kind: 'epoch', value: message } };
    }
    case consumerGroupPartitionMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(consumerGroupPartitionMetadataKey, key);
      return { groupId, record: { kind: 'partition-metadata', value } };
    }
    case consumerGroupMemberMetadataKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(consumerGroupMemberMetadataKey, key);
      return { groupId, record: { kind: 'member', memberId, value: value && parseMember(value) } };
    }
    case consumerGroupTargetAssignmentMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(consumerGroupTargetAssignmentMetadataKey, key);
      const message = value && decodeVersioned(consumerGroupTargetAssignmentMetadataValue, value).value;
      const target = message && {
        epoch: message.assignmentEpoch,
        timestampMs: Number(message.assignmentTimestamp),
      };
      return { groupId, record: { kind: 'target-epoch', value: target } };
    }
    case consumerGroupTargetAssignmentMemberKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(consumerGroupTargetAssignmentMemberKey, key);
      const message = value && decodeVersioned(consumerGroupTargetAssignmentMemberValue, value).value;
      const target = message && assignmentOf(message.topicPartitions);
      return { groupId, record: { kind: 'target', memberId, value: target } };
    }
    case consumerGroupCurrentMemberAssignmentKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(consumerGroupCurrentMemberAssignmentKey, key);
      return { groupId, record: { kind: 'current', memberId, value: value && parseCurrent(value) } };
    }
    case consumerGroupRegularExpressionKey.apiKey: {
      const { groupId, regularExpression: regex } = decodeCoordinatorKey(
        consumerGroupRegularExpressionKey,
        key,
      );
      const message = value && decodeVersioned(consumerGroupRegularExpressionValue, value).value;
      const resolved = message && {
        topics: new Set(message.topics),
        version: message.version,
        timestampMs: Number(message.timestamp),
      };
      return { groupId, record: { kind: 'regex', regex, value: resolved } };
    }
    default:
      return null;
  }
}

function parseMember(bytes: Uint8Array): MemberMetadata {
  const { value: message } = decodeVersioned(consumerGroupMemberMetadataValue, bytes);
  const { classicMemberMetadata: classic } = message;
  return {
    instanceId: message.instanceId,
    rackId: message.rackId,
    clientId: message.clientId,
    clientHost: message.clientHost,
    rebalanceTimeoutMs: message.rebalanceTimeoutMs,
    topicNames: new Set(message.subscribedTopicNames),
    topicRegex: message.subscribedTopicRegex,
    serverAssignor: message.serverAssignor,
    classic: classic && {
      sessionTimeoutMs: classic.sessionTimeoutMs,
      protocols: classic.supportedProtocols.map(({ name, metadata }) => ({
        name,
        metadata: new Uint8Array(metadata),
      })),
    },
  };
}

function parseCurrent(bytes: Uint8Array): MemberAssignment {
  const { value: message } = decodeVersioned(consumerGroupCurrentMemberAssignmentValue, bytes);
  const { memberEpoch, previousMemberEpoch: previousEpoch, state } = message;
  return {
    memberEpoch,
    previousEpoch,
    state: Object.values(MemberState).find((known) => known === state) ?? MemberState.UNKNOWN,
    assigned: parseDated(message.assignedPartitions, memberEpoch),
    pendingRevocation: parseDated(message.partitionsPendingRevocation, memberEpoch),
  };
}

/** Kafka before 4.3 did not write the epochs: then it is that of the member, or 0 of one that left for a while. */
function parseDated(topics: readonly CurrentPartitions[], memberEpoch: number): EpochAssignment {
  const assignment = new Map<Uuid, Map<number, number>>();
  for (const { topicId, partitions, assignmentEpochs } of topics) {
    const epochs = assignmentEpochs?.length === partitions.length ? assignmentEpochs : null;
    if (partitions.length > 0)
      assignment.set(
        topicId,
        new Map(partitions.map((partition, i) => [partition, epochs?.[i] ?? Math.max(memberEpoch, 0)])),
      );
  }
  return assignment;
}

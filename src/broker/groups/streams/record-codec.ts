import { streamsGroupCurrentMemberAssignmentKey } from '../../../protocol/generated/streams-group-current-member-assignment-key.ts';
import {
  createStreamsGroupCurrentMemberAssignmentValue,
  type StreamsGroupCurrentMemberAssignmentValueTaskIds as DatedTaskIds,
  streamsGroupCurrentMemberAssignmentValue,
} from '../../../protocol/generated/streams-group-current-member-assignment-value.ts';
import { streamsGroupMemberMetadataKey } from '../../../protocol/generated/streams-group-member-metadata-key.ts';
import {
  createStreamsGroupMemberMetadataValue,
  streamsGroupMemberMetadataValue,
} from '../../../protocol/generated/streams-group-member-metadata-value.ts';
import { streamsGroupMetadataKey } from '../../../protocol/generated/streams-group-metadata-key.ts';
import {
  createStreamsGroupMetadataValue,
  streamsGroupMetadataValue,
} from '../../../protocol/generated/streams-group-metadata-value.ts';
import { streamsGroupTargetAssignmentMemberKey } from '../../../protocol/generated/streams-group-target-assignment-member-key.ts';
import {
  createStreamsGroupTargetAssignmentMemberValue,
  streamsGroupTargetAssignmentMemberValue,
} from '../../../protocol/generated/streams-group-target-assignment-member-value.ts';
import { streamsGroupTargetAssignmentMetadataKey } from '../../../protocol/generated/streams-group-target-assignment-metadata-key.ts';
import {
  createStreamsGroupTargetAssignmentMetadataValue,
  streamsGroupTargetAssignmentMetadataValue,
} from '../../../protocol/generated/streams-group-target-assignment-metadata-value.ts';
import { streamsGroupTopologyKey } from '../../../protocol/generated/streams-group-topology-key.ts';
import { streamsGroupTopologyValue } from '../../../protocol/generated/streams-group-topology-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../../protocol/internal-records.ts';
import { MemberState } from '../consumer/consumer-member.ts';
import type { OffsetsRecord } from '../ports.ts';
import type { StreamsGroupRecord } from './group-records.ts';
import type { StreamsMemberMetadata, StreamsMemberProgress } from './streams-member.ts';
import { type DatedTasks, type MemberTasks, type TaskRoles, taskIdsOf, tasksOf } from './tasks.ts';

/** Of every value here: none has more than one version. */
const VERSION = 0;

/** The record as Kafka 4.3 writes it. */
export function encodeStreamsRecord(groupId: string, record: StreamsGroupRecord): OffsetsRecord {
  switch (record.kind) {
    case 'epoch': {
      const key = encodeCoordinatorKey(streamsGroupMetadataKey, { groupId });
      if (record.value === null) return { key, value: null };
      const { assignmentConfigs, ...value } = record.value;
      const message = createStreamsGroupMetadataValue({
        ...value,
        lastAssignmentConfigs: entriesOf(assignmentConfigs),
      });
      return { key, value: encodeVersioned(streamsGroupMetadataValue, message, VERSION) };
    }
    case 'topology': {
      const key = encodeCoordinatorKey(streamsGroupTopologyKey, { groupId });
      if (record.value === null) return { key, value: null };
      return { key, value: encodeVersioned(streamsGroupTopologyValue, record.value, VERSION) };
    }
    case 'member': {
      const { memberId } = record;
      const key = encodeCoordinatorKey(streamsGroupMemberMetadataKey, { groupId, memberId });
      return { key, value: record.value && encodeMember(record.value) };
    }
    case 'target-epoch': {
      const key = encodeCoordinatorKey(streamsGroupTargetAssignmentMetadataKey, { groupId });
      if (record.value === null) return { key, value: null };
      const message = createStreamsGroupTargetAssignmentMetadataValue({
        assignmentEpoch: record.value.epoch,
        assignmentTimestamp: BigInt(record.value.timestampMs),
      });
      return { key, value: encodeVersioned(streamsGroupTargetAssignmentMetadataValue, message, VERSION) };
    }
    case 'target': {
      const { memberId } = record;
      const key = encodeCoordinatorKey(streamsGroupTargetAssignmentMemberKey, { groupId, memberId });
      return { key, value: record.value && encodeTarget(record.value) };
    }
    case 'current': {
      const { memberId } = record;
      const key = encodeCoordinatorKey(streamsGroupCurrentMemberAssignmentKey, { groupId, memberId });
      return { key, value: record.value && encodeCurrent(record.value) };
    }
  }
}

function encodeMember({ clientTags, ...metadata }: StreamsMemberMetadata): Uint8Array {
  const message = createStreamsGroupMemberMetadataValue({ ...metadata, clientTags: entriesOf(clientTags) });
  return encodeVersioned(streamsGroupMemberMetadataValue, message, VERSION);
}

function encodeTarget({ active, standby, warmup }: TaskRoles): Uint8Array {
  const message = createStreamsGroupTargetAssignmentMemberValue({
    activeTasks: taskIdsOf(active),
    standbyTasks: taskIdsOf(standby),
    warmupTasks: taskIdsOf(warmup),
  });
  return encodeVersioned(streamsGroupTargetAssignmentMemberValue, message, VERSION);
}

function encodeCurrent({ assigned, pendingRevocation, ...member }: StreamsMemberProgress): Uint8Array {
  const message = createStreamsGroupCurrentMemberAssignmentValue({
    memberEpoch: member.memberEpoch,
    previousMemberEpoch: member.previousEpoch,
    state: member.state,
    activeTasks: dated(assigned.active),
    standbyTasks: undated(assigned.standby),
    warmupTasks: undated(assigned.warmup),
    activeTasksPendingRevocation: dated(pendingRevocation.active),
    standbyTasksPendingRevocation: undated(pendingRevocation.standby),
    warmupTasksPendingRevocation: undated(pendingRevocation.warmup),
  });
  return encodeVersioned(streamsGroupCurrentMemberAssignmentValue, message, VERSION);
}

function dated(tasks: DatedTasks): DatedTaskIds[] {
  return taskIdsOf(tasks).map(({ subtopologyId, partitions }) => ({
    subtopologyId,
    partitions,
    assignmentEpochs: partitions.map((partition) => tasks.get(subtopologyId)!.get(partition)!),
  }));
}

function undated(tasks: TaskRoles['standby']): DatedTaskIds[] {
  return taskIdsOf(tasks).map((ids) => ({ ...ids, assignmentEpochs: [] }));
}

function entriesOf(map: ReadonlyMap<string, string>): { key: string; value: string }[] {
  return Array.from(map, ([key, value]) => ({ key, value })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

function mapOf(entries: readonly { readonly key: string; readonly value: string }[]): Map<string, string> {
  return new Map(entries.map(({ key, value }) => [key, value]));
}

/** The group and what the record says of it; null if it is not of a streams group. @throws ProtocolError */
export function parseStreamsRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): { groupId: string; record: StreamsGroupRecord } | null {
  switch (coordinatorKeyType(key)) {
    case streamsGroupMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(streamsGroupMetadataKey, key);
      return { groupId, record: { kind: 'epoch', value: value && parseEpoch(value) } };
    }
    case streamsGroupTopologyKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(streamsGroupTopologyKey, key);
      const topology = value && decodeVersioned(streamsGroupTopologyValue, value).value;
      return { groupId, record: { kind: 'topology', value: topology } };
    }
    case streamsGroupMemberMetadataKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(streamsGroupMemberMetadataKey, key);
      return { groupId, record: { kind: 'member', memberId, value: value && parseMember(value) } };
    }
    case streamsGroupTargetAssignmentMetadataKey.apiKey: {
      const { groupId } = decodeCoordinatorKey(streamsGroupTargetAssignmentMetadataKey, key);
      const message = value && decodeVersioned(streamsGroupTargetAssignmentMetadataValue, value).value;
      const target = message && {
        epoch: message.assignmentEpoch,
        timestampMs: Number(message.assignmentTimestamp),
      };
      return { groupId, record: { kind: 'target-epoch', value: target } };
    }
    case streamsGroupTargetAssignmentMemberKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(streamsGroupTargetAssignmentMemberKey, key);
      return { groupId, record: { kind: 'target', memberId, value: value && parseTarget(value) } };
    }
    case streamsGroupCurrentMemberAssignmentKey.apiKey: {
      const { groupId, memberId } = decodeCoordinatorKey(streamsGroupCurrentMemberAssignmentKey, key);
      return { groupId, record: { kind: 'current', memberId, value: value && parseCurrent(value) } };
    }
    default:
      return null;
  }
}

function parseEpoch(bytes: Uint8Array) {
  const { value } = decodeVersioned(streamsGroupMetadataValue, bytes);
  const { epoch, metadataHash, validatedTopologyEpoch, lastAssignmentConfigs } = value;
  return {
    epoch,
    metadataHash,
    validatedTopologyEpoch,
    assignmentConfigs: mapOf(lastAssignmentConfigs ?? []),
  };
}

function parseMember(bytes: Uint8Array): StreamsMemberMetadata {
  const { clientTags, ...metadata } = decodeVersioned(streamsGroupMemberMetadataValue, bytes).value;
  return { ...metadata, clientTags: mapOf(clientTags) };
}

function parseTarget(bytes: Uint8Array): TaskRoles {
  const { value } = decodeVersioned(streamsGroupTargetAssignmentMemberValue, bytes);
  return {
    active: tasksOf(value.activeTasks),
    standby: tasksOf(value.standbyTasks),
    warmup: tasksOf(value.warmupTasks),
  };
}

function parseCurrent(bytes: Uint8Array): StreamsMemberProgress {
  const { value } = decodeVersioned(streamsGroupCurrentMemberAssignmentValue, bytes);
  const { memberEpoch, previousMemberEpoch: previousEpoch, state } = value;
  const tasks = (active: DatedTaskIds[], standby: DatedTaskIds[], warmup: DatedTaskIds[]): MemberTasks => ({
    active: parseDated(active, memberEpoch),
    standby: tasksOf(standby),
    warmup: tasksOf(warmup),
  });
  return {
    memberEpoch,
    previousEpoch,
    state: Object.values(MemberState).find((known) => known === state) ?? MemberState.UNKNOWN,
    assigned: tasks(value.activeTasks, value.standbyTasks, value.warmupTasks),
    pendingRevocation: tasks(
      value.activeTasksPendingRevocation,
      value.standbyTasksPendingRevocation,
      value.warmupTasksPendingRevocation,
    ),
  };
}

/** Kafka before 4.2 did not write the epochs: then it is that of the member. */
function parseDated(list: readonly DatedTaskIds[], memberEpoch: number): DatedTasks {
  const tasks = new Map<string, Map<number, number>>();
  for (const { subtopologyId, partitions, assignmentEpochs } of list) {
    const epochs = assignmentEpochs?.length === partitions.length ? assignmentEpochs : null;
    if (partitions.length > 0)
      tasks.set(
        subtopologyId,
        new Map(partitions.map((partition, i) => [partition, epochs?.[i] ?? Math.max(memberEpoch, 0)])),
      );
  }
  return tasks;
}

import { createGroupMetadataKey, groupMetadataKey } from '../../protocol/generated/group-metadata-key.ts';
import {
  createGroupMetadataValue,
  createMemberMetadata,
  groupMetadataValue,
} from '../../protocol/generated/group-metadata-value.ts';
import { legacyOffsetCommitKey } from '../../protocol/generated/legacy-offset-commit-key.ts';
import { createOffsetCommitKey, offsetCommitKey } from '../../protocol/generated/offset-commit-key.ts';
import { createOffsetCommitValue, offsetCommitValue } from '../../protocol/generated/offset-commit-value.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeVersioned,
} from '../../protocol/internal-records.ts';
import { EMPTY_BYTES } from '../../protocol/wire/types.ts';
import type { ClassicGroup, GroupSnapshot } from './classic-group.ts';
import { ClassicMember } from './member.ts';
import type { CommittedOffset, OffsetChange } from './offsets.ts';
import type { OffsetsRecord } from './ports.ts';

/** What Kafka writes. */
const GROUP_METADATA_VERSION = 3;
const OFFSET_COMMIT_VERSION = 4;
/** The only version that carries an expiry time. */
const OFFSET_COMMIT_VERSION_WITH_EXPIRY = 1;

/** What a record of __consumer_offsets says. */
export type CoordinatorRecord =
  | ({ kind: 'offset' } & OffsetChange)
  | { kind: 'group'; groupId: string; value: GroupSnapshot | null }
  /** A record of a later Kafka, or of a feature that is not served. */
  | { kind: 'unknown'; type: number };

export function offsetRecord({ groupId, topic, partition, value }: OffsetChange): OffsetsRecord {
  const key = encodeCoordinatorKey(
    offsetCommitKey,
    createOffsetCommitKey({ group: groupId, topic, partition }),
  );
  if (value === null) return { key, value: null };
  const expires = value.expireTimestampMs !== null;
  const message = createOffsetCommitValue({
    offset: value.offset,
    leaderEpoch: expires ? -1 : value.leaderEpoch,
    metadata: value.metadata,
    commitTimestamp: BigInt(value.commitTimestampMs),
    expireTimestamp: BigInt(value.expireTimestampMs ?? -1),
    topicId: value.topicId,
  });
  const version = expires ? OFFSET_COMMIT_VERSION_WITH_EXPIRY : OFFSET_COMMIT_VERSION;
  return { key, value: encodeVersioned(offsetCommitValue, message, version) };
}

/** The group with these assignments by member id. */
export function groupRecord(
  group: ClassicGroup,
  assignments: ReadonlyMap<string, Uint8Array>,
): OffsetsRecord {
  const members = Array.from(group.members(), (member) =>
    createMemberMetadata({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeout: member.rebalanceTimeoutMs,
      sessionTimeout: member.sessionTimeoutMs,
      subscription: member.metadata(group.protocolName),
      assignment: assignments.get(member.memberId) ?? EMPTY_BYTES,
    }),
  );
  const message = createGroupMetadataValue({
    protocolType: group.protocolType ?? '',
    generation: group.generationId,
    protocol: group.protocolName,
    leader: group.leaderId,
    currentStateTimestamp: BigInt(group.stateSinceMs ?? -1),
    members,
  });
  const value = encodeVersioned(groupMetadataValue, message, GROUP_METADATA_VERSION);
  return { key: groupKey(group.groupId), value };
}

export function groupTombstone(groupId: string): OffsetsRecord {
  return { key: groupKey(groupId), value: null };
}

/** @throws ProtocolError */
export function parseRecord(key: Uint8Array, value: Uint8Array | null): CoordinatorRecord {
  const type = coordinatorKeyType(key);
  switch (type) {
    case legacyOffsetCommitKey.apiKey:
    case offsetCommitKey.apiKey: {
      // Keys of the two types look the same.
      const codec = type === offsetCommitKey.apiKey ? offsetCommitKey : legacyOffsetCommitKey;
      const { group, topic, partition } = decodeCoordinatorKey(codec, key);
      return { kind: 'offset', groupId: group, topic, partition, value: value && parseOffset(value) };
    }
    case groupMetadataKey.apiKey: {
      const groupId = decodeCoordinatorKey(groupMetadataKey, key).group;
      return { kind: 'group', groupId, value: value && parseGroup(value) };
    }
    default:
      return { kind: 'unknown', type };
  }
}

function parseOffset(bytes: Uint8Array): CommittedOffset {
  const { value: message } = decodeVersioned(offsetCommitValue, bytes);
  const expires = message.expireTimestamp !== -1n;
  return {
    topicId: message.topicId,
    offset: message.offset,
    leaderEpoch: message.leaderEpoch,
    metadata: message.metadata,
    commitTimestampMs: Number(message.commitTimestamp),
    expireTimestampMs: expires ? Number(message.expireTimestamp) : null,
  };
}

function parseGroup(bytes: Uint8Array): GroupSnapshot {
  const { value: message, version } = decodeVersioned(groupMetadataValue, bytes);
  const protocolType = message.protocolType === '' ? null : message.protocolType;
  const members = message.members.map(
    (member) =>
      new ClassicMember({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        protocolType: message.protocolType,
        // Version 0 had one time-out for both.
        rebalanceTimeoutMs: version === 0 ? member.sessionTimeout : member.rebalanceTimeout,
        sessionTimeoutMs: member.sessionTimeout,
        protocols: [{ name: message.protocol ?? '', metadata: new Uint8Array(member.subscription) }],
        assignment: new Uint8Array(member.assignment),
      }),
  );
  return {
    generationId: message.generation,
    protocolType,
    protocolName: message.protocol,
    leaderId: message.leader,
    stateSinceMs: message.currentStateTimestamp === -1n ? null : Number(message.currentStateTimestamp),
    members,
  };
}

function groupKey(groupId: string): Uint8Array {
  return encodeCoordinatorKey(groupMetadataKey, createGroupMetadataKey({ group: groupId }));
}

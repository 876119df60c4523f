import type { Assignment } from './assignment.ts';
import { type ConsumerGroup, NO_EPOCH } from './consumer-group.ts';
import {
  type ConsumerMember,
  type MemberAssignment,
  type MemberMetadata,
  metadataOf,
  NEW_ASSIGNMENT,
  newMember,
  progressOf,
} from './consumer-member.ts';
import type { ResolvedRegex } from './subscriptions.ts';

/** What a record of a consumer group says; a null value is its tombstone. */
export type ConsumerGroupRecord =
  | {
      readonly kind: 'epoch';
      readonly value: { readonly epoch: number; readonly metadataHash: bigint } | null;
    }
  /** What Kafka before 4.1 wrote of the topics; only its tombstone is ever written. */
  | { readonly kind: 'partition-metadata'; readonly value: object | null }
  | { readonly kind: 'member'; readonly memberId: string; readonly value: MemberMetadata | null }
  | {
      readonly kind: 'target-epoch';
      readonly value: { readonly epoch: number; readonly timestampMs: number } | null;
    }
  | { readonly kind: 'target'; readonly memberId: string; readonly value: Assignment | null }
  | { readonly kind: 'current'; readonly memberId: string; readonly value: MemberAssignment | null }
  | { readonly kind: 'regex'; readonly regex: string; readonly value: ResolvedRegex | null };

/** Changes the group as the record says. Tombstones of what is not there change nothing. */
export function apply(group: ConsumerGroup, record: ConsumerGroupRecord): void {
  switch (record.kind) {
    case 'epoch':
      if (record.value === null) break;
      group.groupEpoch = record.value.epoch;
      group.metadataHash = record.value.metadataHash;
      break;
    case 'partition-metadata':
      group.hasPartitionMetadata = record.value !== null;
      break;
    case 'member':
      if (record.value === null) group.removeMember(record.memberId);
      else group.setMember({ ...memberOf(group, record.memberId), ...metadataOf(record.value) });
      break;
    case 'target-epoch':
      group.assignmentEpoch = record.value?.epoch ?? NO_EPOCH;
      group.assignmentTimestampMs = record.value?.timestampMs ?? 0;
      break;
    case 'target':
      group.setTarget(record.memberId, record.value);
      break;
    case 'current':
      if (record.value !== null)
        group.setMember({ ...memberOf(group, record.memberId), ...progressOf(record.value) });
      else if (group.member(record.memberId) !== undefined)
        group.setMember({ ...memberOf(group, record.memberId), ...NEW_ASSIGNMENT });
      break;
    case 'regex':
      group.resolveRegex(record.regex, record.value);
  }
}

function memberOf(group: ConsumerGroup, memberId: string): ConsumerMember {
  return group.member(memberId) ?? newMember(memberId);
}

/** Records that take a member out of its group. */
export function memberTombstones(memberId: string): ConsumerGroupRecord[] {
  return [
    { kind: 'current', memberId, value: null },
    { kind: 'target', memberId, value: null },
    { kind: 'member', memberId, value: null },
  ];
}

/** Records that delete the group, in Kafka's order. */
export function groupTombstones(group: ConsumerGroup): ConsumerGroupRecord[] {
  const memberIds = Array.from(group.members(), ({ memberId }) => memberId);
  const targetIds = new Set([...memberIds, ...group.targetIds()]);
  return [
    ...memberIds.map((memberId) => ({ kind: 'current', memberId, value: null }) as const),
    ...Array.from(targetIds, (memberId) => ({ kind: 'target', memberId, value: null }) as const),
    { kind: 'target-epoch', value: null },
    ...memberIds.map((memberId) => ({ kind: 'member', memberId, value: null }) as const),
    ...Array.from(
      group.subscriptions.resolved.keys(),
      (regex) => ({ kind: 'regex', regex, value: null }) as const,
    ),
    { kind: 'partition-metadata', value: null },
    { kind: 'epoch', value: null },
  ];
}

/** Records that make the group, in Kafka's order. */
export function groupCreation(group: ConsumerGroup): ConsumerGroupRecord[] {
  const members = [...group.members()];
  return [
    ...members.map((value) => ({ kind: 'member', memberId: value.memberId, value }) as const),
    { kind: 'epoch', value: { epoch: group.groupEpoch, metadataHash: group.metadataHash } },
    ...members.map(
      ({ memberId }) => ({ kind: 'target', memberId, value: group.targetOf(memberId) }) as const,
    ),
    {
      kind: 'target-epoch',
      value: { epoch: group.assignmentEpoch, timestampMs: group.assignmentTimestampMs },
    },
    ...members.map((value) => ({ kind: 'current', memberId: value.memberId, value }) as const),
  ];
}

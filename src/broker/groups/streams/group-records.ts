import { FIRST_ASSIGNMENT_EPOCH, type StreamsGroup } from './streams-group.ts';
import {
  metadataOf,
  NEW_PROGRESS,
  newStreamsMember,
  progressOf,
  type StreamsMember,
  type StreamsMemberMetadata,
  type StreamsMemberProgress,
} from './streams-member.ts';
import type { TaskRoles } from './tasks.ts';
import type { Topology } from './topology.ts';

/** What the record of a group's epoch says. */
export interface GroupEpoch {
  readonly epoch: number;
  readonly metadataHash: bigint;
  readonly validatedTopologyEpoch: number;
  readonly assignmentConfigs: ReadonlyMap<string, string>;
}

/** What a record of a streams group says; a null value is its tombstone. */
export type StreamsGroupRecord =
  | { readonly kind: 'epoch'; readonly value: GroupEpoch | null }
  | { readonly kind: 'topology'; readonly value: Topology | null }
  | { readonly kind: 'member'; readonly memberId: string; readonly value: StreamsMemberMetadata | null }
  | {
      readonly kind: 'target-epoch';
      readonly value: { readonly epoch: number; readonly timestampMs: number } | null;
    }
  | { readonly kind: 'target'; readonly memberId: string; readonly value: TaskRoles | null }
  | { readonly kind: 'current'; readonly memberId: string; readonly value: StreamsMemberProgress | null };

/** Changes the group as the record says. Tombstones of what is not there change nothing. */
export function apply(group: StreamsGroup, record: StreamsGroupRecord): void {
  switch (record.kind) {
    case 'epoch':
      if (record.value === null) break;
      group.groupEpoch = record.value.epoch;
      group.metadataHash = record.value.metadataHash;
      group.validatedTopologyEpoch = record.value.validatedTopologyEpoch;
      group.assignmentConfigs = record.value.assignmentConfigs;
      break;
    case 'topology':
      group.setTopology(record.value);
      break;
    case 'member':
      if (record.value === null) group.removeMember(record.memberId);
      else group.setMember({ ...memberOf(group, record.memberId), ...metadataOf(record.value) });
      break;
    case 'target-epoch':
      group.assignmentEpoch = record.value?.epoch ?? FIRST_ASSIGNMENT_EPOCH;
      group.assignmentTimestampMs = record.value?.timestampMs ?? 0;
      break;
    case 'target':
      group.setTarget(record.memberId, record.value);
      break;
    case 'current':
      if (record.value !== null)
        group.setMember({ ...memberOf(group, record.memberId), ...progressOf(record.value) });
      else if (group.member(record.memberId) !== undefined)
        group.setMember({ ...memberOf(group, record.memberId), ...NEW_PROGRESS });
  }
}

function memberOf(group: StreamsGroup, memberId: string): StreamsMember {
  return group.member(memberId) ?? newStreamsMember(memberId);
}

/** The group in its next epoch, with what else is to change. */
export function nextEpoch(
  group: StreamsGroup,
  change: Partial<Omit<GroupEpoch, 'epoch'>> = {},
): StreamsGroupRecord {
  const { groupEpoch, metadataHash, validatedTopologyEpoch, assignmentConfigs } = group;
  const epoch = groupEpoch + 1;
  return {
    kind: 'epoch',
    value: { epoch, metadataHash, validatedTopologyEpoch, assignmentConfigs, ...change },
  };
}

/** Records that take a member out of its group. */
export function memberTombstones(memberId: string): StreamsGroupRecord[] {
  return [
    { kind: 'current', memberId, value: null },
    { kind: 'target', memberId, value: null },
    { kind: 'member', memberId, value: null },
  ];
}

/** Records that delete the group. The epoch's is the last: behind it there is no group. */
export function groupTombstones(group: StreamsGroup): StreamsGroupRecord[] {
  const memberIds = Array.from(group.members(), ({ memberId }) => memberId);
  const targetIds = new Set([...memberIds, ...group.targetIds()]);
  return [
    ...memberIds.map((memberId) => ({ kind: 'current', memberId, value: null }) as const),
    ...Array.from(targetIds, (memberId) => ({ kind: 'target', memberId, value: null }) as const),
    { kind: 'target-epoch', value: null },
    ...memberIds.map((memberId) => ({ kind: 'member', memberId, value: null }) as const),
    { kind: 'topology', value: null },
    { kind: 'epoch', value: null },
  ];
}

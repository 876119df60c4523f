import type { Uuid } from '../../../protocol/wire/types.ts';
import { type Assignment, NO_PARTITIONS } from '../consumer/assignment.ts';
import { MemberTimers } from '../consumer/member-timers.ts';
import {
  newShareMember,
  type ShareMember,
  type ShareMemberAssignment,
  type ShareMemberMetadata,
  shareMetadataOf,
  shareProgressOf,
} from './share-member.ts';

/** Kafka's names, as they are on the wire. */
export type ShareGroupState = 'Empty' | 'Stable';

/** Partitions of one topic whose state the share coordinator has, or is about to have. */
export interface TopicStates {
  readonly name: string;
  readonly partitions: ReadonlySet<number>;
}

/** Which share partitions of a group have a state; a record of its own. Never changed once it is shared. */
export interface GroupStates {
  readonly initializing: ReadonlyMap<Uuid, TopicStates>;
  readonly initialized: ReadonlyMap<Uuid, TopicStates>;
  /** Names by id of topics whose states are being removed. */
  readonly deleting: ReadonlyMap<Uuid, string>;
}

const NO_STATES: GroupStates = {
  initializing: new Map(),
  initialized: new Map(),
  deleting: new Map(),
};

/** Of a group whose members subscribe to nothing that exists; Kafka begins with it too. */
const FIRST_EPOCH = 1;
const NO_EPOCH = -1;

/** What a record of a share group says; a null value is its tombstone. */
export type ShareGroupRecord =
  | {
      readonly kind: 'epoch';
      readonly value: { readonly epoch: number; readonly metadataHash: bigint } | null;
    }
  | { readonly kind: 'member'; readonly memberId: string; readonly value: ShareMemberMetadata | null }
  | {
      readonly kind: 'target-epoch';
      readonly value: { readonly epoch: number; readonly timestampMs: number } | null;
    }
  | { readonly kind: 'target'; readonly memberId: string; readonly value: Assignment | null }
  | { readonly kind: 'current'; readonly memberId: string; readonly value: ShareMemberAssignment | null }
  | { readonly kind: 'states'; readonly value: GroupStates | null };

/**
 * The state of one share group (KIP-932): what its records say, and the timers of its members. It changes only by `apply`, so that what is
 * read back is what was.
 */
export class ShareGroup {
  readonly type = 'share';
  readonly protocolType = 'share';
  readonly groupId: string;
  /** Rises when the members or what they subscribe to changes. */
  groupEpoch = FIRST_EPOCH;
  /** Of the topics that are subscribed to. */
  metadataHash = 0n;
  /** The group epoch that the target assignment is for. */
  assignmentEpoch = FIRST_EPOCH;
  /** When the target assignment was made; 0 if unknown. */
  assignmentTimestampMs = 0;
  states = NO_STATES;
  /** Whether a topic that is subscribed to may have changed since `metadataHash`; a new or loaded group looks once. */
  metadataMayDiffer = true;
  /** While states are being made. */
  initialization: Promise<void> | null = null;
  readonly timers = new MemberTimers();
  readonly #members = new Map<string, ShareMember>();
  readonly #targets = new Map<string, Assignment>();

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  /** Marks it as initializing until the states are made, or cannot be. @returns what `made` does */
  whileInitializing<T>(made: Promise<T>): Promise<T> {
    const all = Promise.allSettled([this.initialization, made]).then(() => {
      if (this.initialization === all) this.initialization = null;
    });
    this.initialization = all;
    return made;
  }

  get state(): ShareGroupState {
    return this.#members.size === 0 ? 'Empty' : 'Stable';
  }

  get size(): number {
    return this.#members.size;
  }

  members(): IterableIterator<ShareMember> {
    return this.#members.values();
  }

  member(memberId: string): ShareMember | undefined {
    return this.#members.get(memberId);
  }

  targetOf(memberId: string): Assignment {
    return this.#targets.get(memberId) ?? NO_PARTITIONS;
  }

  targetIds(): IterableIterator<string> {
    return this.#targets.keys();
  }

  /** Everything that members subscribe to. */
  topicNames(): Set<string> {
    const names = new Set<string>();
    for (const member of this.#members.values()) for (const name of member.topicNames) names.add(name);
    return names;
  }

  isSubscribedTo(topic: string): boolean {
    for (const { topicNames } of this.#members.values()) if (topicNames.has(topic)) return true;
    return false;
  }

  /** Changes the group as the record says. Tombstones of what is not there change nothing. */
  apply(record: ShareGroupRecord): void {
    switch (record.kind) {
      case 'epoch':
        if (record.value === null) break;
        this.groupEpoch = record.value.epoch;
        this.metadataHash = record.value.metadataHash;
        break;
      case 'member':
        if (record.value === null) {
          this.#members.delete(record.memberId);
          this.timers.cancelAll(record.memberId);
        } else this.#change(record.memberId, shareMetadataOf(record.value));
        break;
      case 'target-epoch':
        this.assignmentEpoch = record.value?.epoch ?? NO_EPOCH;
        this.assignmentTimestampMs = record.value?.timestampMs ?? 0;
        break;
      case 'target':
        if (record.value === null) this.#targets.delete(record.memberId);
        else this.#targets.set(record.memberId, record.value);
        break;
      case 'current':
        if (record.value !== null) this.#change(record.memberId, shareProgressOf(record.value));
        break;
      case 'states':
        this.states = record.value ?? NO_STATES;
    }
  }

  #change(memberId: string, change: Partial<ShareMember>): void {
    this.#members.set(memberId, { ...(this.#members.get(memberId) ?? newShareMember(memberId)), ...change });
  }
}

/** Records that take a member out of its group. */
export function shareMemberTombstones(memberId: string): ShareGroupRecord[] {
  return [
    { kind: 'current', memberId, value: null },
    { kind: 'target', memberId, value: null },
    { kind: 'member', memberId, value: null },
  ];
}

/** Records that delete the group, in Kafka's order. */
export function shareGroupTombstones(group: ShareGroup): ShareGroupRecord[] {
  const memberIds = Array.from(group.members(), ({ memberId }) => memberId);
  const targetIds = new Set([...memberIds, ...group.targetIds()]);
  return [
    { kind: 'states', value: null },
    ...memberIds.map((memberId) => ({ kind: 'current', memberId, value: null }) as const),
    ...Array.from(targetIds, (memberId) => ({ kind: 'target', memberId, value: null }) as const),
    { kind: 'target-epoch', value: null },
    ...memberIds.map((memberId) => ({ kind: 'member', memberId, value: null }) as const),
    { kind: 'epoch', value: null },
  ];
}

/** The states with partitions of a topic added to those that are ready, or to those that are being made. */
export function withStates(
  states: GroupStates,
  kind: 'initializing' | 'initialized',
  topicId: Uuid,
  { name, partitions }: TopicStates,
): GroupStates {
  const added = new Map(states[kind]);
  added.set(topicId, {
    name,
    partitions: new Set([...(added.get(topicId)?.partitions ?? []), ...partitions]),
  });
  if (kind === 'initializing') return { ...states, initializing: added };
  // What a deletion that failed has left is begun anew.
  const deleting = new Map(states.deleting);
  deleting.delete(topicId);
  const initializing = new Map(states.initializing);
  const rest = [...(initializing.get(topicId)?.partitions ?? [])].filter((each) => !partitions.has(each));
  if (rest.length === 0) initializing.delete(topicId);
  else initializing.set(topicId, { name, partitions: new Set(rest) });
  return { initializing, initialized: added, deleting };
}

/** The states while nobody knows whether those of a topic are still there: until they are begun anew, or deleted again. */
export function withUncertain(states: GroupStates, topicId: Uuid, topic: TopicStates): GroupStates {
  const initialized = new Map(states.initialized);
  initialized.delete(topicId);
  return withStates({ ...states, initialized }, 'initializing', topicId, topic);
}

/** The states without those of a topic. */
export function withoutTopic(states: GroupStates, topicId: Uuid): GroupStates {
  const without = <T>(map: ReadonlyMap<Uuid, T>) => new Map([...map].filter(([id]) => id !== topicId));
  return {
    initializing: without(states.initializing),
    initialized: without(states.initialized),
    deleting: without(states.deleting),
  };
}

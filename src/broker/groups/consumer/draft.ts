import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import { compileRegex } from '../../../util/re2.ts';
import { isAssignmentDue } from '../own-values.ts';
import { type Assignment, sameAssignment, type TopicPartitions } from './assignment.ts';
import { rangeAssignor } from './assignors/range.ts';
import { uniformAssignor } from './assignors/uniform.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import {
  type ConsumerMember,
  inEpoch,
  isReconciledTo,
  MemberState,
  regexOf,
  sameMemberAssignment,
  sameMetadata,
  sameTopics,
} from './consumer-member.ts';
import type { ConsumerContext } from './context.ts';
import { type ConsumerGroupRecord, memberTombstones } from './group-records.ts';
import { reconcile } from './reconcile.ts';
import type { Subscriptions } from './subscriptions.ts';
import { metadataHash, topicIdsOf } from './topics.ts';

const ASSIGNORS = new Map([uniformAssignor, rangeAssignor].map((assignor) => [assignor.name, assignor]));

/** What has become of a member's subscription by regular expression. */
type RegexChange = 'none' | 'unresolved' | 'resolved';

/**
 * One step of one member, planned before anything changes: the member with its new metadata, the group's next epoch and target
 * assignment if they are due, and the member one step nearer to that. `records` say all of it.
 */
export class MemberDraft {
  readonly group: ConsumerGroup;
  readonly records: ConsumerGroupRecord[] = [];
  /** Whether the member brought a regular expression that the group did not have. */
  hasNewRegex = false;
  hasSubscriptionChanged = false;
  readonly #context: ConsumerContext;
  /** The member as it is in the group; a static one may have had another id. */
  readonly #present: ConsumerMember | null;
  /** The member as the step finds it. */
  readonly found: ConsumerMember;
  updated: ConsumerMember;
  groupEpoch: number;
  #subscriptions: Subscriptions;

  /** `found` has another id than `present` if it takes that one's place. */
  constructor(
    context: ConsumerContext,
    group: ConsumerGroup,
    present: ConsumerMember | null,
    found: ConsumerMember,
  ) {
    this.#context = context;
    this.group = group;
    this.#present = present;
    this.found = found;
    this.updated = found;
    this.groupEpoch = group.groupEpoch;
    this.#subscriptions = group.subscriptions;
    if (this.#former !== null) this.#replaceFormer(this.#former);
  }

  get regexes(): Iterable<string> {
    return this.#subscriptions.regexes.keys();
  }

  /** The other member whose place this one takes. */
  get #former(): ConsumerMember | null {
    return this.#present !== null && this.#present.memberId !== this.found.memberId ? this.#present : null;
  }

  /** @throws ApiError INVALID_REGULAR_EXPRESSION, which changes nothing */
  update(updated: ConsumerMember): void {
    this.updated = updated;
    const { found, group } = this;
    const { memberId } = updated;
    const isNew = this.#present === null || this.#former !== null;
    const changed = !sameMetadata(found, updated);
    if (changed || this.#present === null) this.records.push({ kind: 'member', memberId, value: updated });
    const topicsChanged = !sameTopics(found.topicNames, updated.topicNames);
    const regexChange = this.#updateRegex();
    this.hasSubscriptionChanged = topicsChanged || regexChange !== 'none';
    if (this.hasSubscriptionChanged || isNew) {
      this.#subscriptions = group.subscriptions.copy();
      this.#subscriptions.replace(this.#present, updated);
      const formerRegex = regexOf(this.#present);
      if (formerRegex !== null && this.#subscriptions.subscribersOf(formerRegex) === 0)
        this.#subscriptions.resolve(formerRegex, null);
    }
    const bumps = topicsChanged || regexChange === 'resolved';
    if (bumps || group.metadataMayDiffer) this.#updateEpoch(bumps);
  }

  /** The group's next epoch if its subscriptions have changed, or the topics that they name. */
  #updateEpoch(bumps: boolean): void {
    const { group } = this;
    const hash = metadataHash(this.#context.topics, this.#subscriptions.topicNames);
    if (bumps || hash !== group.metadataHash) {
      this.groupEpoch++;
      this.records.push({ kind: 'epoch', value: { epoch: this.groupEpoch, metadataHash: hash } });
    }
    if (group.hasPartitionMetadata) this.records.push({ kind: 'partition-metadata', value: null });
  }

  #updateRegex(): RegexChange {
    const former = regexOf(this.found);
    const regex = regexOf(this.updated);
    if (this.found.topicRegex === this.updated.topicRegex) return 'none';
    const { subscriptions } = this.group;
    let change: RegexChange = former !== null && regex === null ? 'resolved' : 'unresolved';
    if (regex !== null && subscriptions.subscribersOf(regex) === 0) {
      checkRegex(regex);
      this.hasNewRegex = true;
    } else if (regex !== null && subscriptions.resolved.has(regex)) change = 'resolved';
    // Its last subscriber goes.
    if (former !== null && former !== regex && subscriptions.subscribersOf(former) === 1)
      this.records.push({ kind: 'regex', regex: former, value: null });
    return change;
  }

  /** The member one step nearer to the target assignment, which is made anew if that is due. */
  advance(owned: readonly TopicPartitions[] | null): void {
    const { group, updated } = this;
    const target = this.#nextTarget() ?? {
      epoch: group.assignmentEpoch,
      assignment: group.targetOf(this.#former?.memberId ?? updated.memberId),
    };
    this.reconcile(target, owned);
  }

  reconcile(
    target: { readonly epoch: number; readonly assignment: Assignment },
    owned: readonly TopicPartitions[] | null,
  ): void {
    const { group, updated, hasSubscriptionChanged } = this;
    if (!hasSubscriptionChanged && isReconciledTo(updated, target.epoch)) return;
    if (updated.state === MemberState.UNKNOWN && (owned === null || owned.length > 0))
      throw new ApiError(
        ErrorCode.FENCED_MEMBER_EPOCH,
        'The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.',
      );
    const own = new Set([updated.memberId, this.#former?.memberId]);
    const next = reconcile(updated, {
      targetEpoch: target.epoch,
      target: target.assignment,
      topicIds: topicIdsOf(this.#context.topics, group.subscriptions.topicsOf(updated)),
      hasSubscriptionChanged,
      owned,
      isTaken: (topicId, partition) => {
        const owner = group.ownerOf(topicId, partition);
        return owner !== null && !own.has(owner);
      },
    });
    if (sameMemberAssignment(next, updated)) return;
    this.updated = next;
    this.records.push({ kind: 'current', memberId: next.memberId, value: next });
  }

  /** A new target assignment for the whole group; null if the last one is good or too young. @throws ApiError */
  #nextTarget(): { epoch: number; assignment: Assignment } | null {
    const { group, groupEpoch } = this;
    if (group.assignmentEpoch >= groupEpoch) return null;
    const { clock, config, logger } = this.#context;
    if (!isAssignmentDue(clock, group, config.timesOf(group.groupId))) return null;
    const name = group.preferredAssignor(this.#present, this.updated) ?? config.assignors[0]!;
    const assignor = ASSIGNORS.get(name);
    if (assignor === undefined)
      throw new ApiError(ErrorCode.UNSUPPORTED_ASSIGNOR, `ServerAssignor ${name} is not supported.`);
    const members = this.#assignableMembers();
    const { topics } = this.#context;
    const assignments = assignor.assign({
      members,
      isHomogeneous: this.#subscriptions.isHomogeneous(members.length),
      partitionCount: (topicId) => topics.byId(topicId)?.partitionCount ?? 0,
    });
    for (const { memberId, assignment: former } of members) {
      const value = assignments.get(memberId)!;
      if (!this.#hasTarget(memberId) || !sameAssignment(former, value))
        this.records.push({ kind: 'target', memberId, value });
    }
    this.records.push({ kind: 'target-epoch', value: { epoch: groupEpoch, timestampMs: clock.now() } });
    logger.info(
      { group: group.groupId, epoch: groupEpoch, members: members.length, assignor: name },
      'group has a new target assignment',
    );
    return { epoch: groupEpoch, assignment: assignments.get(this.updated.memberId)! };
  }

  #assignableMembers() {
    const { group, updated } = this;
    const former = this.#former;
    const members = [...group.members()].filter(
      ({ memberId }) => memberId !== updated.memberId && memberId !== former?.memberId,
    );
    return [...members, updated].map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      topicIds: topicIdsOf(this.#context.topics, group.subscriptions.topicsOf(member)),
      assignment: group.targetOf(member === updated && former !== null ? former.memberId : member.memberId),
    }));
  }

  #hasTarget(memberId: string): boolean {
    // Whoever takes another's place has got a record with its target.
    return this.group.hasTarget(memberId) || (this.#former !== null && memberId === this.updated.memberId);
  }

  #replaceFormer(former: ConsumerMember): void {
    const { memberId } = this.found;
    this.records.push(
      ...memberTombstones(former.memberId),
      { kind: 'member', memberId, value: this.found },
      { kind: 'target', memberId, value: this.group.targetOf(former.memberId) },
      { kind: 'current', memberId, value: this.found },
    );
  }
}

/** The static member under another id, as one that joins. */
export function replacement(former: ConsumerMember, memberId: string): ConsumerMember {
  return { ...inEpoch(former, 0), memberId, previousEpoch: 0 };
}

function checkRegex(regex: string): void {
  try {
    compileRegex(regex);
  } catch (error) {
    throw new ApiError(
      ErrorCode.INVALID_REGULAR_EXPRESSION,
      `SubscribedTopicRegex \`${regex}\` is not a valid regular expression: ${(error as Error).message}.`,
    );
  }
}

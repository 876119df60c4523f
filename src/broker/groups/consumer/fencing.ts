import type { Uuid } from '../../../protocol/wire/types.ts';
import { NO_EPOCH_PARTITIONS } from './assignment.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import { type ConsumerMember, regexOf, STATIC_LEAVE_EPOCH } from './consumer-member.ts';
import type { ConsumerContext } from './context.ts';
import type { Conversion } from './conversion.ts';
import { type ConsumerGroupRecord, memberTombstones } from './group-records.ts';
import type { MemberTimer } from './member-timers.ts';
import { metadataHash } from './topics.ts';

const REASONS: Readonly<Record<MemberTimer, string>> = {
  session: 'its session timed out',
  rebalance: 'it did not give up its partitions in time',
  join: 'it did not rejoin in time',
  sync: 'it did not ask for its assignment in time',
};

/** Members leave: on their own, for a while, or because they are late. */
export class Fencing {
  readonly #context: ConsumerContext;
  readonly #conversion: Conversion;

  constructor(context: ConsumerContext, conversion: Conversion) {
    this.#context = context;
    this.#conversion = conversion;
  }

  /** Takes members out of the group, which becomes a classic one if only such members stay. Rejects as a write. */
  async fence(group: ConsumerGroup, members: readonly ConsumerMember[]): Promise<void> {
    if (members.length === 0) return this.#context.writer.write({ groupId: group.groupId, records: [] });
    const downgraded = this.#conversion.downgradeWithout(group, members);
    if (downgraded !== null) return downgraded;
    const records: ConsumerGroupRecord[] = members.flatMap(({ memberId }) => memberTombstones(memberId));
    const subscriptions = group.subscriptions.copy();
    for (const member of members) {
      subscriptions.replace(member, null);
      const regex = regexOf(member);
      if (regex === null || subscriptions.subscribersOf(regex) > 0) continue;
      if (!subscriptions.resolved.has(regex)) continue;
      subscriptions.resolve(regex, null);
      records.push({ kind: 'regex', regex, value: null });
    }
    const hash = metadataHash(this.#context.topics, subscriptions.topicNames);
    records.push({ kind: 'epoch', value: { epoch: group.groupEpoch + 1, metadataHash: hash } });
    return this.#context.writer.write({ groupId: group.groupId, records });
  }

  /** A static member goes and means to come back: it keeps its partitions until its session ends. */
  leaveForAWhile(group: ConsumerGroup, member: ConsumerMember): Promise<void> {
    // Whoever comes back under another id has got them from epoch 0 on.
    const assigned = new Map<Uuid, Map<number, number>>();
    for (const [topicId, partitions] of member.assigned)
      assigned.set(topicId, new Map(Array.from(partitions.keys(), (partition) => [partition, 0])));
    const value = {
      ...member,
      memberEpoch: STATIC_LEAVE_EPOCH,
      assigned,
      pendingRevocation: NO_EPOCH_PARTITIONS,
    };
    group.timers.cancel(member.memberId, 'rebalance');
    return this.#context.writer.write({
      groupId: group.groupId,
      records: [{ kind: 'current', memberId: member.memberId, value }],
    });
  }

  /** Starts a member's session anew. */
  startSession(group: ConsumerGroup, memberId: string): void {
    const member = group.member(memberId);
    const timeoutMs =
      member?.classic?.sessionTimeoutMs ?? this.#context.config.timesOf(group.groupId).sessionTimeoutMs;
    this.start(group, memberId, 'session', timeoutMs);
  }

  /** The member must have given up its partitions in time. */
  startRebalance(group: ConsumerGroup, member: ConsumerMember): void {
    const { memberId, memberEpoch, rebalanceTimeoutMs } = member;
    this.start(group, memberId, 'rebalance', rebalanceTimeoutMs, memberEpoch);
  }

  /** Fences the member after a while, if it is still in that epoch when one is given. */
  start(group: ConsumerGroup, memberId: string, kind: MemberTimer, timeoutMs: number, epoch?: number): void {
    const { clock, groups, logger } = this.#context;
    group.timers.start(clock, memberId, kind, Math.max(timeoutMs, 0), () => {
      const member = group.member(memberId);
      if (member === undefined || groups.get(group.groupId) !== group) return;
      if (epoch !== undefined && member.memberEpoch !== epoch) return;
      const about = { group: group.groupId, member: memberId };
      logger.info(about, `member removed from the consumer group: ${REASONS[kind]}`);
      this.fence(group, [member]).catch((error: unknown) => {
        logger.warn({ ...about, err: error }, 'the removal of a member was not written');
      });
    });
  }

  /** Starts the timers of a group that was read back. */
  revive(group: ConsumerGroup): void {
    for (const member of group.members()) {
      this.startSession(group, member.memberId);
      if (member.pendingRevocation.size > 0) this.startRebalance(group, member);
    }
  }
}

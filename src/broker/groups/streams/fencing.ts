import type { StreamsContext } from './context.ts';
import { memberTombstones, nextEpoch } from './group-records.ts';
import type { StreamsGroup } from './streams-group.ts';
import type { StreamsMember } from './streams-member.ts';

const REASONS = {
  session: 'its session timed out',
  rebalance: 'it did not give up its tasks in time',
} as const;

/** Members leave: on their own, or because they are late. */
export class StreamsFencing {
  readonly #context: StreamsContext;

  constructor(context: StreamsContext) {
    this.#context = context;
  }

  /** Takes a member out of the group. Rejects as a write. */
  async fence(group: StreamsGroup, { memberId }: StreamsMember): Promise<void> {
    const records = [...memberTombstones(memberId), nextEpoch(group)];
    await this.#context.writer.write({ groupId: group.groupId, records });
  }

  /** Starts a member's session anew. */
  startSession(group: StreamsGroup, memberId: string): void {
    const { sessionTimeoutMs } = this.#context.config.of(group.groupId);
    this.#start(group, memberId, 'session', sessionTimeoutMs, null);
  }

  /** The member must have given up its tasks in time, in the epoch that it is in. */
  startRebalance(group: StreamsGroup, { memberId, memberEpoch, rebalanceTimeoutMs }: StreamsMember): void {
    this.#start(group, memberId, 'rebalance', rebalanceTimeoutMs, memberEpoch);
  }

  /** Starts the timers of a group that was read back. */
  revive(group: StreamsGroup): void {
    for (const member of group.members()) {
      this.startSession(group, member.memberId);
      const { active, standby, warmup } = member.pendingRevocation;
      if (active.size + standby.size + warmup.size > 0) this.startRebalance(group, member);
    }
  }

  #start(
    group: StreamsGroup,
    memberId: string,
    kind: keyof typeof REASONS,
    timeoutMs: number,
    epoch: number | null,
  ): void {
    const { clock, groups, logger } = this.#context;
    group.timers.start(clock, memberId, kind, Math.max(timeoutMs, 0), () => {
      const member = group.member(memberId);
      if (member === undefined || groups.get(group.groupId) !== group) return;
      if (epoch !== null && member.memberEpoch !== epoch) return;
      const about = { group: group.groupId, member: memberId };
      logger.info(about, `member removed from the streams group: ${REASONS[kind]}`);
      this.fence(group, member).catch((error: unknown) => {
        logger.warn({ ...about, err: error }, 'the removal of a member was not written');
      });
    });
  }
}

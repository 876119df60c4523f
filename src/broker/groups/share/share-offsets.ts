import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { Uuid } from '../../../protocol/wire/types.ts';
import { type PartitionState, UNINITIALIZED_OFFSET, UNKNOWN_COUNT } from '../../share/partition-state.ts';
import type { ShareContext } from './context.ts';
import { ShareGroup, type TopicStates, withoutTopic, withStates, withUncertain } from './share-group.ts';

/** How far a group has come in a partition. */
export interface ShareOffset {
  readonly partition: number;
  readonly startOffset: bigint;
  readonly leaderEpoch: number;
  /** Records that are not done with; -1 if unknown. */
  readonly lag: bigint;
}

/** Where a group is to begin in a partition. */
interface AlteredPart {
  readonly topicId: Uuid;
  readonly name: string;
  readonly partition: number;
  readonly startOffset: bigint;
}

/** What became of one partition or topic. */
export interface ShareOutcome {
  readonly errorCode: ErrorCode;
  readonly errorMessage: string | null;
}

const DONE: ShareOutcome = { errorCode: ErrorCode.NONE, errorMessage: null };
const NOTHING_TO_DELETE: ShareOutcome = {
  errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  errorMessage: 'There is no offset information to delete.',
};
const NOTHING = { startOffset: UNINITIALIZED_OFFSET, leaderEpoch: 0, lag: -1n };

/** Describe-, Alter- and DeleteShareGroupOffsets. Methods reject with an ApiError when the request as a whole is refused. */
export class ShareOffsets {
  readonly #context: ShareContext;

  constructor(context: ShareContext) {
    this.#context = context;
  }

  /** Where the group is in partitions of a topic; nowhere, if there is no such group. @throws ApiError while that is being loaded */
  describe(groupId: string, topicId: Uuid, partitions: readonly number[]): ShareOffset[] {
    const group = this.#find(groupId);
    const { states } = this.#context;
    return partitions.map((partition) => {
      const isKnown = group?.states.initialized.get(topicId)?.partitions.has(partition) ?? false;
      const state = isKnown ? states.summary({ groupId, topicId, partition }) : null;
      if (state === null) return { partition, ...NOTHING };
      const { startOffset, leaderEpoch } = state;
      return { partition, startOffset, leaderEpoch, lag: this.#lagOf(topicId, partition, state) };
    });
  }

  /** Every partition that the group has a state of, by topic; a kill may have left some of topics that are gone. */
  known(groupId: string): { topicId: Uuid; name: string; partitions: number[] }[] {
    return [...(this.#find(groupId)?.states.initialized ?? [])]
      .filter(([topicId]) => this.#context.topics.byId(topicId) !== null)
      .map(([topicId, { name, partitions }]) => ({
        topicId,
        name,
        partitions: [...partitions].sort((a, b) => a - b),
      }));
  }

  /**
   * Sets where a group without members begins in partitions that exist; resolves with one outcome for each. A group that is not there is
   * made.
   */
  async alter(groupId: string, parts: readonly AlteredPart[]): Promise<ShareOutcome[]> {
    const { groups, writer } = this.#context;
    const isNew = !groups.has(groupId);
    const before = isNew ? new ShareGroup(groupId) : this.#emptyGroupOf(groupId);
    if (parts.length === 0) return [];
    const epoch = isNew ? before.groupEpoch : before.groupEpoch + 1;
    let value = before.states;
    for (const { topicId, name, partition } of parts)
      value = withStates(value, 'initializing', topicId, { name, partitions: new Set([partition]) });
    const written = writer.write({
      groupId,
      records: [
        { kind: 'states', value },
        { kind: 'epoch', value: { epoch, metadataHash: before.metadataHash } },
      ],
    });
    // It is there by now; members that join wait for these states in place of making others.
    const group = this.#groupOf(groupId);
    return group.whileInitializing(this.#makeStates(group, epoch, parts, written));
  }

  async #makeStates(
    group: ShareGroup,
    epoch: number,
    parts: readonly AlteredPart[],
    written: Promise<void>,
  ): Promise<ShareOutcome[]> {
    const { groups, states, writer, forget } = this.#context;
    const { groupId } = group;
    await written;
    const outcomes = await Promise.all(
      parts.map(({ topicId, partition, startOffset }) =>
        outcomeOf(states.initialize({ groupId, topicId, partition }, epoch, startOffset)),
      ),
    );
    let value = group.states;
    for (const [i, { topicId, name, partition }] of parts.entries())
      if (outcomes[i] === DONE)
        value = withStates(value, 'initialized', topicId, { name, partitions: new Set([partition]) });
    forget(
      groupId,
      parts.map(({ topicId }) => topicId),
    );
    if (groups.get(groupId) === group) await writer.write({ groupId, records: [{ kind: 'states', value }] });
    return outcomes;
  }

  /** Forgets where a group without members is in topics; one outcome for each. */
  async delete(groupId: string, topicIds: readonly Uuid[]): Promise<ShareOutcome[]> {
    const group = this.#emptyGroupOf(groupId);
    return Promise.all(
      topicIds.map((topicId) => {
        const topics = [group.states.initialized, group.states.initializing].flatMap((states) => {
          const topic = states.get(topicId);
          return topic === undefined ? [] : [[topicId, topic] as const];
        });
        return topics.length === 0 ? NOTHING_TO_DELETE : outcomeOf(this.deleteStates(group, topics));
      }),
    );
  }

  /** A topic is gone, and its states with it. Failures are logged. */
  async topicDeleted(name: string): Promise<void> {
    for (const group of [...this.#context.groups.values()])
      if (group.type === 'share') await this.#deleteGone(group, (topic) => topic.name === name);
  }

  /**
   * Deletes states of topics that were deleted when their states could not be: a crash came between the two, or the group was being
   * loaded. Failures are logged, and the next start tries again.
   */
  async deleteFormer(group: ShareGroup): Promise<void> {
    if (this.#goneOf(group).length === 0) return;
    await this.#context.states.loaded();
    if (this.#find(group.groupId) === group) await this.#deleteGone(group);
  }

  async #deleteGone(group: ShareGroup, isMeant = (_: TopicStates) => true): Promise<void> {
    const gone = this.#goneOf(group).filter(([, topic]) => isMeant(topic));
    try {
      await this.#deleteStates(group, gone);
    } catch (error) {
      const topics = gone.map(([, { name }]) => name);
      this.#context.logger.warn(
        { group: group.groupId, topics, err: error },
        'states of deleted topics remain',
      );
    }
  }

  /** The states of topics that are no more. */
  #goneOf({ states }: ShareGroup): [Uuid, TopicStates][] {
    return [...states.initialized, ...states.initializing].filter(
      ([topicId]) => this.#context.topics.byId(topicId) === null,
    );
  }

  /**
   * Removes the states of topics, and then that the group has any. Rejects with an ApiError: while they are being loaded nothing has
   * changed, else the group has none of them all the same, and what remains can be deleted again.
   */
  async deleteStates(group: ShareGroup, topics: readonly (readonly [Uuid, TopicStates])[]): Promise<void> {
    const { groupId } = group;
    for (const [topicId, { partitions }] of topics)
      for (const partition of partitions) this.#context.states.summary({ groupId, topicId, partition });
    await this.#deleteStates(group, topics);
  }

  async #deleteStates(group: ShareGroup, topics: readonly (readonly [Uuid, TopicStates])[]): Promise<void> {
    const { states, writer, forget } = this.#context;
    const { groupId } = group;
    if (topics.length === 0) return;
    const deleting = new Map(group.states.deleting);
    for (const [topicId, { name }] of topics) deleting.set(topicId, name);
    await writer.write({
      groupId,
      records: [{ kind: 'states', value: { ...group.states, deleting } }],
    });
    const removed: Promise<void>[] = [];
    for (const [topicId, { partitions }] of topics)
      for (const partition of partitions) removed.push(states.delete({ groupId, topicId, partition }));
    const outcomes = await Promise.allSettled(removed);
    forget(
      groupId,
      topics.map(([topicId]) => topicId),
    );
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (this.#context.groups.get(groupId) === group) {
      let value = group.states;
      for (const topic of topics)
        value = failure === undefined ? withoutTopic(value, topic[0]) : withUncertain(value, ...topic);
      await writer.write({ groupId, records: [{ kind: 'states', value }] });
    }
    if (failure !== undefined) throw failure.reason;
  }

  /**
   * States that were being removed when the broker ended may be there or not: the group has none of them, and gets new ones. Those of
   * topics that are gone have time.
   */
  finishDeletion(group: ShareGroup): void {
    const { states, writer, logger } = this.#context;
    const { groupId, states: before } = group;
    const gone = new Map(this.#goneOf(group));
    const topicIds = [...before.deleting.keys()].filter((topicId) => !gone.has(topicId));
    if (topicIds.length === 0) return;
    let value = before;
    const removed: Promise<void>[] = [];
    for (const topicId of topicIds) {
      value = withoutTopic(value, topicId);
      for (const topics of [before.initialized, before.initializing])
        for (const partition of topics.get(topicId)?.partitions ?? [])
          removed.push(states.delete({ groupId, topicId, partition }));
    }
    void Promise.all([writer.write({ groupId, records: [{ kind: 'states', value }] }), ...removed]).catch(
      (error: unknown) => {
        logger.warn({ group: groupId, err: error }, 'states of share partitions that nobody needs remain');
      },
    );
  }

  #lagOf(topicId: Uuid, partition: number, state: PartitionState): bigint {
    const end = this.#context.endOffset(topicId, partition);
    const { startOffset, deliveryCompleteCount } = state;
    if (end === null || startOffset === UNINITIALIZED_OFFSET || deliveryCompleteCount === UNKNOWN_COUNT)
      return -1n;
    const lag = end - startOffset - BigInt(deliveryCompleteCount);
    return lag < 0n ? 0n : lag;
  }

  #find(groupId: string): ShareGroup | null {
    const group = this.#context.groups.get(groupId);
    return group?.type === 'share' ? group : null;
  }

  #groupOf(groupId: string): ShareGroup {
    const group = this.#context.groups.get(groupId);
    if (group?.type === 'share') return group;
    throw new ApiError(
      ErrorCode.GROUP_ID_NOT_FOUND,
      group === undefined ? `Group ${groupId} not found.` : `Group ${groupId} is not a share group.`,
    );
  }

  #emptyGroupOf(groupId: string): ShareGroup {
    const group = this.#groupOf(groupId);
    if (group.size > 0) throw new ApiError(ErrorCode.NON_EMPTY_GROUP, 'The group is not empty.');
    return group;
  }
}

async function outcomeOf(done: Promise<void>): Promise<ShareOutcome> {
  try {
    await done;
    return DONE;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { errorCode: error.code, errorMessage: error.message };
  }
}

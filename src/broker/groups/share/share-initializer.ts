import type { Uuid } from '../../../protocol/wire/types.ts';
import { UNINITIALIZED_OFFSET } from '../../share/partition-state.ts';
import { isAssignmentDue } from '../own-values.ts';
import type { ShareContext } from './context.ts';
import { type ShareGroup, type ShareGroupRecord, type TopicStates, withStates } from './share-group.ts';

/** Makes the states of partitions that a group's members have come to subscribe to. Without its state nobody gets a partition. */
export class ShareInitializer {
  readonly #context: ShareContext;

  constructor(context: ShareContext) {
    this.#context = context;
  }

  /** Resolves when everything that members subscribe to has a state, or when that has failed: it is tried again with the next heartbeat. */
  async initialize(group: ShareGroup): Promise<void> {
    const { logger } = this.#context;
    while (this.#missing(group).size > 0) {
      if (group.initialization !== null) {
        await group.initialization;
        continue;
      }
      try {
        await group.whileInitializing(this.#make(group));
      } catch (error) {
        logger.warn({ group: group.groupId, err: error }, 'states of share partitions could not be made');
        return;
      }
    }
  }

  async #make(group: ShareGroup): Promise<void> {
    const { clock, config, groups, states, topics, writer } = this.#context;
    const { groupId } = group;
    const missing = this.#missing(group);
    // So that a crash leaves no state that nobody knows of.
    let value = group.states;
    for (const [topicId, topic] of missing) value = withStates(value, 'initializing', topicId, topic);
    await writer.write({ groupId, records: [{ kind: 'states', value }] });
    const stateEpoch = group.groupEpoch;
    const made: Promise<void>[] = [];
    for (const [topicId, { partitions }] of missing)
      for (const partition of partitions)
        made.push(states.initialize({ groupId, topicId, partition }, stateEpoch, UNINITIALIZED_OFFSET));
    for (const outcome of await Promise.allSettled(made))
      if (outcome.status === 'rejected') throw outcome.reason;
    // Topics may have been deleted meanwhile, and what was there of their states with them.
    for (const [topicId, { partitions }] of [...missing]) {
      if (topics.byId(topicId) !== null) continue;
      missing.delete(topicId);
      for (const partition of partitions) await states.delete({ groupId, topicId, partition });
    }
    if (groups.get(groupId) !== group) return;
    value = group.states;
    for (const [topicId, topic] of missing) value = withStates(value, 'initialized', topicId, topic);
    const records: ShareGroupRecord[] = [{ kind: 'states', value }];
    // An assignment that still has to wait counts these partitions in.
    const isAwaited =
      group.assignmentEpoch < group.groupEpoch && !isAssignmentDue(clock, group, config.timesOf(groupId));
    if (!isAwaited) {
      const epoch = { epoch: group.groupEpoch + 1, metadataHash: group.metadataHash };
      records.push({ kind: 'epoch', value: epoch });
    }
    await writer.write({ groupId, records });
  }

  /** What is subscribed to, exists, and has no state. */
  #missing(group: ShareGroup): Map<Uuid, TopicStates> {
    const { topics, groups } = this.#context;
    const missing = new Map<Uuid, TopicStates>();
    if (groups.get(group.groupId) !== group) return missing;
    for (const name of group.topicNames()) {
      const topic = topics.byName(name);
      if (topic === null) continue;
      const known = group.states.initialized.get(topic.id)?.partitions;
      const partitions = new Set<number>();
      for (let i = 0; i < topic.partitionCount; i++) if (known?.has(i) !== true) partitions.add(i);
      if (partitions.size > 0) missing.set(topic.id, { name, partitions });
    }
    return missing;
  }
}

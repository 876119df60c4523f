import assert from 'node:assert/strict';
import type { ConsumerGroup } from '../consumer/consumer-group.ts';
import type { GroupCoordinator } from '../coordinator.ts';
import type { SimulatedConsumer } from './simulated-consumer.ts';

/** What groups of the consumer protocol promise: one owner for a partition, epochs that rise. */
export class OwnershipChecker {
  answers = 0;
  assignments = 0;
  /** The highest member epoch that was answered, by group; a group that is empty may be deleted, and begins anew. */
  readonly #epochs = new Map<string, number>();
  readonly #consumers: SimulatedConsumer[] = [];
  readonly #epochsRise: boolean;

  /** `epochsRise`: also from one group of the name to the next. */
  constructor(epochsRise = true) {
    this.#epochsRise = epochsRise;
  }

  add(consumer: SimulatedConsumer): void {
    this.#consumers.push(consumer);
  }

  answered(consumer: SimulatedConsumer, memberEpoch: number): void {
    this.answers++;
    assert.ok(
      memberEpoch >= consumer.epoch,
      `${consumer.name}: epoch ${memberEpoch} after ${consumer.epoch}`,
    );
    const highest = this.#epochs.get(consumer.groupId) ?? 0;
    this.#epochs.set(consumer.groupId, Math.max(highest, memberEpoch));
  }

  /** A consumer begins to use these partitions: nobody else may, but who is no member any more and has not heard of it. */
  owns(consumer: SimulatedConsumer, coordinator: GroupCoordinator | null): void {
    if (consumer.owned.size > 0) this.assignments++;
    const group = coordinator === null ? null : groupIn(coordinator, consumer.groupId);
    if (group === null || group.member(consumer.memberId) === undefined) return;
    for (const other of this.#consumers) {
      if (other === consumer || other.groupId !== consumer.groupId) continue;
      if (group.member(other.memberId) === undefined) continue;
      for (const partition of consumer.owned)
        assert.ok(
          !other.owned.has(partition),
          `${consumer.groupId}: ${partition} is used by ${consumer.name} and ${other.name}`,
        );
    }
  }

  /** What the coordinator itself believes. */
  checkGroup(coordinator: GroupCoordinator, groupId: string): void {
    const group = groupIn(coordinator, groupId);
    if (group === null) return;
    const owners = new Map<string, string>();
    for (const { memberId, memberEpoch, assigned, pendingRevocation } of group.members()) {
      assert.ok(memberEpoch <= group.groupEpoch, `${groupId}: ${memberId} is ahead of its group`);
      for (const assignment of [assigned, pendingRevocation])
        for (const [topicId, partitions] of assignment)
          for (const partition of partitions.keys()) {
            const key = `${topicId}:${partition}`;
            assert.equal(owners.get(key), undefined, `${groupId}: ${key} has two owners`);
            assert.equal(group.ownerOf(topicId, partition), memberId, `${groupId}: ${key} is lost`);
            owners.set(key, memberId);
          }
    }
    if (group.size > 0 && this.#epochsRise) {
      const highest = this.#epochs.get(groupId) ?? 0;
      assert.ok(group.groupEpoch >= highest, `${groupId}: epoch ${group.groupEpoch} after ${highest}`);
    }
  }
}

function groupIn(coordinator: GroupCoordinator, groupId: string): ConsumerGroup | null {
  const shard = coordinator.shardOf(groupId);
  const group = typeof shard === 'number' ? undefined : shard.groups.get(groupId);
  return group?.type === 'consumer' ? group : null;
}

import assert from 'node:assert/strict';
import type { GroupCoordinator } from '../coordinator.ts';
import type { StreamsGroup } from '../streams/streams-group.ts';
import { ROLES, taskName } from '../streams/tasks.ts';
import type { SimulatedStreamThread } from './simulated-stream-thread.ts';

/** What streams groups promise: one member for an active task, no task twice in an instance, epochs that rise. */
export class TaskChecker {
  assignments = 0;
  /** The highest member epoch that was answered, by group; a group that is empty may be deleted, and begins anew. */
  readonly #epochs = new Map<string, number>();
  readonly #threads: SimulatedStreamThread[] = [];

  add(thread: SimulatedStreamThread): void {
    this.#threads.push(thread);
  }

  answered(thread: SimulatedStreamThread, memberEpoch: number): void {
    assert.ok(memberEpoch >= thread.epoch, `${thread.name}: epoch ${memberEpoch} after ${thread.epoch}`);
    const highest = this.#epochs.get(thread.groupId) ?? 0;
    this.#epochs.set(thread.groupId, Math.max(highest, memberEpoch));
  }

  /** A thread begins to use its tasks: nobody else may, but who is no member any more and has not heard of it. */
  owns(thread: SimulatedStreamThread, coordinator: GroupCoordinator | null): void {
    if (thread.owned.active.size > 0) this.assignments++;
    const group = coordinator === null ? null : groupIn(coordinator, thread.groupId);
    if (group === null || group.member(thread.memberId) === undefined) return;
    for (const other of this.#threads) {
      if (other === thread || other.groupId !== thread.groupId) continue;
      if (group.member(other.memberId) === undefined) continue;
      const isSameProcess = other.processId === thread.processId;
      for (const role of ROLES)
        for (const otherRole of ROLES) {
          if (!isSameProcess && (role !== 'active' || otherRole !== 'active')) continue;
          for (const task of thread.owned[role])
            assert.ok(
              !other.owned[otherRole].has(task),
              `${thread.groupId}: ${task} is ${role} in ${thread.name} and ${otherRole} in ${other.name}`,
            );
        }
    }
  }

  /** What the coordinator itself believes. */
  checkGroup(coordinator: GroupCoordinator, groupId: string): void {
    const group = groupIn(coordinator, groupId);
    if (group === null) return;
    /** Member ids by task: active ones, and all of an instance. */
    const owners = new Map<string, string>();
    for (const { memberId, processId, memberEpoch, assigned, pendingRevocation } of group.members()) {
      assert.ok(memberEpoch <= group.groupEpoch, `${groupId}: ${memberId} is ahead of its group`);
      for (const tasks of [assigned, pendingRevocation])
        for (const role of ROLES)
          for (const [subtopologyId, partitions] of tasks[role])
            for (const partition of partitions.keys()) {
              const name = taskName(subtopologyId, partition);
              for (const key of role === 'active'
                ? [name, `${name} in ${processId}`]
                : [`${name} in ${processId}`]) {
                assert.equal(owners.get(key), undefined, `${groupId}: ${key} has two owners`);
                owners.set(key, memberId);
              }
              assert.ok(
                [...group.processesOf(role, subtopologyId, partition)].includes(processId),
                `${groupId}: ${name} is lost`,
              );
            }
    }
    if (group.size > 0) {
      const highest = this.#epochs.get(groupId) ?? 0;
      assert.ok(group.groupEpoch >= highest, `${groupId}: epoch ${group.groupEpoch} after ${highest}`);
    }
  }
}

function groupIn(coordinator: GroupCoordinator, groupId: string): StreamsGroup | null {
  const shard = coordinator.shardOf(groupId);
  const group = typeof shard === 'number' ? undefined : shard.groups.get(groupId);
  return group?.type === 'streams' ? group : null;
}

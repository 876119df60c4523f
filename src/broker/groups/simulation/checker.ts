import assert from 'node:assert/strict';

interface Generation {
  readonly number: number;
  /** Owner (instance id or member id) by partition. */
  readonly owners: Map<number, string>;
}

interface GroupHistory {
  /** The newest generation that somebody got an assignment in. */
  current: Generation | null;
  /** Acknowledged and last attempted offset by partition; attempts rise. */
  readonly acknowledged: Map<number, bigint>;
  readonly attempted: Map<number, bigint>;
  /** Offsets whose commit failed. */
  readonly refused: Set<bigint>;
}

/** What was promised to the clients so far, and whether it was kept. */
export class Checker {
  commits = 0;
  assignments = 0;
  readonly #groups = new Map<string, GroupHistory>();

  /** The coordinator answered a SyncGroup without error. */
  assigned(groupId: string, generation: number, owner: string, partitions: readonly number[]): void {
    const group = this.#history(groupId);
    if (group.current === null || generation > group.current.number)
      group.current = { number: generation, owners: new Map() };
    assert.equal(generation, group.current.number, `${groupId}: an assignment of an old generation`);
    this.assignments++;
    for (const partition of partitions) {
      const other: string = group.current.owners.get(partition) ?? owner;
      assert.equal(
        other,
        owner,
        `${groupId} generation ${generation}: partition ${partition} has two owners`,
      );
      group.current.owners.set(partition, owner);
    }
  }

  attempting(groupId: string, partition: number, offset: bigint): void {
    this.#history(groupId).attempted.set(partition, offset);
  }

  /** A commit was accepted; `newest` is the group's newest assigned generation when it was sent in. */
  committed(groupId: string, generation: number, newest: number, partition: number, offset: bigint): void {
    assert.ok(generation >= newest, `${groupId}: a commit of generation ${generation} after ${newest}`);
    const { acknowledged } = this.#history(groupId);
    const before = acknowledged.get(partition) ?? -1n;
    if (offset > before) acknowledged.set(partition, offset);
    this.commits++;
  }

  refused(groupId: string, offset: bigint): void {
    this.#history(groupId).refused.add(offset);
  }

  fetched(groupId: string, partition: number, offset: bigint): void {
    const { acknowledged, attempted, refused } = this.#history(groupId);
    assert.ok(!refused.has(offset), `${groupId}-${partition}: fetched ${offset}, which was refused`);
    const least = acknowledged.get(partition) ?? -1n;
    const most = attempted.get(partition) ?? -1n;
    assert.ok(
      offset >= least && offset <= most,
      `${groupId}-${partition}: fetched ${offset}, acknowledged ${least}, attempted ${most}`,
    );
  }

  newestGeneration(groupId: string): number {
    return this.#history(groupId).current?.number ?? -1;
  }

  #history(groupId: string): GroupHistory {
    let history = this.#groups.get(groupId);
    if (history === undefined) {
      history = { current: null, acknowledged: new Map(), attempted: new Map(), refused: new Set() };
      this.#groups.set(groupId, history);
    }
    return history;
  }
}

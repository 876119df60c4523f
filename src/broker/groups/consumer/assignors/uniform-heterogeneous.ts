import type { Uuid } from '../../../../protocol/wire/types.ts';
import type { Assignment } from '../assignment.ts';
import type { AssignableGroup } from './assignor.ts';
import { MemberBalancer } from './member-balancer.ts';

const ROUNDS_MAX = 16;
const NOBODY = -1;

/**
 * Kafka's `uniform` for members with different subscriptions: everybody keeps what it had and still subscribes to, free
 * partitions go to the least loaded subscribers, and then partitions move from the most to the least loaded, topic by
 * topic, until that changes nothing.
 */
export function assignHeterogeneous(group: AssignableGroup): Map<string, Assignment> {
  const assignment = new HeterogeneousAssignment(group);
  assignment.assignFree();
  assignment.balance();
  return assignment.result();
}

class HeterogeneousAssignment {
  readonly #members: AssignableGroup['members'];
  /** Member index by partition, for each topic. */
  readonly #owners = new Map<Uuid, number[]>();
  readonly #subscribers = new Map<Uuid, number[]>();
  /** Number of partitions by member index. */
  readonly #loads: number[];
  readonly #balancer: MemberBalancer;

  constructor({ members, partitionCount }: AssignableGroup) {
    this.#members = members;
    this.#loads = members.map(() => 0);
    this.#balancer = new MemberBalancer(this.#loads);
    for (const [index, { topicIds }] of members.entries())
      for (const topicId of topicIds) {
        const subscribers = this.#subscribers.get(topicId);
        if (subscribers !== undefined) subscribers.push(index);
        else {
          this.#subscribers.set(topicId, [index]);
          this.#owners.set(topicId, new Array<number>(partitionCount(topicId)).fill(NOBODY));
        }
      }
    for (const [index, { topicIds, assignment }] of members.entries())
      for (const [topicId, partitions] of assignment)
        if (topicIds.has(topicId)) for (const partition of partitions) this.#own(topicId, partition, index);
  }

  assignFree(): void {
    const free = [...this.#owners.keys()].filter((topicId) => this.#owners.get(topicId)!.includes(NOBODY));
    for (const topicId of this.#sorted(free)) {
      this.#balancer.begin(this.#subscribers.get(topicId)!);
      for (const [partition, owner] of this.#owners.get(topicId)!.entries())
        if (owner === NOBODY) this.#own(topicId, partition, this.#balancer.takeLeastLoaded());
    }
  }

  balance(): void {
    const shared = [...this.#owners.keys()].filter((topicId) => this.#subscribers.get(topicId)!.length > 1);
    const topicIds = this.#sorted(shared);
    let lastChanged = -1;
    for (let round = 0; round < ROUNDS_MAX; round++)
      for (const [position, topicId] of topicIds.entries()) {
        // All other topics were looked at since, and nothing moved.
        if (position === lastChanged) return;
        if (this.#balanceTopic(topicId) > 0 || lastChanged === -1) lastChanged = position;
      }
  }

  result(): Map<string, Assignment> {
    const drafts = this.#members.map(() => new Map<Uuid, Set<number>>());
    for (const [topicId, owners] of this.#owners)
      for (const [partition, owner] of owners.entries()) {
        if (owner === NOBODY) continue;
        const draft = drafts[owner]!;
        const own = draft.get(topicId);
        if (own === undefined) draft.set(topicId, new Set([partition]));
        else own.add(partition);
      }
    return new Map(this.#members.map(({ memberId }, index) => [memberId, drafts[index]!]));
  }

  /** Returns how many partitions have changed hands. */
  #balanceTopic(topicId: Uuid): number {
    if (this.#balancer.begin(this.#subscribers.get(topicId)!) <= 1) return 0;
    const owned = new Map<number, number[]>();
    for (const [partition, owner] of this.#owners.get(topicId)!.entries()) {
      const own = owned.get(owner);
      if (own === undefined) owned.set(owner, [partition]);
      else own.push(partition);
    }
    let moved = 0;
    while (!this.#balancer.isBalanced) {
      const giver = this.#nextGiver(owned);
      if (giver === -1) break;
      const partition = owned.get(giver)!.pop()!;
      const taker = this.#balancer.takeLeastLoaded();
      if (this.#balancer.isBalanced) break;
      this.#own(topicId, partition, taker);
      moved++;
    }
    return moved;
  }

  /** The most loaded member that has partitions of this topic. */
  #nextGiver(owned: ReadonlyMap<number, readonly number[]>): number {
    for (;;) {
      const member = this.#balancer.takeMostLoaded();
      if (member === -1 || (owned.get(member)?.length ?? 0) > 0) return member;
      this.#balancer.excludeMostLoaded();
    }
  }

  #own(topicId: Uuid, partition: number, member: number): void {
    const owners = this.#owners.get(topicId)!;
    if (partition >= owners.length) return;
    const former = owners[partition]!;
    if (former !== NOBODY) this.#loads[former]!--;
    owners[partition] = member;
    this.#loads[member]!++;
  }

  /** Most partitions for each subscriber first, then fewest subscribers, then by id. */
  #sorted(topicIds: readonly Uuid[]): Uuid[] {
    const share = (topicId: Uuid) =>
      this.#owners.get(topicId)!.length / this.#subscribers.get(topicId)!.length;
    return [...topicIds].sort(
      (a, b) =>
        share(b) - share(a) ||
        this.#subscribers.get(a)!.length - this.#subscribers.get(b)!.length ||
        (a < b ? -1 : 1),
    );
  }
}

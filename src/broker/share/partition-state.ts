import type { Uuid } from '../../protocol/wire/types.ts';

/** What has become of a record that was given to a share group; Kafka's numbers. */
export const DeliveryState = { AVAILABLE: 0, ACQUIRED: 1, ACKNOWLEDGED: 2, ARCHIVED: 4 } as const;

/** Records that are in the same state; both offsets are part of it. */
export interface StateBatch {
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  /** One of DeliveryState. */
  readonly deliveryState: number;
  readonly deliveryCount: number;
}

/** A partition as one share group sees it. */
export interface SharePartitionKey {
  readonly groupId: string;
  readonly topicId: Uuid;
  readonly partition: number;
}

/** What is stored of a share partition. */
export interface PartitionState {
  /** Rises with every snapshot. */
  readonly snapshotEpoch: number;
  /** Of the group's reset that it goes back to: whoever knows an older one is fenced. */
  readonly stateEpoch: number;
  readonly leaderEpoch: number;
  /** Records below are done with; UNINITIALIZED_OFFSET until the group has begun to read. */
  readonly startOffset: bigint;
  /** Records from the start offset on that are done with; -1 if unknown. */
  readonly deliveryCompleteCount: number;
  readonly createdMs: number;
  readonly writtenMs: number;
  /** Ascending, without overlap. */
  readonly batches: readonly StateBatch[];
}

export const UNINITIALIZED_OFFSET = -1n;
export const UNKNOWN_COUNT = -1;

/** As Kafka writes it; decides which partition of __share_group_state it belongs to. */
export function keyText({ groupId, topicId, partition }: SharePartitionKey): string {
  return `${groupId}:${topicId}:${partition}`;
}

/**
 * The batches with others put over them, without what lies below the start offset. Where they overlap, what was delivered more often
 * holds, and then what is nearer to its end.
 */
export function combineBatches(
  batches: readonly StateBatch[],
  updates: readonly StateBatch[],
  startOffset: bigint,
): StateBatch[] {
  const all = [...batches, ...updates].filter(({ lastOffset }) => lastOffset >= startOffset);
  all.sort((a, b) => compare(a.firstOffset, b.firstOffset));
  const bounds = [...new Set(all.flatMap(({ firstOffset, lastOffset }) => [firstOffset, lastOffset + 1n]))];
  bounds.sort(compare);
  const combined: StateBatch[] = [];
  const begun = new BegunBatches();
  let next = 0;
  for (let i = 0; i + 1 < bounds.length; i++) {
    const from = bounds[i]!;
    const end = bounds[i + 1]!;
    while (next < all.length && all[next]!.firstOffset <= from) begun.add(all[next++]!);
    const furthest = begun.furthestAt(from);
    if (furthest === undefined || end <= startOffset) continue;
    const { deliveryState, deliveryCount } = furthest;
    const firstOffset = from < startOffset ? startOffset : from;
    const last = combined[combined.length - 1];
    const follows =
      last !== undefined &&
      last.lastOffset + 1n === firstOffset &&
      last.deliveryState === deliveryState &&
      last.deliveryCount === deliveryCount;
    if (follows) combined[combined.length - 1] = { ...last, lastOffset: end - 1n };
    else combined.push({ firstOffset, lastOffset: end - 1n, deliveryState, deliveryCount });
  }
  return combined;
}

/** Batches that begin at an offset or before it: a heap, with the one that is furthest on top, as any number may overlap. */
class BegunBatches {
  readonly #heap: StateBatch[] = [];

  add(batch: StateBatch): void {
    const heap = this.#heap;
    let at = heap.push(batch) - 1;
    for (let above = (at - 1) >> 1; at > 0 && isAhead(batch, heap[above]!); above = (at - 1) >> 1) {
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = batch;
  }

  /** The one that is furthest of those that reach to the offset; the others on top of it are forgotten. */
  furthestAt(offset: bigint): StateBatch | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.lastOffset < offset) this.#removeTop();
    return this.#heap[0];
  }

  #removeTop(): void {
    const heap = this.#heap;
    const batch = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      if (below + 1 < heap.length && isAhead(heap[below + 1]!, heap[below]!)) below++;
      if (!isAhead(heap[below]!, batch)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = batch;
  }
}

function isAhead(a: StateBatch, b: StateBatch): boolean {
  return a.deliveryCount === b.deliveryCount
    ? a.deliveryState > b.deliveryState
    : a.deliveryCount > b.deliveryCount;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

import type { AssignedPartition } from './consumer-protocol.ts';
import { DirectError } from './errors.ts';
import type { PartitionOffset } from './group-offsets.ts';
import { isOffset } from './list-offsets.ts';
import type { Reading } from './record-fetcher.ts';
import type { TopicPartition } from './subscription.ts';

/** Where a consumer goes on; null: nobody could tell yet. */
export interface Position extends TopicPartition {
  readonly offset: bigint | null;
}

/** Offsets that a group's consumer has reached. */
export interface DueOffsets {
  readonly offsets: readonly PartitionOffset[];
  /** To be called when they are committed, or part of a transaction: from then on they are not this consumer's concern. */
  readonly handedOver: () => void;
}

export function isSamePartition(a: AssignedPartition, b: AssignedPartition): boolean {
  return a.topic === b.topic && a.partition === b.partition;
}

/** Whether they are partitions of one topic, not of two that had the name one after the other. */
export function isSamePlace(a: TopicPartition, b: TopicPartition): boolean {
  return isSamePartition(a, b) && a.handle.id === b.handle.id;
}

/** The partitions that a consumer reads: how far it has come in each, and what of that is to be committed. */
export class Positions {
  #readings: readonly Reading[] = [];
  #hasLost = false;
  /** Those whose partitions have gone to another member. */
  #lost = new WeakSet<Reading>();

  get places(): TopicPartition[] {
    return this.#readings.map(({ handle, partition }) => ({ handle, topic: handle.name, partition }));
  }

  get partitions(): AssignedPartition[] {
    return this.#readings.map(({ handle, partition }) => ({ topic: handle.name, partition }));
  }

  begin(readings: readonly Reading[]): void {
    this.#readings = readings;
  }

  /** Nothing more is read of the partitions; what was acknowledged of them is to be committed still. */
  stop(): void {
    for (const one of this.#readings) one.revoked = true;
  }

  /** The partitions are others' from now on, or begin anew. */
  release(): void {
    this.stop();
    this.#readings = [];
  }

  /** Beside those that there are. */
  add(readings: readonly Reading[]): void {
    this.#readings = [...this.#readings, ...readings];
  }

  /** Partitions of topics that are gone are read no more, and nothing of them is committed. Returns which they were. */
  drop(isGone: (reading: Reading) => boolean): AssignedPartition[] {
    const gone = this.#readings.filter(isGone);
    for (const one of gone) one.revoked = true;
    this.#readings = this.#readings.filter(({ revoked }) => !revoked);
    return gone.map(({ handle, partition }) => ({ topic: handle.name, partition }));
  }

  acknowledge(one: Reading, offset: bigint): void {
    if (this.#lost.has(one)) this.#hasLost = true;
    if (one.acknowledged === null || offset >= one.acknowledged) one.acknowledged = offset + 1n;
  }

  due(): DueOffsets {
    const due = this.#readings.filter(
      ({ acknowledged, committed }) => acknowledged !== null && acknowledged !== committed,
    );
    const offsets = due.map(({ handle, partition, acknowledged, leaderEpoch }) => ({
      topic: handle.name,
      partition,
      offset: acknowledged!,
      leaderEpoch,
    }));
    const handedOver = () => {
      for (const [i, one] of due.entries()) one.committed = offsets[i]!.offset;
    };
    return { offsets, handedOver };
  }

  /**
   * Some offsets, and of the other partitions where they are.
   * @param firstOffset of what was fetched of a partition and not pulled
   * @throws DirectError INVALID_ARGUMENT for what is not read
   */
  beside(
    to: readonly PartitionOffset[],
    firstOffset: (partition: AssignedPartition) => bigint | null,
  ): Position[] {
    const { places } = this;
    for (const { topic, partition, offset } of to) {
      const isRead = places.some((one) => isSamePartition(one, { topic, partition }));
      if (!isRead || !isOffset(offset))
        throw new DirectError(
          'INVALID_ARGUMENT',
          isRead
            ? `${offset} is no offset: a bigint from 0 on, below 2^63`
            : `${topic}-${partition} is not read by this consumer`,
          { doing: 'seek', ...(isRead ? {} : { todo: 'see its assignment' }) },
        );
    }
    return places.map((one, i) => {
      const wanted = to.find((other) => isSamePartition(one, other));
      const offset = wanted?.offset ?? firstOffset(one) ?? this.#readings[i]!.fetchOffset;
      return { ...one, offset };
    });
  }

  /** Events were taken whose partitions have gone to another member before a transaction had their offsets. */
  lose(): void {
    this.#hasLost ||= this.due().offsets.length > 0;
    for (const one of this.#readings) this.#lost.add(one);
  }

  /** Whether that has happened since it was asked last. */
  takeLost(): boolean {
    const lost = this.#hasLost;
    this.#hasLost = false;
    return lost;
  }

  /** The consumer goes on elsewhere: what was taken before is taken again, or wanted no more. */
  forgetLost(): void {
    this.#hasLost = false;
    this.#lost = new WeakSet();
  }
}

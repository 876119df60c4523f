import type { Uuid } from '../../protocol/wire/types.ts';

/** A committed position of a group in a partition. */
export interface CommittedOffset {
  /** Of the topic, as another one may have its name later; ZERO_UUID if unknown: of old clients and old brokers. */
  readonly topicId: Uuid;
  readonly offset: bigint;
  /** Leader epoch of the last consumed record; -1 if unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  /** Milliseconds since the epoch. */
  readonly commitTimestampMs: number;
  /** When the committer wanted it to expire (OffsetCommit 2-4); null: by the retention of the broker. */
  readonly expireTimestampMs: number | null;
}

interface Slot {
  committed: CommittedOffset | null;
  /** When, in the order of the log, it was committed. */
  order: number;
  /** Writes under way. The slot stays, and does not expire, until they are done. */
  writing: number;
  /** Offsets of open transactions by producer; null while there are none. */
  pending: Map<bigint, PendingOffset> | null;
}

interface PendingOffset {
  /** Null while it is being written. */
  value: CommittedOffset | null;
  readonly order: number;
}

export interface OffsetEntry {
  readonly topic: string;
  readonly partition: number;
  /** Null if there is no offset yet, only a write under way. */
  readonly committed: CommittedOffset | null;
  readonly writing: boolean;
  /** Whether a transaction that is not ended may change it. */
  readonly pending: boolean;
}

/** A new offset, or with null its deletion. */
export interface OffsetChange {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  readonly value: CommittedOffset | null;
}

type Partitions = Map<number, Slot>;

/** The end of a write: false if it failed and nothing changes. */
export type Finish = (written: boolean) => void;

/**
 * The offsets of the groups of one partition of __consumer_offsets. A change is announced when its record is handed to
 * the log and takes effect when the record is written, so that nobody reads what a crash could take back.
 */
export class Offsets {
  readonly #groups = new Map<string, Map<string, Partitions>>();
  /** Where open transactions have offsets, by producer. */
  readonly #transactions = new Map<bigint, Map<Slot, Omit<OffsetChange, 'value'>>>();
  #order = 0;

  clear(): void {
    this.#groups.clear();
    this.#transactions.clear();
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | null {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)?.committed ?? null;
  }

  /** Announces a change; the caller finishes it when its record is written or has failed. */
  begin(change: OffsetChange): Finish {
    const { groupId, topic, partition, value } = change;
    const slot = this.#slot(groupId, topic, partition);
    const order = this.#order++;
    slot.writing++;
    return (written) => {
      slot.writing--;
      if (written) this.#commit(slot, value, order);
      // A deletion also takes what transactions had committed before it.
      if (written && value === null && slot.pending)
        for (const [producerId, pending] of [...slot.pending])
          if (pending.order < order) this.#forget(producerId, slot);
      this.#dropIfEmpty(slot, change);
    };
  }

  /** As `begin`, of an offset that takes effect when the producer's transaction is committed. */
  beginPending(producerId: bigint, change: OffsetChange): Finish {
    const { groupId, topic, partition, value } = change;
    const slot = this.#slot(groupId, topic, partition);
    const before = slot.pending?.get(producerId);
    const pending: PendingOffset = { value: null, order: this.#order++ };
    slot.pending ??= new Map();
    slot.pending.set(producerId, pending);
    const places = getOrCreate(this.#transactions, producerId, () => new Map());
    places.set(slot, { groupId, topic, partition });
    slot.writing++;
    return (written) => {
      slot.writing--;
      if (written) pending.value = value;
      else if (slot.pending?.get(producerId) === pending) {
        if (before?.value) slot.pending.set(producerId, before);
        else this.#forget(producerId, slot);
      }
      this.#dropIfEmpty(slot, change);
    };
  }

  /** A transaction has ended: what it committed takes effect, unless something newer did, or is forgotten. */
  endTransaction(producerId: bigint, commit: boolean): void {
    for (const [slot, place] of [...(this.#transactions.get(producerId) ?? [])]) {
      const pending = slot.pending?.get(producerId);
      if (commit && pending?.value) this.#commit(slot, pending.value, pending.order);
      this.#forget(producerId, slot);
      this.#dropIfEmpty(slot, place);
    }
  }

  /** Whether a transaction that is not ended may change the offset. */
  isUnstable(groupId: string, topic: string, partition: number): boolean {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)?.pending != null;
  }

  /** As `begin`, or for a producer's transaction `beginPending`, and its finish at once: for records that are read back. */
  replay(change: OffsetChange, producerId: bigint | null = null): void {
    if (producerId === null) this.begin(change)(true);
    else this.beginPending(producerId, change)(true);
  }

  /** Whether an offset is there or may appear. */
  mayExist(groupId: string, topic: string, partition: number): boolean {
    return this.#groups.get(groupId)?.get(topic)?.has(partition) ?? false;
  }

  /** Whether an offset of the group is being written or deleted. */
  isWriting(groupId: string): boolean {
    for (const { writing } of this.entries(groupId)) if (writing) return true;
    return false;
  }

  groupIds(): IterableIterator<string> {
    return this.#groups.keys();
  }

  /** Every offset of a group, or of one topic in it, that is there or may appear. */
  *entries(groupId: string, onlyTopic?: string): Generator<OffsetEntry> {
    const topics = this.#groups.get(groupId);
    if (topics === undefined) return;
    for (const topic of onlyTopic === undefined ? topics.keys() : [onlyTopic])
      for (const [partition, { committed, writing, pending }] of topics.get(topic) ?? [])
        yield { topic, partition, committed, writing: writing > 0, pending: pending !== null };
  }

  #commit(slot: Slot, value: CommittedOffset | null, order: number): void {
    if (slot.committed !== null && order < slot.order) return;
    slot.committed = value;
    slot.order = order;
  }

  #forget(producerId: bigint, slot: Slot): void {
    slot.pending?.delete(producerId);
    if (slot.pending?.size === 0) slot.pending = null;
    const places = this.#transactions.get(producerId);
    places?.delete(slot);
    if (places?.size === 0) this.#transactions.delete(producerId);
  }

  #dropIfEmpty(slot: Slot, { groupId, topic, partition }: Omit<OffsetChange, 'value'>): void {
    if (slot.committed === null && slot.writing === 0 && slot.pending === null)
      this.#drop(groupId, topic, partition);
  }

  #slot(groupId: string, topic: string, partition: number): Slot {
    const topics = getOrCreate(this.#groups, groupId, () => new Map<string, Partitions>());
    const partitions = getOrCreate(topics, topic, () => new Map<number, Slot>());
    return getOrCreate(
      partitions,
      partition,
      (): Slot => ({ committed: null, order: -1, writing: 0, pending: null }),
    );
  }

  #drop(groupId: string, topic: string, partition: number): void {
    const topics = this.#groups.get(groupId);
    const partitions = topics?.get(topic);
    partitions?.delete(partition);
    if (partitions?.size === 0) topics?.delete(topic);
    if (topics?.size === 0) this.#groups.delete(groupId);
  }
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}

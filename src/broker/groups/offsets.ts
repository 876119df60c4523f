/** A committed position of a group in a partition. */
export interface CommittedOffset {
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
  /** Writes under way. The slot stays, and does not expire, until they are done. */
  writing: number;
}

export interface OffsetEntry {
  readonly topic: string;
  readonly partition: number;
  /** Null if there is no offset yet, only a write under way. */
  readonly committed: CommittedOffset | null;
  readonly writing: boolean;
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

  clear(): void {
    this.#groups.clear();
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | null {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)?.committed ?? null;
  }

  /** Announces a change; the caller finishes it when its record is written or has failed. */
  begin({ groupId, topic, partition, value }: OffsetChange): Finish {
    const slot = this.#slot(groupId, topic, partition);
    slot.writing++;
    return (written) => {
      slot.writing--;
      if (written) slot.committed = value;
      if (slot.committed === null && slot.writing === 0) this.#drop(groupId, topic, partition);
    };
  }

  /** As `begin` and its finish at once: for records that are read back. */
  replay(change: OffsetChange): void {
    this.begin(change)(true);
  }

  /** Whether an offset is there or may appear. */
  mayExist(groupId: string, topic: string, partition: number): boolean {
    return this.#groups.get(groupId)?.get(topic)?.has(partition) ?? false;
  }

  groupIds(): IterableIterator<string> {
    return this.#groups.keys();
  }

  /** The committed offsets of a group by topic; topics without one are left out. */
  *topics(groupId: string): Generator<[topic: string, partitions: [partition: number, CommittedOffset][]]> {
    for (const [topic, partitions] of this.#groups.get(groupId) ?? []) {
      const committed: [number, CommittedOffset][] = [];
      for (const [partition, slot] of partitions)
        if (slot.committed !== null) committed.push([partition, slot.committed]);
      if (committed.length > 0) yield [topic, committed];
    }
  }

  /** Every offset of a group, or of one topic in it, that is there or may appear. */
  *entries(groupId: string, onlyTopic?: string): Generator<OffsetEntry> {
    const topics = this.#groups.get(groupId);
    if (topics === undefined) return;
    for (const topic of onlyTopic === undefined ? topics.keys() : [onlyTopic])
      for (const [partition, { committed, writing }] of topics.get(topic) ?? [])
        yield { topic, partition, committed, writing: writing > 0 };
  }

  #slot(groupId: string, topic: string, partition: number): Slot {
    const topics = getOrCreate(this.#groups, groupId, () => new Map<string, Partitions>());
    const partitions = getOrCreate(topics, topic, () => new Map<number, Slot>());
    return getOrCreate(partitions, partition, () => ({ committed: null, writing: 0 }));
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

import type { Cluster } from './cluster.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { DirectError, mayPass } from './errors.ts';
import type { Getter } from './getter.ts';
import type { PartitionOffset } from './group-offsets.ts';
import { type IsolationLevel, offsetsAt, offsetsKnownAt, type StartPosition } from './list-offsets.ts';
import { isSamePartition, isSamePlace, Positions } from './positions.ts';
import type { PrefetchQueue } from './prefetch-queue.ts';
import { type Reading, RecordFetcher } from './record-fetcher.ts';
import type { Subscription, TopicPartition } from './subscription.ts';

export interface PartitionReaderOptions {
  readonly cluster: Cluster;
  readonly subscription: Subscription;
  readonly queue: PrefetchQueue;
  readonly getter: Getter;
  readonly isolationLevel: IsolationLevel;
  readonly maxWaitMs: number;
  readonly from: StartPosition;
  /** Which partitions: those that a group assigns, these of each topic, or all. */
  readonly which: 'assigned' | readonly number[] | undefined;
  /** What the group has committed; null where that is nothing. */
  readonly committed: (
    partitions: readonly AssignedPartition[],
  ) => Promise<readonly (PartitionOffset | null)[]>;
  /** Events came, or were forgotten. */
  readonly onEvents: () => void;
  /** Topics are not as they were: `refresh` is due. */
  readonly onTopicsChanged: () => void;
  readonly onFailed: (error: unknown) => void;
}

/** The partitions that a consumer reads, of topics that are there: where it begins in each, and goes on. */
export class PartitionReader {
  readonly positions = new Positions();
  readonly #options: PartitionReaderOptions;
  readonly #fetcher: RecordFetcher;
  /** The partitions that it has, though it may be looked for yet where to begin in them. */
  #assigned: readonly AssignedPartition[] = [];
  /** Counts what changes them: whoever was overtaken while that was prepared changes nothing. */
  #changes = 0;
  #isReading = false;
  #closed = false;

  constructor(options: PartitionReaderOptions) {
    this.#options = options;
    const { onTopicsChanged: onUnknownTopic } = options;
    const onAcknowledge = (reading: Reading, offset: bigint) => this.positions.acknowledge(reading, offset);
    this.#fetcher = new RecordFetcher({ ...options, onAcknowledge, onUnknownTopic });
  }

  /** More was pulled. */
  wake(): void {
    this.#fetcher.wake();
  }

  /** Reads all that is to be read of the topics. */
  assignAll(): Promise<void> {
    return this.assign(this.#wanted());
  }

  /** Reads these partitions, from what the group has committed, or from where it is to begin. */
  async assign(partitions: readonly AssignedPartition[]): Promise<void> {
    const { subscription, committed: committedOf, from, onTopicsChanged } = this.#options;
    const change = ++this.#changes;
    this.#assigned = partitions;
    this.#fetcher.connect(partitions).catch(() => undefined);
    await subscription.refresh();
    const places = this.#there(partitions);
    const committed = await committedOf(places);
    const open = places.filter((_, i) => committed[i] === null);
    const starts = await this.#starts(open, from);
    if (this.#closed || change !== this.#changes) return;
    const offsets = places.map((one, i) => committed[i]?.offset ?? starts[open.indexOf(one)] ?? null);
    this.#begin(places, offsets, committed);
    if (subscription.absence !== null) onTopicsChanged();
  }

  /** Goes back to what is committed, or to where it began. */
  async rewind(): Promise<void> {
    this.release();
    this.positions.forgetLost();
    await this.assign(this.#assigned);
  }

  /** See `seek` of the consumer. */
  async seek(to: StartPosition | readonly PartitionOffset[], doing: string): Promise<void> {
    const { cluster, isolationLevel, queue } = this.#options;
    const { places } = this.positions;
    if (places.length === 0)
      throw new DirectError('INVALID_ARGUMENT', 'no partitions are assigned', { doing, todo: 'pull first' });
    const change = this.#changes;
    const offsets = isOffsets(to)
      ? this.positions.beside(to, (one) => queue.firstOffset(one)).map(({ offset }) => offset)
      : await offsetsAt(cluster, places, to, isolationLevel);
    if (this.#closed || !this.#isReading || change !== this.#changes)
      throw new DirectError('BROKER', 'the partitions have changed meanwhile', { doing, retriable: true });
    this.release();
    this.positions.forgetLost();
    this.#begin(places, offsets, []);
  }

  /** Without a group, when others are subscribed to: what was read goes on where it is. */
  async resubscribe(): Promise<void> {
    const { queue, from } = this.#options;
    const wanted = this.#wanted();
    const places = this.#there(wanted);
    const starts = await this.#starts(places, from);
    if (this.#closed) return;
    const now = this.positions.beside([], (one) => queue.firstOffset(one));
    const offsets = places.map(
      (one, i) => now.find((other) => isSamePlace(one, other))?.offset ?? starts[i] ?? null,
    );
    this.release();
    this.#assigned = wanted;
    this.#begin(places, offsets, []);
  }

  /**
   * Goes by the topics as they are now: those that are gone are read no more, what was added, or made anew, from its beginning. Rejects with
   * UNKNOWN_TOPIC_OR_PARTITION when none is there.
   */
  async refresh(): Promise<void> {
    const { subscription } = this.#options;
    if (!this.#isReading) return;
    const change = this.#changes;
    await subscription.refresh();
    if (this.#closed) return;
    if (change === this.#changes) await this.#follow();
    if (subscription.absence !== null) throw subscription.absence;
  }

  async #follow(): Promise<void> {
    const { subscription, which } = this.#options;
    this.#dropGone();
    const change = this.#changes;
    if (which !== 'assigned') this.#assigned = this.#wanted();
    const { places } = this.positions;
    const isAdded = (one: TopicPartition) =>
      one.partition < one.handle.partitions && !places.some((other) => isSamePlace(one, other));
    const added = this.#there(this.#assigned).filter(isAdded);
    const starts = await this.#starts(added, 'earliest');
    if (this.#closed || change !== this.#changes) return;
    if (added.length > 0) {
      this.#changes++;
      const readings = readingsOf(added, starts, [], true);
      this.positions.add(readings);
      this.#fetch(readings);
    }
    subscription.watch();
  }

  /** What was fetched of topics that are gone cannot be had any more, or will come again. */
  #dropGone(): void {
    const { subscription, queue, getter, onEvents } = this.#options;
    const gone = this.positions.drop(({ handle }) => !subscription.has(handle));
    if (gone.length === 0) return;
    this.#changes++;
    queue.forget((one) => gone.some((other) => isSamePartition(one, other)));
    getter.forgetUnwanted();
    onEvents();
  }

  /** The partitions are others' from now on. */
  revoke(): void {
    this.#assigned = [];
    this.release();
  }

  /** Hands nothing out any more; what was acknowledged can be committed still. */
  stop(): void {
    this.#changes++;
    this.#isReading = false;
    this.positions.stop();
    this.#fetcher.giveUp();
    this.#forgetFetched();
  }

  /** Forgets what was fetched, and where it is. */
  release(): void {
    this.stop();
    this.positions.release();
  }

  /** Nothing is fetched any more; what was can be pulled. */
  end(): void {
    this.#closed = true;
    this.#options.subscription.end();
    this.#fetcher.close();
  }

  /** As `end`, and nothing can be pulled. */
  close(): void {
    this.end();
    this.#forgetFetched();
  }

  #forgetFetched(): void {
    const { queue, getter, onEvents } = this.#options;
    queue.clear();
    getter.forgetUnwanted();
    onEvents();
  }

  /** Without a group. */
  #wanted(): AssignedPartition[] {
    const { subscription, which } = this.#options;
    return subscription.partitions(which === 'assigned' ? [] : which);
  }

  /** Of topics that are there; partitions that were named have to be there, too. */
  #there(partitions: readonly AssignedPartition[]): TopicPartition[] {
    const { subscription, which } = this.#options;
    const isNamed = Array.isArray(which);
    return partitions.flatMap(({ topic, partition }) => {
      const handle = subscription.find(topic);
      if (handle === null || !(isNamed || partition < handle.partitions)) return [];
      return [{ handle, topic, partition }];
    });
  }

  /** Null where nobody can tell it now. */
  async #starts(partitions: readonly TopicPartition[], from: StartPosition): Promise<(bigint | null)[]> {
    const { cluster, isolationLevel } = this.#options;
    try {
      return await offsetsKnownAt(cluster, partitions, from, isolationLevel);
    } catch (error) {
      throw mayPass(error);
    }
  }

  /** Fetches from these offsets on; null: from where the partition is to begin, once somebody can tell. */
  #begin(
    places: readonly TopicPartition[],
    offsets: readonly (bigint | null)[],
    committed: readonly (PartitionOffset | null)[],
  ): void {
    const readings = readingsOf(places, offsets, committed);
    this.#isReading = true;
    this.positions.begin(readings);
    this.#fetch(readings);
    this.#options.subscription.watch();
  }

  #fetch(readings: readonly Reading[]): void {
    this.#fetcher.run(readings).catch((error: unknown) => {
      if (!readings.every(({ revoked }) => revoked)) this.#options.onFailed(error);
    });
  }
}

function readingsOf(
  places: readonly TopicPartition[],
  offsets: readonly (bigint | null)[],
  committed: readonly (PartitionOffset | null)[],
  isAdded = false,
): Reading[] {
  return places.map(({ handle, partition }, i) => ({
    handle,
    partition,
    fetchOffset: offsets[i] ?? null,
    leaderEpoch: committed[i]?.leaderEpoch ?? -1,
    isAdded,
    acknowledged: null,
    committed: committed[i]?.offset ?? null,
    revoked: false,
  }));
}

function isOffsets(to: StartPosition | readonly PartitionOffset[]): to is readonly PartitionOffset[] {
  return Array.isArray(to);
}

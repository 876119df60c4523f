import { MAX_TIMER_MS, monotonicMs } from '../util/clock.ts';
import type { Cluster } from './cluster.ts';
import {
  type CheckedConsumerOptions,
  type ConsumerOptions,
  checkConsumerOptions,
} from './consumer-options.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { ConsumerSelector } from './consumer-selector.ts';
import { type Abortable, aborted, asDirectError, checkSignal, DirectError, unlessAborted } from './errors.ts';
import type { Event } from './event.ts';
import { Getter } from './getter.ts';
import { type GroupIdentity, GroupMember } from './group.ts';
import type { PartitionOffset } from './group-offsets.ts';
import { type IsolationLevel, offsetsAt, offsetsKnownAt, type StartPosition } from './list-offsets.ts';
import { type DueOffsets, isSamePartition, Positions } from './positions.ts';
import { PrefetchQueue } from './prefetch-queue.ts';
import { RecordFetcher } from './record-fetcher.ts';
import { withRetries } from './retries.ts';
import { settles } from './settles.ts';
import type { TopicContext, TopicHandle } from './topic.ts';
import { TopicWatch } from './topic-watch.ts';
import { Turns } from './turns.ts';

const REBALANCE_TIMEOUT_MS = 60_000;

/** What a transaction commits for a consumer. */
export interface OffsetsToCommit extends DueOffsets {
  readonly identity: GroupIdentity;
}

/**
 * Pulls events: metadata is fetched ahead, and of each event the data that the selector selects, both within limits. Events of a partition come
 * in order. Connections that are lost are made again, and nothing is delivered twice by that.
 */
export class Consumer implements AsyncIterable<Event> {
  #topics: ReadonlyMap<string, TopicHandle>;
  readonly #openTopic: (name: string) => Promise<TopicHandle>;
  readonly #cluster: Cluster;
  readonly #options: CheckedConsumerOptions;
  readonly #isolationLevel: IsolationLevel;
  readonly #selector: ConsumerSelector;
  readonly #queue: PrefetchQueue;
  readonly #getter: Getter;
  readonly #fetcher: RecordFetcher;
  readonly #positions = new Positions();
  /** The partitions that it has, though it may be looked for yet where to begin in them. */
  #assigned: readonly AssignedPartition[] = [];
  /** Counts assignments: one that was overtaken by another while it was prepared is none. */
  #assignments = 0;
  #group: GroupMember | null = null;
  /** Without a group: of the topics that are read, unless their partitions were given. */
  readonly #watch: TopicWatch;
  #commitTimer: NodeJS.Timeout | null = null;
  #started = false;
  /** Without a group: when its partitions are read, or cannot be. */
  #starting: Promise<void> = Promise.resolve();
  #closed = false;
  /** Null: nobody has closed it. */
  #closing: Promise<void> | null = null;
  #failure: DirectError | null = null;
  #wakePull: () => void = () => undefined;
  /** Pulls take events in the order in which they were called. */
  readonly #pulls = new Turns();
  /** Each joins a group again, as the only member. */
  readonly #subscriptions = new Turns();

  constructor(topics: readonly TopicHandle[], context: TopicContext, options: ConsumerOptions) {
    const { cluster, pool, code, openTopic } = context;
    this.#options = checkConsumerOptions(options);
    this.#topics = byName(topics);
    this.#openTopic = openTopic;
    this.#cluster = cluster;
    this.#isolationLevel = options.isolation === 'uncommitted' ? 0 : 1;
    this.#watch = new TopicWatch(cluster, () => void this.#readAdded().catch(() => undefined));
    const { prefetchBytes, prefetchDataBytes, broker, maxWaitMs, from, select, groupId } = this.#options;
    this.#selector = new ConsumerSelector(select, groupId, cluster, code);
    const limits = { metadataBytes: prefetchBytes, dataBytes: prefetchDataBytes };
    this.#queue = new PrefetchQueue({
      limits,
      select: this.#selector.select,
      broker,
      onRoom: () => this.#fetcher.wake(),
      onDamaged: (error) => this.#fail(error),
    });
    this.#getter = new Getter(cluster, pool);
    this.#fetcher = new RecordFetcher({
      cluster,
      getter: this.#getter,
      queue: this.#queue,
      isolationLevel: this.#isolationLevel,
      maxWaitMs,
      from,
      onAcknowledge: (reading, offset) => this.#positions.acknowledge(reading, offset),
      onEvents: () => this.#wakePull(),
    });
  }

  /** The partitions that it reads now. */
  get assignment(): AssignedPartition[] {
    return this.#positions.partitions;
  }

  /** Why it has ended: what every pull rejects with, once what was fetched before is pulled. Null: it goes on. */
  get failure(): DirectError | null {
    return this.#failure;
  }

  /** What was fetched ahead, in bytes: metadata, and selected data that is here or under way. */
  get prefetched(): { metadataBytes: number; dataBytes: number; events: number } {
    const { metadataBytes, dataBytes, size } = this.#queue;
    return { metadataBytes, dataBytes, events: size };
  }

  /**
   * The next event, with its selected data; null when `timeoutMs` passes before there is one, which loses nothing: the next pull gets it. Rejects
   * with a DirectError when its data cannot be had; the pull after that gets the event behind it.
   */
  pull(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Event | null> {
    if (this.#pulls.isFree && options.signal === undefined && !this.#closed) {
      const event = this.#queue.takeReady();
      if (event !== null) return Promise.resolve(event);
    }
    return this.#pull(options);
  }

  /** Events, one after the other, until the consumer is closed; rejects with ABORTED when the signal says so. */
  async *events({ signal }: Abortable = {}): AsyncGenerator<Event, void, undefined> {
    while (!this.#closed) {
      const event = await this.pull(signal === undefined ? {} : { signal }).catch((error: unknown) => {
        if (this.#closed) return null;
        throw error;
      });
      if (event === null) return;
      yield event;
    }
  }

  /** Ends when the consumer is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Event> {
    return this.events();
  }

  /** Commits what was acknowledged, of the group's partitions that are still this member's. */
  commit({ signal }: Abortable = {}): Promise<void> {
    return unlessAborted(() => this.#commit(), 'commit', signal);
  }

  async #commit(): Promise<void> {
    if (this.#group === null) return;
    if (this.#options.commitEveryMs === 'transaction')
      throw new DirectError('INVALID_ARGUMENT', 'its offsets are committed by transactions', {
        doing: 'commit',
        todo: 'call sendOffsets of the transaction',
      });
    const { offsets, handedOver } = this.#positions.due();
    await this.#group.commit(offsets);
    handedOver();
  }

  /**
   * For `sendOffsets` of a transaction, which takes these offsets to the group.
   * @throws DirectError FENCED when events were taken whose partitions are another member's by now: the transaction has to be aborted
   */
  offsetsToCommit(): OffsetsToCommit {
    const doing = 'send offsets';
    if (this.#group === null || this.#options.commitEveryMs !== 'transaction')
      throw new DirectError('INVALID_ARGUMENT', 'the consumer commits by itself', {
        doing,
        todo: 'give it a groupId and commitEveryMs "transaction", and pull first',
      });
    if (this.#positions.takeLost())
      throw new DirectError('FENCED', 'partitions whose events were taken have gone to another member', {
        doing,
        todo: 'abort the transaction; what it did is done again by the other member',
      });
    return { identity: this.#group.identity, ...this.#positions.due() };
  }

  /**
   * Goes back to what is committed, or to where it began: after a transaction was aborted, its events are pulled again. What was
   * acknowledged since is forgotten.
   */
  rewind({ signal }: Abortable = {}): Promise<void> {
    return unlessAborted(() => this.#rewind(), 'rewind', signal);
  }

  async #rewind(): Promise<void> {
    this.#release();
    this.#positions.forgetLost();
    await this.#assign(this.#assigned);
  }

  /**
   * Goes on elsewhere: the next pull gets the event there. What was acknowledged and is not committed is forgotten. A group's offsets are where they
   * were until events are acknowledged. Rejects with INVALID_ARGUMENT for a partition that this consumer has not, and for a member of a group that has
   * none yet.
   * @param to for all of its partitions; or offsets for some of them, while the others go on where they are
   */
  seek(to: StartPosition | readonly PartitionOffset[], { signal }: Abortable = {}): Promise<void> {
    return unlessAborted(() => this.#seek(to), 'seek', signal);
  }

  async #seek(to: StartPosition | readonly PartitionOffset[]): Promise<void> {
    const doing = 'seek';
    if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
    if (this.#options.groupId === undefined) {
      this.#start();
      await this.#starting;
    }
    if (this.#failure !== null) throw this.#failure;
    const { partitions } = this.#positions;
    if (partitions.length === 0)
      throw new DirectError('INVALID_ARGUMENT', 'no partitions are assigned', { doing, todo: 'pull first' });
    const assignment = this.#assignments;
    const offsets = isOffsets(to)
      ? this.#positions.beside(to, (one) => this.#queue.firstOffset(one)).map(({ offset }) => offset)
      : await offsetsAt(this.#cluster, partitions, to, this.#isolationLevel);
    if (this.#closed || assignment !== this.#assignments)
      throw new DirectError('BROKER', 'the partitions have changed meanwhile', { doing, retriable: true });
    this.#release();
    this.#positions.forgetLost();
    this.#read(partitions, offsets, []);
  }

  /**
   * Reads these topics from now on, in place of those before, each as its form is now. Partitions that stay go on where they are; a group commits what was
   * acknowledged, and assigns anew.
   */
  subscribe(topics: readonly string[], { signal }: Abortable = {}): Promise<void> {
    const subscribe = async () => {
      await this.#subscriptions.take(null, undefined);
      await this.#subscribe(topics).finally(() => this.#subscriptions.give());
    };
    return unlessAborted(subscribe, 'subscribe', signal);
  }

  async #subscribe(names: readonly string[]): Promise<void> {
    const doing = 'subscribe';
    if (this.#options.partitions !== undefined)
      throw new DirectError('INVALID_ARGUMENT', 'its partitions were given', {
        doing,
        todo: 'make another consumer',
      });
    const topics = byName(await Promise.all(names.map((name) => this.#openTopic(name))));
    if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
    if (this.#group !== null) {
      await this.#revoke();
      await this.#group.close();
      if (this.#closed) return;
      this.#topics = topics;
      this.#join(this.#options.groupId!);
    } else if (this.#started) {
      await this.#starting;
      this.#topics = topics;
      await this.#readOn(this.#options.from);
    } else {
      this.#topics = topics;
    }
  }

  /** Without a group: partitions that were added, too, from their beginning. */
  async #readAdded(): Promise<void> {
    await this.#subscriptions.take(null, undefined);
    try {
      if (!this.#closed && this.#wanted().length > this.#assigned.length) await this.#readOn('earliest');
    } finally {
      this.#subscriptions.give();
    }
  }

  /**
   * Without a group: all that is wanted, from where it is read.
   * @param from where what was not assigned before begins
   */
  async #readOn(from: StartPosition): Promise<void> {
    const before = this.#assigned;
    const isOld = (one: AssignedPartition) => before.some((other) => isSamePartition(one, other));
    const wanted = this.#wanted();
    const old = wanted.filter(isOld);
    const added = wanted.filter((one) => !isOld(one));
    const all = [...old, ...added];
    const found = await Promise.all([
      offsetsKnownAt(this.#cluster, old, this.#options.from, this.#isolationLevel),
      offsetsKnownAt(this.#cluster, added, from, this.#isolationLevel),
    ]);
    const starts = found.flat();
    const now = this.#positions.beside([], (one) => this.#queue.firstOffset(one));
    this.#assigned = all;
    this.#release();
    const offsets = all.map(
      (one, i) => now.find((other) => isSamePartition(one, other))?.offset ?? starts[i] ?? null,
    );
    this.#read(all, offsets, []);
    this.#watchTopics();
  }

  #watchTopics(): void {
    if (this.#closed || this.#options.partitions !== undefined) return;
    const counts = [...this.#topics.values()].map(({ name, partitions }) => [name, partitions] as const);
    this.#watch.watch(new Map(counts));
  }

  /**
   * Commits what was acknowledged, leaves the group, and ends pulls that wait. Selected data lands nowhere any more when it resolves. A signal ends the wait
   * alone.
   */
  close({ signal }: Abortable = {}): Promise<void> {
    this.#closing ??= this.#close();
    const closing = this.#closing;
    return unlessAborted(() => closing, 'close the consumer', signal);
  }

  async #close(): Promise<void> {
    this.#closed = true;
    this.#watch.end();
    if (this.#commitTimer !== null) clearInterval(this.#commitTimer);
    this.#fetcher.close();
    this.#forgetFetched();
    await this.commit().catch(() => undefined);
    await this.#group?.close();
    await this.#queue.landed();
  }

  #forgetFetched(): void {
    this.#queue.clear();
    this.#getter.forgetUnwanted();
    this.#wakePull();
  }

  async #pull({ timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal }): Promise<Event | null> {
    const deadline = timeoutMs === undefined ? null : monotonicMs() + timeoutMs;
    checkSignal(signal, 'pull');
    if (await this.#pulls.take(timeoutMs ?? null, signal))
      return this.#next(deadline, signal).finally(() => this.#pulls.give());
    if (signal?.aborted) throw aborted('pull', signal);
    return null;
  }

  /** The next event, for one at a time. */
  async #next(deadline: number | null, signal: AbortSignal | undefined): Promise<Event | null> {
    const doing = 'pull';
    if (!this.#closed) this.#start();
    for (;;) {
      if (signal?.aborted) throw aborted(doing, signal);
      if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
      const { head } = this.#queue;
      if (head?.isTold) return this.#queue.take();
      if (head === undefined && this.#failure !== null) throw this.#failure;
      const waitMs = deadline === null ? null : deadline - monotonicMs();
      if (waitMs !== null && waitMs <= 0) return null;
      const changed = new Promise<void>((resolve) => {
        this.#wakePull = resolve;
        void head?.ready.then(resolve);
      });
      await settles(changed, waitMs, signal);
    }
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const { groupId, commitEveryMs } = this.#options;
    if (groupId === undefined) {
      const deadline = monotonicMs() + this.#cluster.options.requestTimeoutMs;
      this.#starting = withRetries(deadline, async () => {
        if (this.#closed) return;
        await this.#selector.refresh();
        await this.#assign(this.#wanted());
        this.#watchTopics();
      }).catch((error: unknown) => this.#fail(error));
      return;
    }
    this.#join(groupId);
    if (typeof commitEveryMs === 'number') {
      const commit = () => {
        if (this.#cluster.isClosed) clearInterval(this.#commitTimer!);
        else this.commit().catch(() => undefined);
      };
      this.#commitTimer = setInterval(commit, Math.min(commitEveryMs, MAX_TIMER_MS));
      this.#commitTimer.unref();
    }
  }

  #join(groupId: string): void {
    const topics = [...this.#topics.keys()];
    const { sessionTimeoutMs, heartbeatMs } = this.#options;
    this.#group = new GroupMember(
      { groupId, topics, sessionTimeoutMs, heartbeatMs, rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS },
      this.#cluster,
      {
        revoked: () => this.#revoke(),
        assigned: async (partitions) => {
          await this.#selector.refresh();
          await this.#assign(partitions);
        },
        stays: () => this.#renewSelector(),
        failed: (error) => this.#fail(error),
      },
    );
    this.#group.start();
  }

  /** A group that goes on may have another selector by now. */
  #renewSelector(): void {
    this.#selector.refresh().catch((error: unknown) => {
      const isPassing = error instanceof DirectError && error.retriable;
      if (!isPassing) this.#fail(error);
    });
  }

  /** Without a group. */
  #wanted(): AssignedPartition[] {
    return [...this.#topics.values()].flatMap(({ name, partitions: count }) =>
      (this.#options.partitions ?? Array.from({ length: count }, (_, i) => i)).map((partition) => ({
        topic: name,
        partition,
      })),
    );
  }

  async #assign(partitions: readonly AssignedPartition[]): Promise<void> {
    const assignment = ++this.#assignments;
    this.#assigned = partitions;
    this.#fetcher.connect(partitions).catch(() => undefined);
    const committed = (await this.#group?.committed(partitions)) ?? partitions.map(() => null);
    const open = partitions.filter((_, i) => committed[i] === null);
    const starts = await offsetsKnownAt(this.#cluster, open, this.#options.from, this.#isolationLevel);
    if (this.#closed || assignment !== this.#assignments) return;
    const offsets = partitions.map((one, i) => committed[i] ?? starts[open.indexOf(one)] ?? null);
    this.#read(partitions, offsets, committed);
  }

  /** Fetches from these offsets on; null: from where the partition is to begin, once somebody can tell. */
  #read(
    partitions: readonly AssignedPartition[],
    offsets: readonly (bigint | null)[],
    committed: readonly (bigint | null)[],
  ): void {
    const readings = partitions.map(({ topic, partition }, i) => ({
      handle: this.#topics.get(topic)!,
      partition,
      fetchOffset: offsets[i] ?? null,
      acknowledged: null,
      committed: committed[i] ?? null,
      revoked: false,
    }));
    this.#positions.begin(readings);
    this.#fetcher.run(readings).catch((error: unknown) => {
      if (!readings.every(({ revoked }) => revoked)) this.#fail(error);
    });
  }

  /** Others will have the partitions: commits, and forgets what was fetched. */
  async #revoke(): Promise<void> {
    if (this.#options.commitEveryMs === 'transaction') this.#positions.lose();
    else await this.commit().catch(() => undefined);
    this.#assigned = [];
    this.#release();
  }

  #release(): void {
    this.#assignments++;
    this.#positions.release();
    this.#fetcher.giveUp();
    this.#forgetFetched();
  }

  #fail(error: unknown): void {
    this.#failure ??= asDirectError(error, 'pull');
    this.#wakePull();
  }
}

function isOffsets(to: StartPosition | readonly PartitionOffset[]): to is readonly PartitionOffset[] {
  return Array.isArray(to);
}

function byName(topics: readonly TopicHandle[]): ReadonlyMap<string, TopicHandle> {
  return new Map(topics.map((topic) => [topic.name, topic]));
}

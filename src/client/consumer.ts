import { MAX_TIMER_MS, monotonicMs } from '../util/clock.ts';
import type { Cluster } from './cluster.ts';
import {
  type CheckedConsumerOptions,
  type ConsumerOptions,
  checkConsumerOptions,
} from './consumer-options.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { ConsumerSelector } from './consumer-selector.ts';
import {
  type Abortable,
  aborted,
  asDirectError,
  checkSignal,
  DirectError,
  mayPass,
  unlessAborted,
} from './errors.ts';
import type { Event } from './event.ts';
import { Getter } from './getter.ts';
import { type GroupIdentity, GroupMember } from './group.ts';
import type { PartitionOffset } from './group-offsets.ts';
import type { StartPosition } from './list-offsets.ts';
import { PartitionReader } from './partition-reader.ts';
import type { DueOffsets, Positions } from './positions.ts';
import { PrefetchQueue } from './prefetch-queue.ts';
import { withRetries } from './retries.ts';
import { settles } from './settles.ts';
import { Subscription } from './subscription.ts';
import type { TopicContext, TopicHandle } from './topic.ts';
import { Turns } from './turns.ts';

const REBALANCE_TIMEOUT_MS = 60_000;
const NO_OPTIONS: PullOptions = {};

export interface PullOptions {
  /** Default: for as long as it takes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What a transaction commits for a consumer. */
export interface OffsetsToCommit extends DueOffsets {
  readonly identity: GroupIdentity;
}

/**
 * Pulls events: metadata is fetched ahead, and of each event the data that the selector selects, both within limits. Events of a partition come
 * in order. Connections that are lost are made again, and nothing is delivered twice by that.
 */
export class Consumer implements AsyncIterable<Event> {
  readonly #subscription: Subscription;
  readonly #cluster: Cluster;
  readonly #options: CheckedConsumerOptions;
  readonly #selector: ConsumerSelector;
  readonly #queue: PrefetchQueue;
  readonly #reader: PartitionReader;
  readonly #positions: Positions;
  #group: GroupMember | null = null;
  #commitTimer: NodeJS.Timeout | null = null;
  #started = false;
  /** Without a group: when its partitions are read, or cannot be. */
  #starting: Promise<void> = Promise.resolve();
  #closed = false;
  /** Null: nobody has closed it. */
  #closing: Promise<void> | null = null;
  #failure: DirectError | null = null;
  /** Null: it has not told its failure yet, or has none. */
  #leaving: Promise<void> | null = null;
  #wakePull: () => void = () => undefined;
  /** Pulls take events in the order in which they were called. */
  readonly #pulls = new Turns();
  /** Each joins a group again, as the only member. */
  readonly #subscriptions = new Turns();
  /** Looks at topics that are not as they were. */
  #refreshing: Promise<void> | null = null;

  constructor(topics: readonly TopicHandle[], context: TopicContext, options: ConsumerOptions) {
    const { cluster, pool, code, openTopic } = context;
    this.#options = checkConsumerOptions(options);
    this.#cluster = cluster;
    const { prefetchBytes, prefetchDataBytes, broker, maxWaitMs, from, select, groupId, partitions } =
      this.#options;
    const onTopicsChanged = () => this.#topicsChanged();
    this.#subscription = new Subscription(cluster, openTopic, onTopicsChanged);
    this.#subscription.use(topics);
    this.#selector = new ConsumerSelector(select, groupId, cluster, code);
    const limits = { metadataBytes: prefetchBytes, dataBytes: prefetchDataBytes };
    this.#queue = new PrefetchQueue({
      limits,
      select: this.#selector.select,
      broker,
      onRoom: () => this.#reader.wake(),
      onDamaged: (error) => this.#fail(error),
    });
    this.#reader = new PartitionReader({
      cluster,
      subscription: this.#subscription,
      queue: this.#queue,
      getter: new Getter(cluster, pool),
      isolationLevel: options.isolation === 'uncommitted' ? 0 : 1,
      maxWaitMs,
      from,
      which: groupId === undefined ? partitions : 'assigned',
      committed: async (some) => (await this.#group?.committed(some)) ?? some.map(() => null),
      onEvents: () => this.#wakePull(),
      onTopicsChanged,
      onFailed: (error) => this.#fail(error),
    });
    this.#positions = this.#reader.positions;
  }

  /** The partitions that it reads now. */
  get assignment(): AssignedPartition[] {
    return this.#positions.partitions;
  }

  /**
   * Why it has ended: what every pull rejects with, once what was fetched before is pulled. The first that does has it commit, and leave its group. Null: it
   * goes on.
   */
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
  pull(options: PullOptions = NO_OPTIONS): Promise<Event | null> {
    const event = options.signal === undefined ? this.#takeReady() : null;
    return event === null ? this.#pull(options) : Promise.resolve(event);
  }

  /** The next event, if it is there and nobody waits for it. */
  #takeReady(): Event | null {
    return this.#pulls.isFree && !this.#closed ? this.#queue.takeReady() : null;
  }

  /** Events, one after the other, until the consumer is closed; rejects with ABORTED when the signal says so. */
  async *events({ signal }: Abortable = {}): AsyncGenerator<Event, void, undefined> {
    while (!this.#closed) {
      // Without a promise of its own.
      const ready = signal?.aborted ? null : this.#takeReady();
      if (ready !== null) {
        yield ready;
        continue;
      }
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
    const rewind = async () => {
      if (this.#failure !== null) throw this.#failure;
      await this.#reader.rewind();
    };
    return unlessAborted(rewind, 'rewind', signal);
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
    await this.#reader.seek(to, doing);
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
    const topics = await this.#subscription.open(names);
    if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
    if (this.#failure !== null) throw this.#failure;
    if (this.#group !== null) {
      await this.#revoke();
      await this.#group.close();
      if (this.#closed) return;
      if (this.#failure !== null) throw this.#failure;
      this.#subscription.use(topics);
      this.#join(this.#options.groupId!);
    } else if (this.#started) {
      await this.#starting;
      this.#subscription.use(topics);
      await this.#reader.resubscribe();
    } else {
      this.#subscription.use(topics);
    }
  }

  #topicsChanged(): void {
    if (this.#failure !== null) return;
    this.#refreshing ??= this.#refresh()
      // Whoever notices it again tries again.
      .catch((error: unknown) => this.#failUnlessPassing(error))
      .finally(() => {
        this.#refreshing = null;
      });
  }

  /** With none of them there it ends; but one may be about to be made anew. */
  #refresh(): Promise<void> {
    const deadline = monotonicMs() + this.#cluster.options.requestTimeoutMs;
    return withRetries(deadline, () =>
      this.#refreshOnce().catch((error: unknown) => {
        throw monotonicMs() < deadline ? mayPass(error) : error;
      }),
    );
  }

  async #refreshOnce(): Promise<void> {
    await this.#subscriptions.take(null, undefined);
    try {
      if (!this.#closed) await this.#reader.refresh();
    } finally {
      this.#subscriptions.give();
    }
  }

  /**
   * Commits what was acknowledged, in several attempts for as long as an answer may take, leaves the group, and ends pulls that wait. Selected data lands nowhere any more when it resolves. A signal ends the wait
   * alone.
   */
  close({ signal }: Abortable = {}): Promise<void> {
    this.#closing ??= this.#close();
    const closing = this.#closing;
    return unlessAborted(() => closing, 'close the consumer', signal);
  }

  async #close(): Promise<void> {
    this.#closed = true;
    if (this.#commitTimer !== null) clearInterval(this.#commitTimer);
    this.#reader.close();
    await this.#leaving;
    await this.#commitAtLast();
    await this.#group?.close();
    await this.#queue.landed();
  }

  async #pull({ timeoutMs, signal }: PullOptions): Promise<Event | null> {
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
      if (head === undefined && this.#failure !== null) {
        this.#leaving ??= this.#leave();
        throw this.#failure;
      }
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
        await this.#reader.assignAll();
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
    const topics = this.#subscription.names;
    const { sessionTimeoutMs, heartbeatMs } = this.#options;
    this.#group = new GroupMember(
      { groupId, topics, sessionTimeoutMs, heartbeatMs, rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS },
      this.#cluster,
      {
        revoked: () => this.#revoke(),
        prepare: () => this.#selector.refresh(),
        assigned: (partitions) => this.#reader.assign(partitions),
        stays: () => this.#renewSelector(),
        failed: (error) => this.#fail(error),
      },
    );
    this.#group.start();
  }

  /** A group that goes on may have another selector by now. */
  #renewSelector(): void {
    this.#selector.refresh().catch((error: unknown) => this.#failUnlessPassing(error));
  }

  /** Others will have the partitions: hands nothing out of them any more, commits, and forgets where they are. */
  async #revoke(): Promise<void> {
    this.#reader.stop();
    if (this.#options.commitEveryMs === 'transaction') this.#positions.lose();
    else await this.#commitAtLast();
    this.#reader.revoke();
  }

  /** It has ended, and nobody pulls what was fetched before: others get its partitions. */
  async #leave(): Promise<void> {
    if (this.#commitTimer !== null) clearInterval(this.#commitTimer);
    await this.#revoke();
    await this.#group?.close();
  }

  /** While the partitions are still this member's: what is not committed then is delivered again. */
  #commitAtLast(): Promise<void> {
    const deadline = monotonicMs() + this.#cluster.options.requestTimeoutMs;
    const commit = async () => {
      await this.commit();
      // Meanwhile, of what had been pulled.
      if (this.#positions.due().offsets.length > 0) await this.commit();
    };
    return withRetries(deadline, commit).catch(() => undefined);
  }

  #failUnlessPassing(error: unknown): void {
    const isPassing = error instanceof DirectError && error.retriable;
    if (!isPassing) this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = asDirectError(error, 'pull');
    this.#reader.end();
    this.#wakePull();
  }
}

import type { Cluster } from './cluster.ts';
import {
  type CheckedConsumerOptions,
  type ConsumerOptions,
  checkConsumerOptions,
} from './consumer-options.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { aborted, asDirectError, DirectError } from './errors.ts';
import type { Event } from './event.ts';
import { Getter } from './getter.ts';
import { type GroupIdentity, GroupMember } from './group.ts';
import type { PartitionOffset } from './group-offsets.ts';
import { type IsolationLevel, offsetsAt } from './list-offsets.ts';
import { PrefetchQueue } from './prefetch-queue.ts';
import { type Reading, RecordFetcher } from './record-fetcher.ts';
import { selectorOf } from './selection.ts';
import type { SharedPool } from './shared-memory.ts';
import type { TopicHandle } from './topic.ts';

const REBALANCE_TIMEOUT_MS = 60_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What a transaction commits for a consumer. */
export interface OffsetsToCommit {
  readonly identity: GroupIdentity;
  readonly offsets: readonly PartitionOffset[];
  /** To be called when they are committed, or part of a transaction: from then on they are not this consumer's concern. */
  readonly handedOver: () => void;
}

/**
 * Pulls events: metadata is fetched ahead, and of each event the data that the selector selects, both within limits. Events of a partition come
 * in order. Connections that are lost are made again, and nothing is delivered twice by that.
 */
export class Consumer implements AsyncIterable<Event> {
  readonly #topics: ReadonlyMap<string, TopicHandle>;
  readonly #cluster: Cluster;
  readonly #options: CheckedConsumerOptions;
  readonly #isolationLevel: IsolationLevel;
  readonly #queue: PrefetchQueue;
  readonly #fetcher: RecordFetcher;
  #readings: readonly Reading[] = [];
  /** Counts assignments: one that was overtaken by another while it was prepared is none. */
  #assignments = 0;
  #group: GroupMember | null = null;
  #commitTimer: NodeJS.Timeout | null = null;
  #started = false;
  #closed = false;
  #failure: DirectError | null = null;
  /** Events were taken whose partitions have gone to another member before a transaction had their offsets. */
  #hasLostOffsets = false;
  /** One pull waits at a time. */
  #wakePull: () => void = () => undefined;
  /** Pulls that wait. */
  #pulls = 0;
  /** They take events in the order in which they were called. */
  #pulling: Promise<unknown> = Promise.resolve();

  constructor(topics: readonly TopicHandle[], cluster: Cluster, pool: SharedPool, options: ConsumerOptions) {
    this.#options = checkConsumerOptions(options);
    this.#topics = new Map(topics.map((topic) => [topic.name, topic]));
    this.#cluster = cluster;
    this.#isolationLevel = options.isolation === 'uncommitted' ? 0 : 1;
    const { prefetchBytes, prefetchDataBytes, select = 'none', broker, maxWaitMs, from } = this.#options;
    const limits = { metadataBytes: prefetchBytes, dataBytes: prefetchDataBytes };
    this.#queue = new PrefetchQueue({
      limits,
      select: selectorOf(select),
      broker,
      onRoom: () => this.#fetcher.wake(),
      onDamaged: (error) => this.#fail(error),
    });
    this.#fetcher = new RecordFetcher({
      cluster,
      getter: new Getter(cluster, pool),
      queue: this.#queue,
      isolationLevel: this.#isolationLevel,
      maxWaitMs,
      from,
      onAcknowledge: (reading, offset) => this.#acknowledge(reading, offset),
      onEvents: () => this.#wakePull(),
    });
  }

  /** The partitions that it reads now. */
  get assignment(): AssignedPartition[] {
    return this.#readings.map(({ handle, partition }) => ({ topic: handle.name, partition }));
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
    if (this.#pulls === 0 && options.signal === undefined && !this.#closed) {
      const event = this.#queue.takeReady();
      if (event !== null) return Promise.resolve(event);
    }
    this.#pulls++;
    const pulled = this.#pulling.then(() => this.#pull(options)).finally(() => this.#pulls--);
    this.#pulling = pulled.catch(() => undefined);
    return pulled;
  }

  /** Ends when the consumer is closed. */
  async *[Symbol.asyncIterator](): AsyncIterator<Event> {
    while (!this.#closed) {
      const event = await this.pull().catch((error: unknown) => {
        if (this.#closed) return null;
        throw error;
      });
      if (event === null) return;
      yield event;
    }
  }

  /** Commits what was acknowledged, of the group's partitions that are still this member's. */
  async commit(): Promise<void> {
    if (this.#group === null) return;
    if (this.#options.commitEveryMs === 'transaction')
      throw new DirectError('INVALID_ARGUMENT', 'its offsets are committed by transactions', {
        doing: 'commit',
        todo: 'call sendOffsets of the transaction',
      });
    const { offsets, handedOver } = this.#due();
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
    if (this.#hasLostOffsets) {
      this.#hasLostOffsets = false;
      throw new DirectError('FENCED', 'partitions whose events were taken have gone to another member', {
        doing,
        todo: 'abort the transaction; what it did is done again by the other member',
      });
    }
    return { identity: this.#group.identity, ...this.#due() };
  }

  /**
   * Goes back to what is committed, or to where it began: after a transaction was aborted, its events are pulled again. What was
   * acknowledged since is forgotten.
   */
  async rewind(): Promise<void> {
    const partitions = this.assignment;
    this.#hasLostOffsets = false;
    this.#release();
    await this.#assign(partitions);
  }

  /** Commits what was acknowledged, leaves the group, and ends pulls that wait. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#commitTimer !== null) clearInterval(this.#commitTimer);
    await this.commit().catch(() => undefined);
    this.#closed = true;
    await this.#group?.close();
    this.#fetcher.close();
    this.#queue.clear();
    this.#wakePull();
  }

  async #pull({ timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal }): Promise<Event | null> {
    const doing = 'pull';
    this.#start();
    const deadline = timeoutMs === undefined ? null : Date.now() + timeoutMs;
    for (;;) {
      if (signal?.aborted) throw aborted(doing, signal);
      if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
      const { head } = this.#queue;
      if (head === undefined && this.#failure !== null) throw this.#failure;
      const waitMs = deadline === null ? null : deadline - Date.now();
      if (head !== undefined) {
        const isReady = head.isReady || (await settles(head.ready, waitMs, signal));
        if (this.#queue.head !== head) continue; // revoked meanwhile
        if (isReady) return this.#queue.take();
      } else if (waitMs === null || waitMs > 0) {
        const woken = new Promise<void>((resolve) => {
          this.#wakePull = resolve;
        });
        await settles(woken, waitMs, signal);
      }
      if (deadline !== null && Date.now() >= deadline) return null;
    }
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const { groupId, commitEveryMs, sessionTimeoutMs, heartbeatMs } = this.#options;
    if (groupId === undefined) {
      void this.#assign(this.#wanted()).catch((error: unknown) => this.#fail(error));
      return;
    }
    const topics = [...this.#topics.keys()];
    this.#group = new GroupMember(
      { groupId, topics, sessionTimeoutMs, heartbeatMs, rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS },
      this.#cluster,
      {
        revoked: () => this.#revoke(),
        assigned: (partitions) => this.#assign(partitions),
        failed: (error) => this.#fail(error),
      },
    );
    this.#group.start();
    if (typeof commitEveryMs === 'number') {
      this.#commitTimer = setInterval(() => void this.commit().catch(() => undefined), commitEveryMs);
      this.#commitTimer.unref();
    }
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
    this.#fetcher.connect(partitions).catch(() => undefined);
    const committed = (await this.#group?.committed(partitions)) ?? partitions.map(() => null);
    const open = partitions.filter((_, i) => committed[i] === null);
    const starts = await offsetsAt(this.#cluster, open, this.#options.from, this.#isolationLevel);
    if (this.#closed || assignment !== this.#assignments) return;
    const readings = partitions.map((one, i) => ({
      handle: this.#topics.get(one.topic)!,
      partition: one.partition,
      fetchOffset: committed[i] ?? starts[open.indexOf(one)]!,
      acknowledged: null,
      committed: committed[i] ?? null,
      revoked: false,
    }));
    this.#readings = readings;
    this.#fetcher.run(readings).catch((error: unknown) => this.#fail(error));
  }

  /** Others will have the partitions: commits, and forgets what was fetched. */
  async #revoke(): Promise<void> {
    if (this.#options.commitEveryMs === 'transaction')
      this.#hasLostOffsets ||= this.#due().offsets.length > 0;
    else await this.commit().catch(() => undefined);
    this.#release();
  }

  #release(): void {
    this.#assignments++;
    for (const one of this.#readings) one.revoked = true;
    this.#readings = [];
    this.#queue.clear();
  }

  #due(): Omit<OffsetsToCommit, 'identity'> {
    const due = this.#readings.filter(
      ({ acknowledged, committed }) => acknowledged !== null && acknowledged !== committed,
    );
    const offsets = due.map(({ handle, partition, acknowledged }) => ({
      topic: handle.name,
      partition,
      offset: acknowledged!,
    }));
    const handedOver = () => {
      for (const [i, one] of due.entries()) one.committed = offsets[i]!.offset;
    };
    return { offsets, handedOver };
  }

  #acknowledge(one: Reading, offset: bigint): void {
    if (one.revoked) this.#hasLostOffsets = true;
    if (one.acknowledged === null || offset >= one.acknowledged) one.acknowledged = offset + 1n;
  }

  #fail(error: unknown): void {
    this.#failure ??= asDirectError(error, 'pull');
    this.#wakePull();
  }
}

/** Whether `promise` settles in time. */
function settles(
  promise: Promise<void>,
  waitMs: number | null,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (waitMs === null && signal === undefined)
    return promise.then(
      () => true,
      () => true,
    );
  return new Promise((resolve) => {
    const end = (settled: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(settled);
    };
    const onAbort = () => end(false);
    const timer =
      waitMs === null ? undefined : setTimeout(() => end(false), Math.max(0, Math.min(waitMs, MAX_TIMER_MS)));
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.then(
      () => end(true),
      () => end(true),
    );
  });
}

import type { FetchResponsePartitionData } from '../protocol/generated/fetch-response.ts';
import { listOffsetsRequest } from '../protocol/generated/list-offsets-request.ts';
import { listOffsetsResponse } from '../protocol/generated/list-offsets-response.ts';
import type { Cluster } from './cluster.ts';
import { aborted, brokerError, DirectError } from './errors.ts';
import { Event } from './event.ts';
import { fetchRecords } from './fetch.ts';
import { type FetchedRecord, readFetched } from './fetched-batches.ts';
import { Getter } from './getter.ts';
import { type AssignedPartition, GroupMember } from './group.ts';
import {
  type DataDescriptor,
  type DataSelector,
  type DeclarativeSelector,
  rangesOf,
  type Selection,
  selectedBytes,
  selectorOf,
} from './selection.ts';
import type { SharedPool } from './shared-memory.ts';
import type { TopicHandle } from './topic.ts';

const LIST_OFFSETS_VERSION = 7;
const RETRY_MS = 100;
const EARLIEST = -2n;
const LATEST = -1n;
const OFFSET_OUT_OF_RANGE = 1;

export type StartPosition =
  | 'earliest'
  | 'latest'
  | { readonly timestamp: number }
  | { readonly offset: bigint };

/** Gives the memory that selected data lands in: `descriptor` says how much there is, `bytes` how much is selected. */
export type DataBroker = (metadata: unknown, descriptor: DataDescriptor, bytes: number) => Uint8Array;

export interface ConsumerOptions {
  /** Members of a group share the partitions, and go on where the group has committed. */
  groupId?: string;
  /** Without a group: these partitions of each topic; default all. */
  partitions?: readonly number[];
  /** Where to begin, in a group only where nothing is committed. Default earliest. */
  from?: StartPosition;
  /** What of each event's data is wanted by the time it is pulled; default none: `event.data()` gets it later. */
  select?: DataSelector | DeclarativeSelector | Selection;
  /** Where it lands; default memory of its own. */
  broker?: DataBroker;
  /** Metadata that is fetched ahead, in bytes; default 4 MiB. */
  prefetchBytes?: number;
  /** Selected data that is got ahead, in bytes; default 64 MiB. One event may exceed it. */
  prefetchDataBytes?: number;
  /** When acknowledged offsets of a group are committed: every so many milliseconds, or only by `commit`, at `close` and before partitions go to others. Default 5000. */
  commitEveryMs?: number | 'manual';
  /** Whether events of open and aborted transactions are seen; default committed only. */
  isolation?: 'committed' | 'uncommitted';
  /** Default 45 s. */
  sessionTimeoutMs?: number;
  /** Default 3 s. */
  heartbeatMs?: number;
  /** How long a fetch may wait for events at the gateway; default 500 ms. */
  maxWaitMs?: number;
}

/** A partition that this consumer reads. */
interface Assigned {
  readonly handle: TopicHandle;
  readonly partition: number;
  /** Where the next fetch goes on. */
  fetchOffset: bigint;
  /** Behind the last event that was acknowledged; null when none was. */
  acknowledged: bigint | null;
  committed: bigint | null;
  revoked: boolean;
}

interface Prefetched {
  readonly event: Event;
  readonly source: Assigned;
  readonly metadataBytes: number;
  readonly dataBytes: number;
  /** Of its selected data. */
  readonly ready: Promise<void>;
}

/**
 * Pulls events: metadata is fetched ahead, and of each event the data that the selector selects, both within limits. Events of a partition come
 * in order. Connections that are lost are made again, and nothing is delivered twice by that.
 */
export class Consumer implements AsyncIterable<Event> {
  readonly #topics: ReadonlyMap<string, TopicHandle>;
  readonly #cluster: Cluster;
  readonly #options: ConsumerOptions;
  readonly #getter: Getter;
  readonly #select: DataSelector;
  readonly #limits: { metadataBytes: number; dataBytes: number };
  readonly #queue: Prefetched[] = [];
  #assigned: Assigned[] = [];
  #metadataBytes = 0;
  #dataBytes = 0;
  #group: GroupMember | null = null;
  #commitTimer: NodeJS.Timeout | null = null;
  #started = false;
  #turns = 0;
  #closed = false;
  #failure: DirectError | null = null;
  #wakePull: (() => void)[] = [];
  #wakeFetch: (() => void)[] = [];
  #fetching: Promise<void> = Promise.resolve();
  /** Pulls take events in the order in which they were called. */
  #pulling: Promise<unknown> = Promise.resolve();

  constructor(topics: readonly TopicHandle[], cluster: Cluster, pool: SharedPool, options: ConsumerOptions) {
    this.#topics = new Map(topics.map((topic) => [topic.name, topic]));
    this.#cluster = cluster;
    this.#options = options;
    this.#getter = new Getter(cluster, pool);
    this.#select = selectorOf(options.select ?? 'none');
    this.#limits = {
      metadataBytes: options.prefetchBytes ?? 4 << 20,
      dataBytes: options.prefetchDataBytes ?? 64 << 20,
    };
    if (options.groupId !== undefined && options.partitions !== undefined)
      throw new DirectError('INVALID_ARGUMENT', 'a group assigns the partitions', {
        doing: 'make a consumer',
        todo: 'give either groupId or partitions',
      });
  }

  /** The partitions that it reads now. */
  get assignment(): AssignedPartition[] {
    return this.#assigned.map(({ handle, partition }) => ({ topic: handle.name, partition }));
  }

  /** What was fetched ahead, in bytes. */
  get prefetched(): { metadataBytes: number; dataBytes: number; events: number } {
    return { metadataBytes: this.#metadataBytes, dataBytes: this.#dataBytes, events: this.#queue.length };
  }

  /**
   * The next event, with its selected data; null when `timeoutMs` passes before there is one, which loses nothing: the next pull gets it. Rejects
   * with a DirectError when its data cannot be had; the pull after that gets the event behind it.
   */
  pull(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Event | null> {
    const pulled = this.#pulling.then(() => this.#pull(options));
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

  async #pull({ timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal }): Promise<Event | null> {
    const doing = 'pull';
    this.#start();
    const deadline = timeoutMs === undefined ? null : Date.now() + timeoutMs;
    for (;;) {
      if (signal?.aborted) throw aborted(doing, signal);
      if (this.#closed) throw new DirectError('CLOSED', 'the consumer is closed', { doing });
      const head = this.#queue[0];
      if (head === undefined && this.#failure !== null) throw this.#failure;
      const waitMs = deadline === null ? null : deadline - Date.now();
      if (head !== undefined) {
        const isReady = await this.#settles(head.ready, waitMs, signal);
        if (this.#queue[0] !== head) continue; // revoked meanwhile
        if (isReady) return this.#take(head);
      } else if (waitMs === null || waitMs > 0) {
        await this.#settles(new Promise<void>((resolve) => this.#wakePull.push(resolve)), waitMs, signal);
      }
      if (deadline !== null && Date.now() >= deadline) return null;
    }
  }

  /** Whether `promise` settles in time. */
  #settles(promise: Promise<void>, waitMs: number | null, signal: AbortSignal | undefined): Promise<boolean> {
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
        waitMs === null
          ? undefined
          : setTimeout(() => end(false), Math.max(0, Math.min(waitMs, 2 ** 31 - 1)));
      signal?.addEventListener('abort', onAbort, { once: true });
      promise.then(
        () => end(true),
        () => end(true),
      );
    });
  }

  async #take(head: Prefetched): Promise<Event> {
    this.#queue.shift();
    this.#metadataBytes -= head.metadataBytes;
    this.#dataBytes -= head.dataBytes;
    this.#wake();
    await head.ready;
    return head.event;
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const { groupId, commitEveryMs = 5_000 } = this.#options;
    if (groupId === undefined) {
      void this.#assignAll().catch((error: unknown) => this.#fail(error));
      return;
    }
    const { sessionTimeoutMs = 45_000, heartbeatMs = 3_000 } = this.#options;
    const topics = [...this.#topics.keys()];
    const rebalanceTimeoutMs = 60_000;
    this.#group = new GroupMember(
      { groupId, topics, sessionTimeoutMs, heartbeatMs, rebalanceTimeoutMs },
      this.#cluster,
      {
        revoked: () => this.#revoke(),
        assigned: (partitions) => this.#assign(partitions),
        failed: (error) => this.#fail(error),
      },
    );
    this.#group.start();
    if (commitEveryMs !== 'manual') {
      this.#commitTimer = setInterval(() => void this.commit().catch(() => undefined), commitEveryMs);
      this.#commitTimer.unref();
    }
  }

  async #assignAll(): Promise<void> {
    const wanted: AssignedPartition[] = [];
    for (const { name, partitions: count } of this.#topics.values()) {
      const indexes = this.#options.partitions ?? Array.from({ length: count }, (_, i) => i);
      for (const partition of indexes) wanted.push({ topic: name, partition });
    }
    await this.#assign(wanted);
  }

  async #assign(partitions: readonly AssignedPartition[]): Promise<void> {
    const committed = (await this.#group?.committed(partitions)) ?? partitions.map(() => null);
    const assigned: Assigned[] = [];
    for (const [i, { topic, partition }] of partitions.entries()) {
      const handle = this.#topics.get(topic)!;
      const from = committed[i] ?? (await this.#startOf(handle, partition));
      assigned.push({
        handle,
        partition,
        fetchOffset: from,
        acknowledged: null,
        committed: committed[i] ?? null,
        revoked: false,
      });
    }
    if (this.#closed) return;
    this.#assigned = assigned;
    const nodes = new Map<number, Assigned[]>();
    for (const one of assigned) {
      const node = await this.#cluster.leaderOf(one.handle.name, one.partition);
      nodes.set(node, [...(nodes.get(node) ?? []), one]);
    }
    this.#fetching = Promise.all([...nodes].map(([node, ones]) => this.#fetchFrom(node, ones))).then(
      () => undefined,
    );
    this.#fetching.catch((error: unknown) => this.#fail(error));
  }

  /** Others will have the partitions: commits, and forgets what was fetched. */
  async #revoke(): Promise<void> {
    await this.commit().catch(() => undefined);
    for (const one of this.#assigned) one.revoked = true;
    this.#assigned = [];
    for (const { metadataBytes, dataBytes } of this.#queue.splice(0)) {
      this.#metadataBytes -= metadataBytes;
      this.#dataBytes -= dataBytes;
    }
    this.#wake();
  }

  async #startOf(
    { name }: TopicHandle,
    partition: number,
    from = this.#options.from ?? 'earliest',
  ): Promise<bigint> {
    if (typeof from === 'object' && 'offset' in from) return from.offset;
    const timestamp = from === 'earliest' ? EARLIEST : from === 'latest' ? LATEST : BigInt(from.timestamp);
    const doing = `find where to begin in ${name}-${partition}`;
    const connection = await this.#cluster.connection(
      await this.#cluster.leaderOf(name, partition),
      'control',
    );
    const { topics } = await connection.call(
      listOffsetsRequest,
      listOffsetsResponse,
      {
        replicaId: -1,
        isolationLevel: this.#isolationLevel,
        topics: [{ name, partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }] }],
      },
      { version: LIST_OFFSETS_VERSION, doing },
    );
    const found = topics[0]?.partitions[0];
    if (found === undefined) throw new DirectError('BROKER', 'no answer', { doing });
    if (found.errorCode !== 0) throw brokerError(found.errorCode, null, doing);
    // Nothing is as new as the timestamp: what comes will be.
    return found.offset >= 0n ? found.offset : this.#startOf({ name } as TopicHandle, partition, 'latest');
  }

  get #isolationLevel(): number {
    return this.#options.isolation === 'uncommitted' ? 0 : 1;
  }

  /** Fetches from one gateway while its partitions are assigned. */
  async #fetchFrom(node: number, assigned: readonly Assigned[]): Promise<void> {
    while (!this.#closed && assigned.some(({ revoked }) => !revoked)) {
      if (this.#isFull()) {
        await new Promise<void>((resolve) => this.#wakeFetch.push(resolve));
        continue;
      }
      try {
        await this.#fetchOnce(
          node,
          assigned.filter(({ revoked }) => !revoked),
        );
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof DirectError && error.retriable)) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #isFull(): boolean {
    return this.#metadataBytes >= this.#limits.metadataBytes || this.#dataBytes >= this.#limits.dataBytes;
  }

  async #fetchOnce(node: number, assigned: readonly Assigned[]): Promise<void> {
    const maxBytes = Math.max(64 * 1024, this.#limits.metadataBytes - this.#metadataBytes);
    // So that one busy partition does not keep the others from their turn.
    const first = this.#turns++ % assigned.length;
    const turn = [...assigned.slice(first), ...assigned.slice(0, first)];
    const connection = await this.#cluster.connection(node, 'fetch');
    const { requestTimeoutMs } = this.#cluster.options;
    const answers = await fetchRecords(
      connection,
      turn.map((one) => ({ topic: one.handle.name, partition: one.partition, fetchOffset: one.fetchOffset })),
      {
        maxBytes,
        maxWaitMs: this.#options.maxWaitMs ?? 500,
        isolationLevel: this.#isolationLevel,
        requestTimeoutMs,
      },
    );
    for (const [topic, data] of answers) {
      const one = assigned.find(
        ({ handle, partition }) => handle.name === topic && partition === data.partitionIndex,
      );
      if (one === undefined || one.revoked) continue;
      if (data.errorCode === OFFSET_OUT_OF_RANGE) {
        // What was there has been deleted, or the position never was.
        const from = this.#options.from === 'latest' ? 'latest' : 'earliest';
        one.fetchOffset = await this.#startOf(one.handle, one.partition, from);
      } else if (data.errorCode !== 0) {
        throw brokerError(data.errorCode, null, `fetch ${topic}-${data.partitionIndex}`);
      } else {
        this.#accept(node, one, data);
      }
    }
  }

  #accept(node: number, one: Assigned, data: FetchResponsePartitionData): void {
    const bytes = data.records as Uint8Array | null;
    if (bytes === null || bytes.byteLength === 0) return;
    const { records, nextOffset } = readFetched(bytes, one.fetchOffset, data.abortedTransactions ?? []);
    for (const record of records) this.#prefetch(node, one, record, bytes.byteLength / records.length);
    one.fetchOffset = nextOffset;
    for (const wake of this.#wakePull.splice(0)) wake();
  }

  #prefetch(node: number, one: Assigned, record: FetchedRecord, metadataBytes: number): void {
    const event = this.#eventOf(node, one, record);
    let dataBytes = 0;
    const select = async () => {
      const { metadata, descriptor } = event;
      const selection = this.#select(metadata, descriptor);
      const doing = `select data of ${event.topic}-${event.partition} at ${event.offset}`;
      const ranges = rangesOf(selection, descriptor.size, doing);
      if (ranges === null) return;
      dataBytes = selectedBytes(ranges);
      const target = this.#options.broker?.(metadata, descriptor, dataBytes);
      await event.select(selection, target);
    };
    // Runs up to its first wait, so that `dataBytes` is known.
    const ready = select();
    ready.catch(() => undefined);
    this.#metadataBytes += metadataBytes;
    this.#dataBytes += dataBytes;
    this.#queue.push({ event, source: one, metadataBytes, dataBytes, ready });
  }

  #eventOf(node: number, one: Assigned, record: FetchedRecord): Event {
    const { offset, timestamp, key, headers, value, referenced } = record;
    const { handle: topic, partition } = one;
    const source =
      referenced === null
        ? ({ kind: 'inline', value } as const)
        : ({
            kind: 'reference',
            size: referenced,
            reference: value!,
            node,
            renew: () => this.#renew(node, topic.name, partition, offset),
          } as const);
    const parts = { topic, partition, offset, timestamp: Number(timestamp), key, headers, source };
    return new Event(parts, this.#getter, () => this.#acknowledge(one, offset));
  }

  /** The reference of one record again; null when it is gone. */
  async #renew(node: number, topic: string, partition: number, offset: bigint): Promise<Uint8Array | null> {
    const { requestTimeoutMs } = this.#cluster.options;
    // Not behind a fetch that waits for new records.
    const [answer] = await fetchRecords(
      await this.#cluster.connection(node, 'control'),
      [{ topic, partition, fetchOffset: offset }],
      { maxBytes: 64 * 1024, maxWaitMs: 0, isolationLevel: this.#isolationLevel, requestTimeoutMs },
    );
    const bytes = answer?.[1].records as Uint8Array | null | undefined;
    if (!bytes) return null;
    const found = readFetched(bytes, offset, []).records.find((record) => record.offset === offset);
    return found?.referenced === undefined || found.referenced === null ? null : found.value;
  }

  #acknowledge(one: Assigned, offset: bigint): void {
    if (one.acknowledged === null || offset >= one.acknowledged) one.acknowledged = offset + 1n;
  }

  /** Commits what was acknowledged, of the group's partitions that are still this member's. */
  async commit(): Promise<void> {
    if (this.#group === null) return;
    const due = this.#assigned.filter(
      ({ acknowledged, committed }) => acknowledged !== null && acknowledged !== committed,
    );
    const offsets = due.map(({ handle, partition, acknowledged }) => ({
      topic: handle.name,
      partition,
      offset: acknowledged!,
    }));
    await this.#group.commit(offsets);
    for (const [i, one] of due.entries()) one.committed = offsets[i]!.offset;
  }

  #fail(error: unknown): void {
    this.#failure ??=
      error instanceof DirectError
        ? error
        : new DirectError('BROKER', String(error), { doing: 'pull', cause: error });
    for (const wake of this.#wakePull.splice(0)) wake();
  }

  #wake(): void {
    if (this.#isFull()) return;
    for (const wake of this.#wakeFetch.splice(0)) wake();
  }

  /** Commits what was acknowledged, leaves the group, and ends pulls that wait. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#commitTimer !== null) clearInterval(this.#commitTimer);
    await this.commit().catch(() => undefined);
    this.#closed = true;
    await this.#group?.close();
    this.#queue.length = 0;
    for (const wake of this.#wakeFetch.splice(0)) wake();
    for (const wake of this.#wakePull.splice(0)) wake();
  }
}

import type { Clock } from '../../util/clock.ts';
import { TOPIC_NAME_MAX_LENGTH } from '../metadata/topic-name.ts';

/** One partition of a fetch request, as the client asked for it. */
export interface FetchRequestPartition {
  /** Topic name, or topic id from version 13 on. */
  topic: string;
  partition: number;
  currentLeaderEpoch: number;
  fetchOffset: bigint;
  lastFetchedEpoch: number;
  logStartOffset: bigint;
  /** Bytes. */
  maxBytes: number;
  /** No batch but the first has to begin above it; nothing or null: whatever fits. */
  enoughOffset?: bigint | null;
}

/** What of an answer decides whether an incremental fetch repeats a partition (KIP-227). */
export interface FetchAnswer {
  errorCode: number;
  highWatermark: bigint;
  logStartOffset: bigint;
  recordBytes: number;
  /** The answer says something besides records and offsets, such as a diverging epoch. */
  notable: boolean;
}

interface NamedPartition {
  readonly topic: string;
  readonly partition: number;
}

interface CachedPartition {
  request: FetchRequestPartition;
  highWatermark: bigint;
  logStartOffset: bigint;
}

const INVALID_SESSION_ID = 0;
export const INITIAL_EPOCH = 0;
export const FINAL_EPOCH = -1;

const UNKNOWN_OFFSET = -1n;

/** A client's fetch session: the partitions it reads, so that a request needs to name only what has changed. */
class FetchSession {
  readonly id: number;
  readonly usesTopicIds: boolean;
  epoch = 1;
  lastUsedMs: number;
  readonly #byTopic = new Map<string, Map<number, CachedPartition>>();
  /** In the order to serve; a partition that gave data goes to the end, so that all get their turn. */
  readonly #inOrder = new Set<CachedPartition>();

  constructor(id: number, usesTopicIds: boolean, nowMs: number) {
    this.id = id;
    this.usesTopicIds = usesTopicIds;
    this.lastUsedMs = nowMs;
  }

  get size(): number {
    return this.#inOrder.size;
  }

  update(changed: readonly FetchRequestPartition[], forgotten: readonly NamedPartition[]): void {
    for (const request of changed) {
      const cached = this.#find(request);
      if (cached !== undefined) cached.request = request;
      else this.#add(request);
    }
    for (const partition of forgotten) this.#forget(partition);
  }

  #find({ topic, partition }: NamedPartition): CachedPartition | undefined {
    return this.#byTopic.get(topic)?.get(partition);
  }

  #add(request: FetchRequestPartition): void {
    const cached = { request, highWatermark: UNKNOWN_OFFSET, logStartOffset: UNKNOWN_OFFSET };
    const { topic, partition } = request;
    const ofTopic = this.#byTopic.get(topic) ?? new Map<number, CachedPartition>();
    this.#byTopic.set(topic, ofTopic.set(partition, cached));
    this.#inOrder.add(cached);
  }

  #forget({ topic, partition }: NamedPartition): void {
    const ofTopic = this.#byTopic.get(topic);
    const cached = ofTopic?.get(partition);
    if (ofTopic === undefined || cached === undefined) return;
    ofTopic.delete(partition);
    if (ofTopic.size === 0) this.#byTopic.delete(topic);
    this.#inOrder.delete(cached);
  }

  requests(): FetchRequestPartition[] {
    return Array.from(this.#inOrder, ({ request }) => request);
  }

  /** Remembers what the client is told about a partition, and returns whether it has to be told. */
  answer(partition: NamedPartition, answer: FetchAnswer): boolean {
    const cached = this.#find(partition);
    if (cached === undefined) return true;
    const changed =
      answer.errorCode !== 0 ||
      answer.notable ||
      answer.recordBytes > 0 ||
      cached.highWatermark !== answer.highWatermark ||
      cached.logStartOffset !== answer.logStartOffset;
    // After an error the client has to hear the offsets again.
    cached.highWatermark = answer.errorCode === 0 ? answer.highWatermark : UNKNOWN_OFFSET;
    cached.logStartOffset = answer.logStartOffset;
    if (answer.recordBytes > 0) {
      this.#inOrder.delete(cached);
      this.#inOrder.add(cached);
    }
    return changed;
  }
}

/** How one fetch request is to be served. */
export type FetchContext =
  | {
      kind: 'error';
      error: 'FETCH_SESSION_ID_NOT_FOUND' | 'INVALID_FETCH_SESSION_EPOCH' | 'FETCH_SESSION_TOPIC_ID_ERROR';
    }
  | { kind: 'full'; session: FetchSession | null; partitions: readonly FetchRequestPartition[] }
  | {
      kind: 'incremental';
      session: FetchSession;
      expectedEpoch: number;
      partitions: readonly FetchRequestPartition[];
    };

export interface FetchSessionsOptions {
  /** `max.incremental.fetch.session.cache.slots` */
  slots: number;
  /** `min.incremental.fetch.session.eviction.ms` */
  evictionMs: number;
  /** The most partitions of all sessions together: one request may name a million. */
  maxPartitions: number;
}

/** All fetch sessions of the broker, at most `slots`; a client that finds no room is served without one. */
export class FetchSessions {
  readonly #options: FetchSessionsOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Least recently used first. */
  readonly #sessions = new Map<number, FetchSession>();
  /** Of all sessions. */
  #partitions = 0;

  constructor(options: FetchSessionsOptions, clock: Clock, random: () => number = Math.random) {
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    return this.#sessions.size;
  }

  begin(
    sessionId: number,
    sessionEpoch: number,
    usesTopicIds: boolean,
    partitions: readonly FetchRequestPartition[],
    forgotten: readonly NamedPartition[],
  ): FetchContext {
    if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
      this.#end(sessionId);
      const wanted = lastOfEach(partitions);
      const session = sessionEpoch === FINAL_EPOCH ? null : this.#create(usesTopicIds, wanted);
      return { kind: 'full', session, partitions: wanted };
    }
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return { kind: 'error', error: 'FETCH_SESSION_ID_NOT_FOUND' };
    if (session.epoch !== sessionEpoch) return { kind: 'error', error: 'INVALID_FETCH_SESSION_EPOCH' };
    if (session.usesTopicIds !== usesTopicIds)
      return { kind: 'error', error: 'FETCH_SESSION_TOPIC_ID_ERROR' };
    if (!this.#update(session, partitions, forgotten)) {
      // It begins anew, and is served without a session.
      this.#end(sessionId);
      return { kind: 'error', error: 'FETCH_SESSION_ID_NOT_FOUND' };
    }
    if (session.size === 0) {
      this.#end(sessionId);
      return { kind: 'full', session: null, partitions: lastOfEach(partitions) };
    }
    session.epoch = session.epoch === 0x7fffffff ? 1 : session.epoch + 1;
    session.lastUsedMs = this.#clock.now();
    this.#sessions.delete(sessionId);
    this.#sessions.set(sessionId, session);
    return { kind: 'incremental', session, expectedEpoch: session.epoch, partitions: session.requests() };
  }

  /** Forgets a session whose client was never told of it. */
  discard(session: FetchSession): void {
    this.#end(session.id);
  }

  /** Whether there is room for what it reads now. */
  #update(
    session: FetchSession,
    changed: readonly FetchRequestPartition[],
    forgotten: readonly NamedPartition[],
  ): boolean {
    if (changed.some(isOfNoTopic)) return false;
    const before = session.size;
    session.update(changed, forgotten);
    this.#partitions += session.size - before;
    return session.size <= before || this.#partitions <= this.#options.maxPartitions;
  }

  #end(id: number): void {
    this.#partitions -= this.#sessions.get(id)?.size ?? 0;
    this.#sessions.delete(id);
  }

  #isFull(morePartitions: number): boolean {
    const { slots, maxPartitions } = this.#options;
    return this.#sessions.size >= slots || this.#partitions + morePartitions > maxPartitions;
  }

  #create(usesTopicIds: boolean, partitions: readonly FetchRequestPartition[]): FetchSession | null {
    if (partitions.some(isOfNoTopic)) return null;
    const now = this.#clock.now();
    while (this.#isFull(partitions.length)) {
      const [oldest] = this.#sessions.values();
      if (oldest === undefined || now - oldest.lastUsedMs <= this.#options.evictionMs) return null;
      this.#end(oldest.id);
    }
    let id = INVALID_SESSION_ID;
    while (id === INVALID_SESSION_ID || this.#sessions.has(id))
      id = 1 + Math.floor(this.#random() * 0x7ffffffe);
    const session = new FetchSession(id, usesTopicIds, now);
    session.update(partitions, []);
    this.#partitions += session.size;
    this.#sessions.set(id, session);
    return session;
  }
}

/** Names may be a hundred times as long as those of topics: they are not kept. */
function isOfNoTopic({ topic }: FetchRequestPartition): boolean {
  return topic.length > TOPIC_NAME_MAX_LENGTH;
}

/** Of a partition that is named twice the last counts, as in Kafka. */
function lastOfEach(partitions: readonly FetchRequestPartition[]): readonly FetchRequestPartition[] {
  if (partitions.length < 2) return partitions;
  const byTopic = new Map<string, Map<number, FetchRequestPartition>>();
  let count = 0;
  for (const request of partitions) {
    const ofTopic = byTopic.get(request.topic) ?? new Map<number, FetchRequestPartition>();
    if (ofTopic.size === 0) byTopic.set(request.topic, ofTopic);
    if (!ofTopic.has(request.partition)) count++;
    ofTopic.set(request.partition, request);
  }
  if (count === partitions.length) return partitions;
  return [...byTopic.values()].flatMap((ofTopic) => [...ofTopic.values()]);
}

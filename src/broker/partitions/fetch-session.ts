import type { Clock } from '../../util/clock.ts';

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
  /** In the order to serve; a partition that gave data goes to the end, so that all get their turn. */
  readonly #partitions = new Map<string, CachedPartition>();

  constructor(id: number, usesTopicIds: boolean, nowMs: number) {
    this.id = id;
    this.usesTopicIds = usesTopicIds;
    this.lastUsedMs = nowMs;
  }

  get size(): number {
    return this.#partitions.size;
  }

  update(
    changed: readonly FetchRequestPartition[],
    forgotten: readonly { topic: string; partition: number }[],
  ): void {
    for (const request of changed) {
      const cached = this.#partitions.get(keyOf(request));
      if (cached !== undefined) cached.request = request;
      else this.#add(request);
    }
    for (const partition of forgotten) this.#partitions.delete(keyOf(partition));
  }

  #add(request: FetchRequestPartition): void {
    this.#partitions.set(keyOf(request), {
      request,
      highWatermark: UNKNOWN_OFFSET,
      logStartOffset: UNKNOWN_OFFSET,
    });
  }

  requests(): FetchRequestPartition[] {
    return Array.from(this.#partitions.values(), (cached) => cached.request);
  }

  /** Remembers what the client is told about a partition, and returns whether it has to be told. */
  answer(partition: { topic: string; partition: number }, answer: FetchAnswer): boolean {
    const key = keyOf(partition);
    const cached = this.#partitions.get(key);
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
      this.#partitions.delete(key);
      this.#partitions.set(key, cached);
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
}

/** All fetch sessions of the broker, at most `slots`; a client that finds no room is served without one. */
export class FetchSessions {
  readonly #options: FetchSessionsOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Least recently used first. */
  readonly #sessions = new Map<number, FetchSession>();

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
    forgotten: readonly { topic: string; partition: number }[],
  ): FetchContext {
    if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
      this.#sessions.delete(sessionId);
      const session =
        sessionEpoch === FINAL_EPOCH || partitions.length === 0
          ? null
          : this.#create(usesTopicIds, partitions);
      return { kind: 'full', session, partitions };
    }
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return { kind: 'error', error: 'FETCH_SESSION_ID_NOT_FOUND' };
    if (session.epoch !== sessionEpoch) return { kind: 'error', error: 'INVALID_FETCH_SESSION_EPOCH' };
    if (session.usesTopicIds !== usesTopicIds)
      return { kind: 'error', error: 'FETCH_SESSION_TOPIC_ID_ERROR' };
    session.update(partitions, forgotten);
    if (session.size === 0) {
      this.#sessions.delete(sessionId);
      return { kind: 'full', session: null, partitions };
    }
    session.epoch = session.epoch === 0x7fffffff ? 1 : session.epoch + 1;
    session.lastUsedMs = this.#clock.now();
    this.#sessions.delete(sessionId);
    this.#sessions.set(sessionId, session);
    return { kind: 'incremental', session, expectedEpoch: session.epoch, partitions: session.requests() };
  }

  /** Forgets a session whose client was never told of it. */
  discard(session: FetchSession): void {
    this.#sessions.delete(session.id);
  }

  #create(usesTopicIds: boolean, partitions: readonly FetchRequestPartition[]): FetchSession | null {
    const now = this.#clock.now();
    if (this.#sessions.size >= this.#options.slots) {
      const [oldest] = this.#sessions.values();
      if (oldest === undefined || now - oldest.lastUsedMs <= this.#options.evictionMs) return null;
      this.#sessions.delete(oldest.id);
    }
    let id = INVALID_SESSION_ID;
    while (id === INVALID_SESSION_ID || this.#sessions.has(id))
      id = 1 + Math.floor(this.#random() * 0x7ffffffe);
    const session = new FetchSession(id, usesTopicIds, now);
    session.update(partitions, []);
    this.#sessions.set(id, session);
    return session;
  }
}

function keyOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${partition}/${topic}`;
}

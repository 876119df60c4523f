import { ErrorCode } from '../protocol/errors.ts';
import type { FetchResponsePartitionData } from '../protocol/generated/fetch-response.ts';
import type { Cluster, Purpose } from './cluster.ts';
import { brokerError, DirectError } from './errors.ts';
import { Event } from './event.ts';
import { fetchRecords } from './fetch.ts';
import { type FetchedRecord, readFetched } from './fetched-batches.ts';
import type { Getter, Referenced } from './getter.ts';
import { type IsolationLevel, offsetsAt, type StartPosition } from './list-offsets.ts';
import type { PrefetchQueue } from './prefetch-queue.ts';
import type { TopicHandle } from './topic.ts';

const RETRY_MS = 100;
const MIN_FETCH_BYTES = 64 * 1024;

let nextFetcher = 1;

/** A partition that a consumer reads. */
export interface Reading {
  readonly handle: TopicHandle;
  readonly partition: number;
  /** Where the next fetch goes on. */
  fetchOffset: bigint;
  /** Behind the last event that was acknowledged; null when none was. */
  acknowledged: bigint | null;
  committed: bigint | null;
  revoked: boolean;
}

interface RecordPlace {
  readonly node: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** The value of a record that was fetched without it. */
class StoredValue implements Referenced {
  readonly kind = 'reference';
  readonly size: number;
  readonly #fetcher: RecordFetcher;
  readonly #place: RecordPlace;
  #reference: Uint8Array;

  constructor(fetcher: RecordFetcher, place: RecordPlace, reference: Uint8Array, size: number) {
    this.#fetcher = fetcher;
    this.#place = place;
    this.#reference = reference;
    this.size = size;
  }

  get node(): number {
    return this.#place.node;
  }

  get reference(): Uint8Array {
    return this.#reference;
  }

  get doing(): string {
    const { topic, partition, offset } = this.#place;
    return `get data of ${topic}-${partition} at ${offset}`;
  }

  async renew(): Promise<boolean> {
    const reference = await this.#fetcher.renew(this.#place);
    if (reference !== null) this.#reference = reference;
    return reference !== null;
  }
}

export interface RecordFetcherOptions {
  readonly cluster: Cluster;
  readonly getter: Getter;
  readonly queue: PrefetchQueue;
  readonly isolationLevel: IsolationLevel;
  readonly maxWaitMs: number;
  /** Where to go on when the position does not exist any more. */
  readonly from: StartPosition;
  readonly onAcknowledge: (reading: Reading, offset: bigint) => void;
  /** Events came. */
  readonly onEvents: () => void;
}

/** Fetches the records of partitions into a queue, while there is room in it. */
export class RecordFetcher {
  readonly #options: RecordFetcherOptions;
  /** Fetches wait for records, and so would those of other consumers behind them. */
  readonly #purpose: Purpose = `fetch ${nextFetcher++}`;
  #waiting: (() => void)[] = [];
  #turns = 0;
  #closed = false;

  constructor(options: RecordFetcherOptions) {
    this.#options = options;
  }

  /** Fetches until all of the partitions are revoked, or `close`. Rejects with a DirectError that another attempt would not mend. */
  async run(readings: readonly Reading[]): Promise<void> {
    const { cluster } = this.#options;
    const nodes = await cluster.byLeader(readings, ({ handle, partition }) => ({
      topic: handle.name,
      partition,
    }));
    await Promise.all([...nodes].map(([node, ones]) => this.#fetchFrom(node, ones)));
  }

  /** Goes on, after the queue was full. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  close(): void {
    this.#closed = true;
    this.wake();
    this.#options.cluster.closeConnections(this.#purpose);
  }

  async #fetchFrom(node: number, readings: readonly Reading[]): Promise<void> {
    for (;;) {
      const mine = readings.filter(({ revoked }) => !revoked);
      if (this.#closed || mine.length === 0) return;
      if (this.#options.queue.isFull) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        continue;
      }
      try {
        await this.#fetchOnce(node, mine);
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof DirectError && error.retriable)) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #fetchOnce(node: number, readings: readonly Reading[]): Promise<void> {
    const { cluster, queue, maxWaitMs, isolationLevel, from } = this.#options;
    // So that one busy partition does not keep the others from their turn.
    const first = this.#turns++ % readings.length;
    const turn = [...readings.slice(first), ...readings.slice(0, first)];
    const { requestTimeoutMs } = cluster.options;
    const maxBytes = Math.max(MIN_FETCH_BYTES, queue.room);
    const answers = await fetchRecords(
      await cluster.connection(node, this.#purpose),
      turn.map(({ handle, partition, fetchOffset }) => ({ topic: handle.name, partition, fetchOffset })),
      { maxBytes, maxWaitMs, isolationLevel, requestTimeoutMs },
    );
    for (const [topic, data] of answers) {
      const { partitionIndex: partition, errorCode } = data;
      const one = readings.find(
        ({ handle, partition: index }) => handle.name === topic && index === partition,
      );
      if (one === undefined || one.revoked) continue;
      if (errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
        // What was there has been deleted, or the position never was.
        const again = from === 'latest' ? 'latest' : 'earliest';
        [one.fetchOffset] = (await offsetsAt(cluster, [{ topic, partition }], again, isolationLevel)) as [
          bigint,
        ];
      } else if (errorCode !== ErrorCode.NONE) {
        throw brokerError(errorCode, null, `fetch ${topic}-${partition}`);
      } else {
        this.#accept(node, one, data);
      }
    }
  }

  #accept(node: number, one: Reading, data: FetchResponsePartitionData): void {
    const bytes = data.records as Uint8Array | null;
    if (bytes === null || bytes.byteLength === 0) return;
    const { records, nextOffset } = readFetched(bytes, one.fetchOffset, data.abortedTransactions ?? []);
    one.fetchOffset = nextOffset;
    for (const record of records)
      this.#options.queue.push(this.#eventOf(node, one, record), bytes.byteLength / records.length);
    if (records.length > 0) this.#options.onEvents();
  }

  #eventOf(node: number, one: Reading, record: FetchedRecord): Event {
    const { offset, timestamp, key, headers, value, referenced } = record;
    const { handle: topic, partition } = one;
    const source =
      referenced === null
        ? ({ kind: 'inline', value } as const)
        : new StoredValue(this, { node, topic: topic.name, partition, offset }, value!, referenced);
    const parts = { topic, partition, offset, timestamp: Number(timestamp), key, headers, source };
    const { getter, onAcknowledge } = this.#options;
    return new Event(parts, getter, () => onAcknowledge(one, offset));
  }

  /** The reference of one record again; null when it is gone. */
  async renew({ node, topic, partition, offset }: RecordPlace): Promise<Uint8Array | null> {
    const { cluster, isolationLevel } = this.#options;
    const { requestTimeoutMs } = cluster.options;
    // Not behind a fetch that waits for new records.
    const [answer] = await fetchRecords(
      await cluster.connection(node, 'control'),
      [{ topic, partition, fetchOffset: offset }],
      { maxBytes: MIN_FETCH_BYTES, maxWaitMs: 0, isolationLevel, requestTimeoutMs },
    );
    const bytes = answer?.[1].records as Uint8Array | null | undefined;
    if (!bytes) return null;
    const found = readFetched(bytes, offset, []).records.find((record) => record.offset === offset);
    return found?.referenced === undefined || found.referenced === null ? null : found.value;
  }
}

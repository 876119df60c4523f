import { ErrorCode } from '../protocol/errors.ts';
import { ArrivingData, type ArrivingExtent } from './arriving-data.ts';
import type { Cluster, Purpose } from './cluster.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { brokerError, DirectError, isUnknownTopic, mayPass } from './errors.ts';
import { type EventOrigin, FetchedEvents } from './event.ts';
import { type FetchedData, fetchRecords } from './fetch.ts';
import { readFetched } from './fetched-batches.ts';
import { SectionReader } from './fetched-record.ts';
import type { Getter } from './getter.ts';
import { endOfEpoch, type IsolationLevel, offsetsAt, type StartPosition } from './list-offsets.ts';
import type { PrefetchQueue } from './prefetch-queue.ts';
import { withRetries } from './retries.ts';
import type { TopicHandle } from './topic.ts';

const RETRY_MS = 100;
/** Answers in a row. */
const MAX_DAMAGED = 5;
const MIN_FETCH_BYTES = 64 * 1024;
/** So much data comes with what is fetched: to ask for it takes longer than to send it. */
const MOST_EXTENT_BYTES = 2 << 20;
/** Metadata of few events. */
const FEW_BYTES = 4096;
/** Where more comes in a millisecond, data is got: what is received in a socket costs more to copy. */
const MOST_BYTES_A_MS = 200_000;

let nextFetcher = 1;

/** A partition that a consumer reads. */
export interface Reading {
  readonly handle: TopicHandle;
  readonly partition: number;
  /** Where the next fetch goes on; null while nobody can tell where to begin. */
  fetchOffset: bigint | null;
  /** Of the last batch that was fetched; -1: none was. */
  leaderEpoch: number;
  /** It was added while others were read: it begins with its first record. */
  readonly isAdded: boolean;
  /** Behind the last event that was acknowledged; null when none was. */
  acknowledged: bigint | null;
  committed: bigint | null;
  /** It is not read any more. */
  revoked: boolean;
}

/** A partition, and what its events are told about it. */
interface Source {
  readonly reading: Reading;
  readonly origin: EventOrigin;
}

/** One of which it is known where the next fetch goes on. */
interface PlacedSource extends Source {
  readonly reading: Reading & { fetchOffset: bigint };
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
  /** A topic is not there, or not the one that was read; who knows more revokes what is read of it. Meanwhile it is tried again. */
  readonly onUnknownTopic: () => void;
}

/** Fetches the records of partitions into a queue, while there is room in it. */
export class RecordFetcher {
  readonly #options: RecordFetcherOptions;
  /** Fetches wait for records, and so would those of other consumers behind them. */
  readonly #purpose: Purpose = `fetch ${nextFetcher++}`;
  /** What is read of each gateway, by one fetch after the other: they share a connection. Another map once it is given up. */
  #read = new Map<number, Source[]>();
  #waiting: (() => void)[] = [];
  #turns = 0;
  /** When records came last, and how long after those before: milliseconds. */
  #cameAt = 0;
  #pauseMs = 0;
  #closed = false;

  constructor(options: RecordFetcherOptions) {
    this.#options = options;
  }

  /** Connects to the gateways that lead partitions, while it is found out where to begin. What is wrong is found again by who fetches. */
  async connect(partitions: readonly AssignedPartition[]): Promise<void> {
    const { cluster } = this.#options;
    const nodes = await cluster.byLeader(partitions, (one) => one);
    if (this.#closed) return;
    await Promise.all([...nodes.keys()].map((node) => cluster.connection(node, this.#purpose)));
  }

  /**
   * Fetches until all of the partitions are revoked, or `close`. Who leads them is asked for as long as that takes. Rejects with a DirectError that another
   * attempt would not mend.
   */
  async run(readings: readonly Reading[]): Promise<void> {
    const read = this.#read;
    const isGivenUp = () => this.#closed || read !== this.#read;
    const nodes = await withRetries(Number.POSITIVE_INFINITY, async () =>
      isGivenUp() ? [] : this.#byLeader(readings.filter(({ revoked }) => !revoked)),
    );
    if (isGivenUp()) return;
    await Promise.all([...nodes].map(([node, ones]) => this.#readFrom(node, ones)));
  }

  async #byLeader(readings: readonly Reading[]): Promise<Map<number, Reading[]>> {
    try {
      return await this.#options.cluster.byLeader(readings, partitionOf);
    } catch (error) {
      if (isUnknownTopic(error)) this.#options.onUnknownTopic();
      throw mayPass(error);
    }
  }

  /** Beside what is read of this gateway already. */
  async #readFrom(node: number, readings: readonly Reading[]): Promise<void> {
    const sources = readings.map((reading) => ({ reading, origin: this.#originOf(node, reading) }));
    const others = this.#read.get(node);
    if (others !== undefined) {
      others.push(...sources);
      return;
    }
    this.#read.set(node, sources);
    await this.#fetchFrom(node, sources);
  }

  /** Nothing is read any more until `run`: what is asked for may wait for records, and whatever is asked for next behind it. */
  giveUp(): void {
    this.#read = new Map();
    this.#options.cluster.closeConnections(this.#purpose);
    this.wake();
  }

  /** Goes on, after the queue was full. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  close(): void {
    this.#closed = true;
    this.giveUp();
  }

  /** @param sources others may be added */
  async #fetchFrom(node: number, sources: Source[]): Promise<void> {
    const { queue, onUnknownTopic } = this.#options;
    const isGivenUp = () => this.#closed || this.#read.get(node) !== sources;
    let damaged = 0;
    while (!isGivenUp()) {
      forgetRevoked(sources);
      if (sources.length === 0) {
        this.#read.delete(node);
        return;
      }
      if (queue.isFull) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        continue;
      }
      try {
        await this.#fetchAndPlace(node, sources);
        damaged = 0;
        // Few events came, which somebody may wait for: they come first.
        if (queue.metadataBytes < MIN_FETCH_BYTES) await new Promise<void>((go) => process.nextTick(go));
      } catch (error) {
        if (isGivenUp()) return;
        if (isUnknownTopic(error)) onUnknownTopic();
        else if (!(error instanceof DirectError && error.retriable)) throw error;
        // What is damaged in the log stays so.
        if (error.code === 'CHECKSUM' && ++damaged >= MAX_DAMAGED) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (!(await this.#haveMoved(node, sources)) || isGivenUp()) continue;
        this.#read.delete(node);
        return this.run(sources.map(({ reading }) => reading));
      }
    }
  }

  /** Finds out where to begin in partitions of which nobody could tell it before, also where others cannot be fetched. */
  async #fetchAndPlace(node: number, sources: readonly Source[]): Promise<void> {
    try {
      await this.#fetchOnce(node, sources);
    } finally {
      const open = sources.flatMap(({ reading }) => (reading.fetchOffset === null ? [reading] : []));
      if (open.length > 0) await this.#place(open);
    }
  }

  async #place(open: readonly Reading[]): Promise<void> {
    const added = open.filter(({ isAdded }) => isAdded);
    const others = open.filter(({ isAdded }) => !isAdded);
    const { from } = this.#options;
    await Promise.all([this.#placeAt('earliest', added), this.#placeAt(from, others)]);
  }

  async #placeAt(from: StartPosition, readings: readonly Reading[]): Promise<void> {
    if (readings.length === 0) return;
    const { cluster, isolationLevel } = this.#options;
    const offsets = await offsetsAt(cluster, readings.map(partitionOf), from, isolationLevel);
    for (const [i, reading] of readings.entries()) reading.fetchOffset = offsets[i]!;
  }

  /** Whether others lead some of the partitions by now; finds out, too, where the gateways are. */
  async #haveMoved(node: number, sources: readonly Source[]): Promise<boolean> {
    const { cluster } = this.#options;
    const readings = sources.map(({ reading }) => reading);
    try {
      await cluster.topics([...new Set(readings.map(({ handle }) => handle.name))]);
      const led = await cluster.byLeader(readings, partitionOf);
      return led.size > 1 || !led.has(node);
    } catch {
      // What is wrong is found again by who fetches.
      return false;
    }
  }

  #originOf(node: number, reading: Reading): EventOrigin {
    const { handle: topic, partition } = reading;
    const { getter, onAcknowledge } = this.#options;
    return {
      topic,
      partition,
      node,
      getter,
      renew: (offset) => this.#renew(node, topic.name, partition, offset),
      acknowledge: (offset) => onAcknowledge(reading, offset),
    };
  }

  /**
   * How much data may come with what is fetched, in place of being asked for: none but where events are few and pulled as they come, and all data of the
   * one before was wanted.
   */
  #extentBytes(): number {
    const { getter, queue } = this.#options;
    const { lastWholeBytes, metadataBytes } = queue;
    const mayCome = getter.mayComeInline && lastWholeBytes > 0 && lastWholeBytes < MOST_EXTENT_BYTES;
    const areFew = metadataBytes < FEW_BYTES && lastWholeBytes < this.#pauseMs * MOST_BYTES_A_MS;
    return mayCome && areFew ? MOST_EXTENT_BYTES : 0;
  }

  async #fetchOnce(node: number, all: readonly Source[]): Promise<void> {
    const { cluster, queue, getter, maxWaitMs, isolationLevel } = this.#options;
    const sources = all.filter(isPlaced);
    if (sources.length === 0) return;
    // So that one busy partition does not keep the others from their turn.
    const first = this.#turns++ % sources.length;
    const turn = [...sources.slice(first), ...sources.slice(0, first)];
    const { requestTimeoutMs } = cluster.options;
    const positions = turn.map(({ reading: { handle, partition, fetchOffset } }) => ({
      topic: handle.name,
      partition,
      fetchOffset,
    }));
    const connection = await cluster.connection(node, this.#purpose);
    const bytes = this.#extentBytes();
    const maxBytes = bytes > 0 ? MIN_FETCH_BYTES : Math.max(MIN_FETCH_BYTES, queue.room);
    const options = { maxBytes, maxWaitMs, isolationLevel, requestTimeoutMs };
    if (bytes === 0) {
      const fetched = await fetchRecords(connection, positions, options);
      this.#accept(sources, fetched, null);
      await this.#mend(sources, fetched);
      return;
    }
    const arriving = new ArrivingData(getter);
    let failure: unknown = null;
    const land = (fetched: FetchedData[]) => {
      try {
        this.#accept(sources, fetched, arriving);
      } catch (error) {
        failure = error;
      }
      return arriving.targets;
    };
    const extents = { bytes, land };
    try {
      const fetched = await fetchRecords(connection, positions, { ...options, extents });
      arriving.arrived();
      if (failure !== null) throw failure;
      await this.#mend(sources, fetched);
    } catch (error) {
      arriving.lost();
      throw error;
    }
  }

  /** Takes what was fetched of partitions that are still read. */
  #accept(
    sources: readonly PlacedSource[],
    fetched: readonly FetchedData[],
    arriving: ArrivingData | null,
  ): void {
    // All extents have their place, whatever becomes of what they belong to.
    const extents = fetched.map((data) => data.extents.map((bytes) => arriving!.add(bytes)));
    for (const [i, data] of fetched.entries()) {
      const source = sourceOf(sources, data);
      if (source !== null && data.errorCode === ErrorCode.NONE) this.#take(source, data, extents[i]!);
    }
  }

  /** Does what can be done about errors of partitions. @throws DirectError for others */
  async #mend(sources: readonly PlacedSource[], fetched: readonly FetchedData[]): Promise<void> {
    const { cluster, isolationLevel, from } = this.#options;
    for (const data of fetched) {
      const { topic, partition, errorCode } = data;
      const source = errorCode === ErrorCode.NONE ? null : sourceOf(sources, data);
      if (source === null) continue;
      const doing = `fetch ${topic}-${partition}`;
      if (errorCode !== ErrorCode.OFFSET_OUT_OF_RANGE) throw brokerError(errorCode, null, doing);
      const { id } = await cluster.topic(topic, true);
      const { reading } = source;
      if (id !== reading.handle.id)
        throw brokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'it was made anew', doing);
      const end = await this.#lostFrom(reading);
      // What was there has been deleted, or the position never was.
      const again = from === 'latest' ? 'latest' : 'earliest';
      const [offset] = end === null ? await offsetsAt(cluster, [data], again, isolationLevel) : [end];
      reading.fetchOffset = offset!;
      // What comes at these offsets now is not done.
      if (reading.acknowledged !== null && reading.acknowledged > offset!) reading.acknowledged = offset!;
    }
  }

  /** Where a log ends of which more had been fetched before it lost its last records, by a crash say; null: it is not so. */
  async #lostFrom(reading: PlacedSource['reading']): Promise<bigint | null> {
    const { leaderEpoch, fetchOffset } = reading;
    if (leaderEpoch < 0) return null;
    const end = await endOfEpoch(this.#options.cluster, partitionOf(reading), leaderEpoch);
    return end !== null && end < fetchOffset ? end : null;
  }

  #take(
    { reading, origin }: PlacedSource,
    { records, aborted }: FetchedData,
    extents: readonly ArrivingExtent[],
  ): void {
    if (records === null || records.byteLength === 0) return;
    const { fetchOffset: from } = reading;
    const { sections, nextOffset, leaderEpoch } = readFetched(records, from, aborted);
    reading.fetchOffset = nextOffset;
    if (leaderEpoch >= 0) reading.leaderEpoch = leaderEpoch;
    for (const section of sections)
      if (section.references) section.arriving = extents[section.extent] ?? null;
    const { queue, onEvents } = this.#options;
    queue.push(
      sections.map((section) => ({
        events: new FetchedEvents(section, from, origin),
        // One of which compaction has left nothing has no records.
        count: Math.max(1, section.count),
        bytes: section.storedBytes,
      })),
    );
    // Of events that are made later data has to be got.
    for (const section of sections) section.arriving = null;
    if (sections.length === 0) return;
    const now = performance.now();
    this.#pauseMs = now - this.#cameAt;
    this.#cameAt = now;
    onEvents();
  }

  /** The reference of one record again; null when it is gone. Rejects with a DirectError when that cannot be told. */
  async #renew(node: number, topic: string, partition: number, offset: bigint): Promise<Uint8Array | null> {
    const { cluster, isolationLevel } = this.#options;
    const { requestTimeoutMs } = cluster.options;
    // Not behind a fetch that waits for new records.
    const [answer] = await fetchRecords(
      await cluster.connection(node, 'control'),
      [{ topic, partition, fetchOffset: offset }],
      { maxBytes: MIN_FETCH_BYTES, maxWaitMs: 0, isolationLevel, requestTimeoutMs },
    );
    if (answer === undefined) return null;
    const error = brokerError(answer.errorCode, null, `fetch ${topic}-${partition}`);
    if (error.retriable) throw error;
    const { records: bytes } = answer;
    if (!bytes) return null;
    const [section] = readFetched(bytes, offset, []).sections;
    const found = section === undefined ? null : new SectionReader(section, offset).next();
    return found?.offset === offset && found.referenced !== null ? found.value : null;
  }
}

function partitionOf({ handle, partition }: Reading): AssignedPartition {
  return { topic: handle.name, partition };
}

function isPlaced(source: Source): source is PlacedSource {
  return source.reading.fetchOffset !== null;
}

function forgetRevoked(sources: Source[]): void {
  for (let i = sources.length - 1; i >= 0; i--) if (sources[i]!.reading.revoked) sources.splice(i, 1);
}

/** Null: it is not read any more. */
function sourceOf(sources: readonly PlacedSource[], { topic, partition }: FetchedData): PlacedSource | null {
  const found = sources.find(
    ({ reading }) => reading.handle.name === topic && reading.partition === partition,
  );
  return found === undefined || found.reading.revoked ? null : found;
}

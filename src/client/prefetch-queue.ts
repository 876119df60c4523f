import { Fifo } from '../util/fifo.ts';
import type { DataBroker } from './consumer-options.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { asDirectError, atOnce } from './errors.ts';
import type { Event } from './event.ts';
import type { Awaiting } from './get-line.ts';
import { type EventSelector, selectedBytes } from './selection.ts';

/** Wakes nobody: one for all events. */
const nobody = (): void => undefined;

/** An event that was fetched and not pulled yet. Most of them nobody waits for: they have no promise. */
export class Prefetched implements Awaiting {
  readonly event: Event;
  readonly metadataBytes: number;
  /** Of its selected data; 0 before that was asked for. */
  dataBytes = 0;
  /** The selected data is there. */
  isReady = false;
  isWanted = true;
  #failure: Error | null = null;
  #ready: Promise<void> | null = null;
  #wake = nobody;

  constructor(event: Event, metadataBytes: number) {
    this.event = event;
    this.metadataBytes = metadataBytes;
  }

  /** Whether the selected data is there, or cannot be had; see `pulled`. */
  get isTold(): boolean {
    return this.isReady || this.#failure !== null;
  }

  /** Resolves when that is so. */
  get ready(): Promise<void> {
    if (this.isTold) return Promise.resolve();
    this.#ready ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#ready;
  }

  arrived(): void {
    this.isReady = true;
    this.#wake();
  }

  failed(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  /** The event with its data. @throws DirectError when that cannot be had */
  pulled(): Event {
    if (this.#failure !== null) throw this.#failure;
    return this.event;
  }
}

/** Events that are made, and their data asked for, ahead of who pulls: more would outlive the young generation, and their data the caches. */
const MOST_AHEAD = 1024;

/** Once a limit is reached, more is asked for below this share of it: requests are of several events then. */
const REFILL_BELOW = 0.75;

export interface PrefetchLimits {
  readonly metadataBytes: number;
  readonly dataBytes: number;
}

/** Events that were fetched, and are made when it is their turn. */
export interface EventSource extends AssignedPartition {
  /** The next event's, or one before it behind which there is no other. */
  readonly nextOffset: bigint;
  /** The next; null behind the last. Throws when what was fetched is not made of records. */
  next(): Event | null;
}

/** Events of one batch. */
export interface FetchedBatch {
  readonly events: EventSource;
  /** At most. */
  readonly count: number;
  readonly bytes: number;
}

export interface PrefetchQueueOptions {
  readonly limits: PrefetchLimits;
  /** See selectorOf. */
  readonly select: EventSelector;
  readonly broker: DataBroker | undefined;
  /** More metadata should be fetched again. */
  readonly onRoom: () => void;
  /** What was fetched is not made of records: nothing comes behind it. */
  readonly onDamaged: (error: unknown) => void;
}

/**
 * Events in the order in which they are pulled. Their selected data is asked for in this order too, while less than the limit of it is under way or
 * waits here: the first event's always, so that a pull never waits in vain.
 */
export class PrefetchQueue {
  readonly #options: PrefetchQueueOptions;
  /** Those whose data was asked for. */
  #entries = new Fifo<Prefetched>();
  #batches = new Fifo<FetchedBatch>();
  /** Of the first batch. */
  #made = 0;
  /** Events of the batches that are not made yet, at most. */
  #unmade = 0;
  #metadataBytes = 0;
  #dataBytes = 0;
  /** A limit was reached. */
  #hasEnough = false;
  #isDamaged = false;
  #lastWholeBytes = 0;
  /** Events that were forgotten while their data was under way. */
  readonly #landing = new Set<Prefetched>();

  constructor(options: PrefetchQueueOptions) {
    this.#options = options;
  }

  get head(): Prefetched | undefined {
    return this.#entries.first;
  }

  get size(): number {
    return this.#entries.size + this.#unmade;
  }

  get metadataBytes(): number {
    return this.#metadataBytes;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Bytes of the data of the event that was made last, if all of it was selected; else 0. */
  get lastWholeBytes(): number {
    return this.#lastWholeBytes;
  }

  /** Where the first event here of a partition is, or may be; null when there is none. */
  firstOffset({ topic, partition }: AssignedPartition): bigint | null {
    for (const { event } of this.#entries)
      if (event.topic === topic && event.partition === partition) return event.offset;
    for (const { events } of this.#batches)
      if (events.topic === topic && events.partition === partition) return events.nextOffset;
    return null;
  }

  /** Whether no more metadata should be fetched: until half of it is taken, so that fetches are not for a few events each. */
  get isFull(): boolean {
    return this.#metadataBytes > this.#options.limits.metadataBytes / 2;
  }

  /** Bytes of metadata that may be fetched. */
  get room(): number {
    return Math.max(0, this.#options.limits.metadataBytes - this.#metadataBytes);
  }

  push(batches: readonly FetchedBatch[]): void {
    for (const batch of batches) {
      this.#batches.push(batch);
      this.#unmade += batch.count;
      this.#metadataBytes += batch.bytes;
    }
    this.#start();
  }

  /** Takes the first event. Rejects with a DirectError when its data cannot be had. */
  async take(): Promise<Event> {
    const head = this.#leave();
    if (!head.isReady) await head.ready;
    return head.pulled();
  }

  /** The first event, taken, if its data is there; null otherwise. */
  takeReady(): Event | null {
    return this.head?.isReady ? this.#leave().event : null;
  }

  #leave(): Prefetched {
    const head = this.#entries.take()!;
    this.#metadataBytes -= head.metadataBytes;
    this.#dataBytes -= head.dataBytes;
    this.#start();
    if (!this.isFull) this.#options.onRoom();
    return head;
  }

  /** Resolves when no data is under way any more that was to go to memory of events which were forgotten. */
  async landed(): Promise<void> {
    await Promise.all([...this.#landing].map(({ ready }) => ready));
  }

  /** Forgets everything; data that is under way still arrives where it was to go. */
  clear(): void {
    for (const entry of this.#entries) this.#forget(entry);
    this.#entries = new Fifo();
    this.#batches = new Fifo();
    this.#made = 0;
    this.#unmade = 0;
    this.#metadataBytes = 0;
    this.#dataBytes = 0;
    this.#hasEnough = false;
    this.#isDamaged = false;
    this.#options.onRoom();
  }

  /** As `clear`, of some partitions alone. */
  forget(isGone: (partition: AssignedPartition) => boolean): void {
    const entries = new Fifo<Prefetched>();
    for (const entry of this.#entries) {
      if (!isGone(entry.event)) {
        entries.push(entry);
        continue;
      }
      this.#metadataBytes -= entry.metadataBytes;
      this.#dataBytes -= entry.dataBytes;
      this.#forget(entry);
    }
    this.#entries = entries;
    const batches = new Fifo<FetchedBatch>();
    const { first } = this.#batches;
    const made = this.#made;
    for (const batch of this.#batches) {
      if (!isGone(batch.events)) {
        batches.push(batch);
        continue;
      }
      const madeOfIt = batch === first ? made : 0;
      this.#unmade -= batch.count - madeOfIt;
      this.#metadataBytes -= batch.bytes - bytesOfFirst(madeOfIt, batch);
      if (batch === first) this.#made = 0;
    }
    this.#batches = batches;
    this.#start();
    if (!this.isFull) this.#options.onRoom();
  }

  #forget(entry: Prefetched): void {
    if (entry.isTold) return;
    entry.isWanted = false;
    this.#landing.add(entry);
    void entry.ready.then(() => this.#landing.delete(entry));
  }

  #start(): void {
    const { dataBytes: limit } = this.#options.limits;
    const isLow = this.#dataBytes === 0 || this.#dataBytes < limit * REFILL_BELOW;
    if (isLow && this.#entries.size < MOST_AHEAD * REFILL_BELOW) this.#hasEnough = false;
    while (!this.#hasEnough) {
      const entry = this.#next();
      if (entry === null) return;
      this.#fill(entry);
      // The application's code may have had everything forgotten.
      if (!entry.isWanted) continue;
      this.#dataBytes += entry.dataBytes;
      const hasData = this.#dataBytes > 0 && this.#dataBytes >= limit;
      this.#hasEnough = hasData || this.#entries.size >= MOST_AHEAD;
    }
  }

  /** Makes the next event, behind all others; null when there is none. */
  #next(): Prefetched | null {
    while (!this.#isDamaged) {
      const batch = this.#batches.first;
      if (batch === undefined) break;
      const event = this.#make(batch);
      if (event !== null) {
        const share = bytesOfFirst(this.#made + 1, batch) - bytesOfFirst(this.#made, batch);
        const entry = new Prefetched(event, share);
        this.#entries.push(entry);
        this.#made++;
        this.#unmade--;
        return entry;
      }
      if (!this.#isDamaged) this.#leaveBatch(batch);
    }
    return null;
  }

  /** It may have had fewer events than it could. */
  #leaveBatch(batch: FetchedBatch): void {
    this.#unmade -= batch.count - this.#made;
    this.#metadataBytes -= batch.bytes - bytesOfFirst(this.#made, batch);
    this.#made = 0;
    this.#batches.take();
  }

  #make({ events }: FetchedBatch): Event | null {
    try {
      return events.next();
    } catch (error) {
      this.#isDamaged = true;
      this.#options.onDamaged(error);
      return null;
    }
  }

  /** `dataBytes` is known when it returns. */
  #fill(entry: Prefetched): void {
    const { event } = entry;
    const { select, broker } = this.#options;
    try {
      const ranges = event.rangesOf(select(event), 'select');
      const bytes = ranges === null ? 0 : selectedBytes(ranges);
      this.#lastWholeBytes = bytes === event.descriptor.size ? bytes : 0;
      if (ranges === null) {
        entry.isReady = true;
        return;
      }
      entry.dataBytes = bytes;
      const target = broker && atOnce(broker(event.metadata, event.descriptor, bytes), 'the data broker');
      event.select(ranges, target, entry);
    } catch (error) {
      entry.failed(
        asDirectError(error, `select data of ${event.topic}-${event.partition}`, 'INVALID_ARGUMENT'),
      );
    }
  }
}

/** What so many of a batch's events count as: whole bytes, which are all of them in the end. */
function bytesOfFirst(events: number, { bytes, count }: FetchedBatch): number {
  return Math.floor((events * bytes) / count);
}

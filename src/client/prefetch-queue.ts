import type { DataBroker } from './consumer-options.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { asDirectError } from './errors.ts';
import type { Event } from './event.ts';
import { type EventSelector, selectedBytes } from './selection.ts';

/** An event that was fetched and not pulled yet. */
export interface Prefetched {
  readonly event: Event;
  readonly metadataBytes: number;
  /** Of its selected data; 0 before that was asked for. */
  dataBytes: number;
  /** Settles when the selected data is there; null before it was asked for, and when it was there at once. */
  ready: Promise<void> | null;
  /** The selected data is there. */
  isReady: boolean;
}

/** The places of entries that were taken are given back when they are so many, and more than those that wait. */
const MOVE_AFTER = 1024;

/** Once the limit of data is reached, more is asked for below this share of it: requests are of several events then. */
const REFILL_BELOW = 0.75;

export interface PrefetchLimits {
  readonly metadataBytes: number;
  readonly dataBytes: number;
}

/**
 * Events in the order in which they are pulled. Their selected data is asked for in this order too, while less than the limit of it is under way or
 * waits here: the first event's always, so that a pull never waits in vain.
 */
export class PrefetchQueue {
  readonly #limits: PrefetchLimits;
  readonly #select: EventSelector;
  readonly #broker: DataBroker | undefined;
  readonly #onRoom: () => void;
  #entries: (Prefetched | undefined)[] = [];
  /** Where the first is: taking it out of a long array would move all the others. */
  #first = 0;
  /** Entries before this one have had their data asked for. */
  #started = 0;
  #metadataBytes = 0;
  #dataBytes = 0;
  /** The limit of data was reached. */
  #hasEnough = false;

  /**
   * @param select see selectorOf
   * @param onRoom called when more metadata should be fetched again
   */
  constructor(
    limits: PrefetchLimits,
    select: EventSelector,
    broker: DataBroker | undefined,
    onRoom: () => void,
  ) {
    this.#limits = limits;
    this.#select = select;
    this.#broker = broker;
    this.#onRoom = onRoom;
  }

  get head(): Prefetched | undefined {
    return this.#entries[this.#first];
  }

  get size(): number {
    return this.#entries.length - this.#first;
  }

  get metadataBytes(): number {
    return this.#metadataBytes;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Of the first event here of a partition; null when there is none. */
  firstOffset({ topic, partition }: AssignedPartition): bigint | null {
    for (let i = this.#first; i < this.#entries.length; i++) {
      const { event } = this.#entries[i]!;
      if (event.topic === topic && event.partition === partition) return event.offset;
    }
    return null;
  }

  /** Whether no more metadata should be fetched: until half of it is taken, so that fetches are not for a few events each. */
  get isFull(): boolean {
    return this.#metadataBytes > this.#limits.metadataBytes / 2;
  }

  /** Bytes of metadata that may be fetched. */
  get room(): number {
    return Math.max(0, this.#limits.metadataBytes - this.#metadataBytes);
  }

  push(event: Event, metadataBytes: number): void {
    this.#entries.push({ event, metadataBytes, dataBytes: 0, ready: null, isReady: false });
    this.#metadataBytes += metadataBytes;
    this.#start();
  }

  /** Takes the first event. Rejects with a DirectError when its data cannot be had. */
  async take(): Promise<Event> {
    const { ready, event } = this.#leave();
    await ready;
    return event;
  }

  /** The first event, taken, if its data is there; null otherwise. */
  takeReady(): Event | null {
    return this.head?.isReady ? this.#leave().event : null;
  }

  #leave(): Prefetched {
    const head = this.#takeFirst();
    this.#metadataBytes -= head.metadataBytes;
    this.#dataBytes -= head.dataBytes;
    this.#start();
    if (!this.isFull) this.#onRoom();
    return head;
  }

  #takeFirst(): Prefetched {
    const head = this.#entries[this.#first]!;
    this.#entries[this.#first++] = undefined;
    if (this.#first >= MOVE_AFTER && 2 * this.#first >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#started -= this.#first;
      this.#first = 0;
    }
    return head;
  }

  /** Forgets everything; data that is under way still arrives where it was to go. */
  clear(): void {
    this.#entries = [];
    this.#first = 0;
    this.#started = 0;
    this.#metadataBytes = 0;
    this.#dataBytes = 0;
    this.#hasEnough = false;
    this.#onRoom();
  }

  #start(): void {
    const { dataBytes: limit } = this.#limits;
    if (this.#dataBytes === 0 || this.#dataBytes < limit * REFILL_BELOW) this.#hasEnough = false;
    while (!this.#hasEnough && this.#started < this.#entries.length) {
      const entry = this.#entries[this.#started++]!;
      entry.ready = this.#fill(entry);
      this.#dataBytes += entry.dataBytes;
      this.#hasEnough = this.#dataBytes > 0 && this.#dataBytes >= limit;
      if (entry.ready === null) entry.isReady = true;
      else noteReady(entry, entry.ready);
    }
  }

  /** `dataBytes` is known when it returns; null: everything is there. */
  #fill(entry: Prefetched): Promise<void> | null {
    const { event } = entry;
    try {
      const ranges = event.rangesOf(this.#select(event), 'select');
      if (ranges === null) return null;
      entry.dataBytes = selectedBytes(ranges);
      return event.select(ranges, this.#broker?.(event.metadata, event.descriptor, entry.dataBytes));
    } catch (error) {
      return Promise.reject(
        asDirectError(error, `select data of ${event.topic}-${event.partition}`, 'INVALID_ARGUMENT'),
      );
    }
  }
}

function noteReady(entry: Prefetched, ready: Promise<void>): void {
  ready.then(
    () => {
      entry.isReady = true;
    },
    () => undefined,
  );
}

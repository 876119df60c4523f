import type { DataBroker } from './consumer-options.ts';
import type { Event } from './event.ts';
import { type DataSelector, rangesOf, selectedBytes } from './selection.ts';

/** An event that was fetched and not pulled yet. */
export interface Prefetched {
  readonly event: Event;
  readonly metadataBytes: number;
  /** Of its selected data; 0 before that was asked for. */
  dataBytes: number;
  /** Settles when the selected data is there; null before it was asked for. */
  ready: Promise<void> | null;
}

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
  readonly #select: DataSelector;
  readonly #broker: DataBroker | undefined;
  readonly #onRoom: () => void;
  readonly #entries: Prefetched[] = [];
  /** Entries whose data was asked for: the first so many. */
  #started = 0;
  #metadataBytes = 0;
  #dataBytes = 0;

  /** @param onRoom called when there is room for more metadata again */
  constructor(
    limits: PrefetchLimits,
    select: DataSelector,
    broker: DataBroker | undefined,
    onRoom: () => void,
  ) {
    this.#limits = limits;
    this.#select = select;
    this.#broker = broker;
    this.#onRoom = onRoom;
  }

  get head(): Prefetched | undefined {
    return this.#entries[0];
  }

  get size(): number {
    return this.#entries.length;
  }

  get metadataBytes(): number {
    return this.#metadataBytes;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Whether no more metadata should be fetched. */
  get isFull(): boolean {
    return this.#metadataBytes >= this.#limits.metadataBytes;
  }

  /** Bytes of metadata that may be fetched. */
  get room(): number {
    return Math.max(0, this.#limits.metadataBytes - this.#metadataBytes);
  }

  push(event: Event, metadataBytes: number): void {
    this.#entries.push({ event, metadataBytes, dataBytes: 0, ready: null });
    this.#metadataBytes += metadataBytes;
    this.#start();
  }

  /** Takes the first event. Rejects with a DirectError when its data cannot be had. */
  async take(): Promise<Event> {
    const head = this.#entries.shift()!;
    this.#started--;
    this.#metadataBytes -= head.metadataBytes;
    this.#dataBytes -= head.dataBytes;
    this.#start();
    if (!this.isFull) this.#onRoom();
    await head.ready;
    return head.event;
  }

  /** Forgets everything; data that is under way still arrives where it was to go. */
  clear(): void {
    this.#entries.length = 0;
    this.#started = 0;
    this.#metadataBytes = 0;
    this.#dataBytes = 0;
    this.#onRoom();
  }

  #start(): void {
    while (
      this.#started < this.#entries.length &&
      (this.#dataBytes === 0 || this.#dataBytes < this.#limits.dataBytes)
    ) {
      const entry = this.#entries[this.#started++]!;
      // Runs up to its first wait, so that `dataBytes` is known.
      entry.ready = this.#fill(entry);
      entry.ready.catch(() => undefined);
      this.#dataBytes += entry.dataBytes;
    }
  }

  async #fill(entry: Prefetched): Promise<void> {
    const { event } = entry;
    const { metadata, descriptor } = event;
    const selection = this.#select(metadata, descriptor);
    const doing = `select data of ${event.topic}-${event.partition} at ${event.offset}`;
    const ranges = rangesOf(selection, descriptor.size, doing);
    if (ranges === null) return;
    entry.dataBytes = selectedBytes(ranges);
    await event.select(selection, this.#broker?.(metadata, descriptor, entry.dataBytes));
  }
}

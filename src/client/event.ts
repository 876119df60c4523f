import type { RecordHeader } from '../protocol/records/builder.ts';
import { referencedValue } from '../protocol/records/payload-reference.ts';
import { bytesOfView } from './bytes.ts';
import { type Abortable, checkSignal, DirectError, unlessAborted } from './errors.ts';
import { type FetchedRecord, type RecordSection, SectionReader } from './fetched-record.ts';
import type { Awaiting } from './get-line.ts';
import type { Getter } from './getter.ts';
import type { View } from './mapped-memory.ts';
import type { EventSource } from './prefetch-queue.ts';
import type { Referenced } from './references.ts';
import { type DataDescriptor, type Range, rangesOf, type Selection, selectedBytes } from './selection.ts';
import type { TopicHandle } from './topic.ts';

/** What the events of one partition have in common. */
export interface EventOrigin {
  readonly topic: TopicHandle;
  readonly partition: number;
  /** The gateway that data is to be had from. */
  readonly node: number;
  readonly getter: Getter;
  /** The reference of one record again; null when it is gone. */
  readonly renew: (offset: bigint) => Promise<Uint8Array | null>;
  readonly acknowledge: (offset: bigint) => void;
}

/** The value of a record that was fetched without it. */
class StoredValue implements Referenced {
  readonly #record: FetchedRecord;
  readonly #origin: EventOrigin;
  #renewed: Uint8Array | null = null;

  constructor(record: FetchedRecord, origin: EventOrigin) {
    this.#record = record;
    this.#origin = origin;
  }

  get node(): number {
    return this.#origin.node;
  }

  get size(): number {
    return this.#record.referenced!;
  }

  get crc(): number {
    return this.#record.referencedCrc;
  }

  get reference(): Uint8Array {
    return this.#renewed ?? this.#record.value!;
  }

  get batch(): object {
    return this.#renewed ?? this.#record.batch;
  }

  copyOfSameBatch(to: Uint8Array, at: number): void {
    this.#record.copyOfSameBatch(to, at);
  }

  get doing(): string {
    return doingWith('get', this.#origin, this.#record);
  }

  async renew(): Promise<boolean> {
    const reference = await this.#origin.renew(this.#record.offset);
    if (reference === null || !this.#isOfThis(reference)) return false;
    this.#renewed = reference;
    return true;
  }

  /** The topic may have been made anew, with another record at this offset. */
  #isOfThis(reference: Uint8Array): boolean {
    const { length, crc } = referencedValue(reference);
    return length === this.size && crc === this.crc;
  }
}

/** An event, or a record of a plain Kafka producer: it has no metadata, and its value is the data. */
export class Event {
  readonly #record: FetchedRecord;
  readonly #origin: EventOrigin;
  #metadata: unknown;
  #hasMetadata = false;
  #selected: Uint8Array | null = null;
  /** Small data that was selected and not looked at yet: most is not copied before. */
  #unlooked: readonly Required<Range>[] | null = null;
  #stored: StoredValue | null = null;

  constructor(record: FetchedRecord, origin: EventOrigin) {
    this.#record = record;
    this.#origin = origin;
  }

  get topic(): string {
    return this.#origin.topic.name;
  }

  get partition(): number {
    return this.#origin.partition;
  }

  get offset(): bigint {
    return this.#record.offset;
  }

  /** Milliseconds since the epoch. */
  get timestamp(): number {
    return this.#record.timestamp;
  }

  get key(): Uint8Array | null {
    return this.#record.key;
  }

  /** Those that the producer added. */
  get headers(): readonly RecordHeader[] {
    return this.#record.headers;
  }

  get descriptor(): DataDescriptor {
    return { size: this.#size, inline: this.#record.referenced === null };
  }

  get #size(): number {
    const { referenced, valueLength } = this.#record;
    return referenced ?? Math.max(0, valueLength);
  }

  /** Read when it is asked for first; null for records of plain producers. @throws DirectError INVALID_METADATA */
  get metadata(): unknown {
    if (!this.#hasMetadata) {
      this.#metadata = this.#origin.topic.read(this.#record, this);
      this.#hasMetadata = true;
    }
    return this.#metadata;
  }

  /** What the consumer's data selector selected, in the memory that its data broker gave; null when that was none. */
  get selected(): Uint8Array | null {
    if (this.#unlooked !== null) {
      this.#selected = this.#memoryFor(selectedBytes(this.#unlooked));
      this.#record.copySelected(this.#unlooked, this.#selected);
      this.#unlooked = null;
    }
    return this.#selected;
  }

  /**
   * Gets data, now or later; many may be under way.
   * @param selection what is wanted, one part behind the other; default all
   * @param target where it goes: as many bytes as are selected, in any typed array; memory of `client.allocate` is not copied to. Its content is
   *   undefined when the promise rejects
   * @param options `signal` ends the wait; the target may be written to until the answer has come
   * @returns the target
   */
  data<T extends ArrayBufferView>(
    selection: Selection | undefined,
    target: T,
    options?: Abortable,
  ): Promise<T>;
  data(selection?: Selection, target?: Uint8Array, options?: Abortable): Promise<Uint8Array>;
  async data(
    selection: Selection = 'all',
    target?: ArrayBufferView,
    { signal }: Abortable = {},
  ): Promise<ArrayBufferView> {
    checkSignal(signal, this.#doing('get'));
    const ranges = this.rangesOf(selection, 'get') ?? [];
    const into = this.#targetOf(ranges, target);
    if (into.byteLength > 0 && this.#record.referenced !== null) {
      const got = this.#origin.getter.get(this.#storedValue(), ranges, into);
      await unlessAborted(() => got, this.#doing('get'), signal);
    } else {
      this.#record.copySelected(ranges, into);
    }
    return target ?? into;
  }

  /**
   * A part of the data where it lies, where the client's path is `mapped`: nothing is copied, it must only be read (a write ends the
   * process), and it takes of what the gateway lets one client hold until it is released. A copy of it on other paths.
   * @param range default: all
   */
  view(range?: { offset: number; length: number }, { signal }: Abortable = {}): Promise<View> {
    return unlessAborted(
      () => this.#view(range),
      this.#doing('view'),
      signal,
      (view) => view.release(),
    );
  }

  async #view(range?: { offset: number; length: number }): Promise<View> {
    const selection = range === undefined ? 'all' : [range];
    const [part] = this.rangesOf(selection, 'view') ?? [];
    if (this.#record.referenced !== null && part !== undefined && part.length > 0) {
      const view = await this.#origin.getter.view(this.#storedValue(), part);
      if (view !== null) return view;
    }
    return { bytes: await this.data(selection), release() {} };
  }

  /** For the consumer, which asks for data before it hands events out. */
  rangesOf(selection: Selection, verb: 'get' | 'view' | 'select'): readonly Required<Range>[] | null {
    return rangesOf(selection, this.#size, () => this.#doing(verb));
  }

  /** For the consumer: gets what becomes `selected`, and tells who awaits it; at once when it is there. */
  select(ranges: readonly Required<Range>[], target: ArrayBufferView | undefined, awaiting: Awaiting): void {
    const isHere = this.#record.referenced === null;
    if (isHere && target === undefined && ranges.length === 1 && ranges[0]!.count === 1) {
      this.#unlooked = ranges;
      awaiting.arrived(null);
      return;
    }
    const into = this.#targetOf(ranges, target);
    this.#selected = into;
    if (into.byteLength > 0 && !isHere) {
      const value = this.#storedValue();
      const { arriving, referencedOffset } = this.#record;
      if (!arriving?.take(value, referencedOffset, ranges, into, awaiting))
        this.#origin.getter.fill(value, ranges, into, awaiting);
      return;
    }
    this.#record.copySelected(ranges, into);
    awaiting.arrived(null);
  }

  /** This event and those before it in its partition need not be delivered again: what commits are made of. */
  acknowledge(): void {
    this.#origin.acknowledge(this.offset);
  }

  #targetOf(ranges: readonly Required<Range>[], target: ArrayBufferView | undefined): Uint8Array {
    const bytes = selectedBytes(ranges);
    if (target === undefined) return this.#memoryFor(bytes);
    if (ArrayBuffer.isView(target) && target.byteLength === bytes) return bytesOfView(target);
    const what = ArrayBuffer.isView(target)
      ? `a target of ${target.byteLength} bytes for ${bytes}`
      : 'the target is no typed array';
    throw new DirectError('INVALID_ARGUMENT', what, { doing: this.#doing('get') });
  }

  #memoryFor(bytes: number): Uint8Array {
    try {
      return Buffer.allocUnsafe(bytes);
    } catch (cause) {
      throw new DirectError(
        'INVALID_ARGUMENT',
        `${bytes} bytes are selected, which no memory can be had for`,
        {
          doing: this.#doing('get'),
          todo: 'select less at a time',
          cause,
        },
      );
    }
  }

  #storedValue(): StoredValue {
    this.#stored ??= new StoredValue(this.#record, this.#origin);
    return this.#stored;
  }

  #doing(verb: 'get' | 'view' | 'select'): string {
    return doingWith(verb, this.#origin, this.#record);
  }
}

/** The events of a records section, from an offset on, made one by one. */
export class FetchedEvents implements EventSource {
  readonly #section: RecordSection;
  readonly #origin: EventOrigin;
  readonly #offset: bigint;
  #reader: SectionReader | null = null;
  #last: FetchedRecord | null = null;

  constructor(section: RecordSection, offset: bigint, origin: EventOrigin) {
    this.#section = section;
    this.#origin = origin;
    this.#offset = offset > section.baseOffset ? offset : section.baseOffset;
  }

  get topic(): string {
    return this.#origin.topic.name;
  }

  get partition(): number {
    return this.#origin.partition;
  }

  get nextOffset(): bigint {
    return this.#last === null ? this.#offset : this.#last.offset + 1n;
  }

  /** @throws ApiError INVALID_RECORD */
  next(): Event | null {
    this.#reader ??= new SectionReader(this.#section, this.#offset);
    const record = this.#reader.next();
    if (record === null) return null;
    this.#last = record;
    return new Event(record, this.#origin);
  }
}

/** What is done with an event's data, for errors. */
function doingWith(verb: string, { topic, partition }: EventOrigin, { offset }: FetchedRecord): string {
  return `${verb} data of ${topic.name}-${partition} at ${offset}`;
}

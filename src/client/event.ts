import type { RecordHeader } from '../protocol/records/builder.ts';
import { METADATA_HEADER } from './batch-encoder.ts';
import { DirectError } from './errors.ts';
import type { Getter, Referenced } from './getter.ts';
import type { View } from './mapped-memory.ts';
import {
  copySelected,
  type DataDescriptor,
  type Range,
  rangesOf,
  type Selection,
  selectedBytes,
} from './selection.ts';
import type { TopicHandle } from './topic.ts';

/** Where an event's data comes from: it came with the record, or a reference to it did. */
export type DataSource =
  | { readonly kind: 'inline'; readonly value: Uint8Array | null }
  | (Referenced & { readonly kind: 'reference' });

const NO_HEADERS: readonly RecordHeader[] = [];
const HERE = Promise.resolve();

export interface EventParts {
  readonly topic: TopicHandle;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  readonly source: DataSource;
}

/** An event, or a record of a plain Kafka producer: it has no metadata, and its value is the data. */
export class Event {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  /** Those that the producer added. */
  readonly headers: readonly RecordHeader[];
  readonly descriptor: DataDescriptor;
  readonly #handle: TopicHandle;
  readonly #source: DataSource;
  readonly #getter: Getter;
  readonly #onAcknowledge: (event: Event) => void;
  readonly #metadataBytes: Uint8Array | null;
  #metadata: unknown;
  #hasMetadata = false;
  #selected: Uint8Array | null = null;

  constructor(parts: EventParts, getter: Getter, onAcknowledge: (event: Event) => void) {
    this.topic = parts.topic.name;
    this.partition = parts.partition;
    this.offset = parts.offset;
    this.timestamp = parts.timestamp;
    this.key = parts.key;
    const isMetadata = ({ key }: RecordHeader) => key === METADATA_HEADER;
    const isAlone = parts.headers.length === 1 && isMetadata(parts.headers[0]!);
    this.headers = isAlone ? NO_HEADERS : parts.headers.filter((header) => !isMetadata(header));
    this.#metadataBytes = parts.headers.find(isMetadata)?.value ?? null;
    this.#handle = parts.topic;
    this.#source = parts.source;
    this.#getter = getter;
    this.#onAcknowledge = onAcknowledge;
    const { source } = parts;
    const size = source.kind === 'inline' ? (source.value?.byteLength ?? 0) : source.size;
    this.descriptor = { size, inline: source.kind === 'inline' };
  }

  /** Read when it is asked for first; null for records of plain producers. @throws DirectError INVALID_METADATA */
  get metadata(): unknown {
    if (!this.#hasMetadata) {
      this.#metadata = this.#metadataBytes === null ? null : this.#handle.deserialize(this.#metadataBytes);
      this.#hasMetadata = true;
    }
    return this.#metadata;
  }

  /** What the consumer's data selector selected, in the memory that its data broker gave; null when that was none. */
  get selected(): Uint8Array | null {
    return this.#selected;
  }

  /**
   * Gets data, now or later; many may be under way.
   * @param selection what is wanted, one part behind the other; default all
   * @param target where it goes: as many bytes as are selected; memory of `client.allocate` is not copied to. Its content is undefined
   *   when the promise rejects
   * @returns the target
   */
  async data(selection: Selection = 'all', target?: Uint8Array): Promise<Uint8Array> {
    const ranges = rangesOf(selection, this.descriptor.size, () => this.#doing('get')) ?? [];
    const into = this.#targetOf(ranges, target);
    await this.#fill(ranges, into);
    return into;
  }

  /**
   * A part of the data where it lies, where the client's path is `mapped`: nothing is copied, it must only be read (a write ends the
   * process), and it takes of what the gateway lets one client hold until it is released. A copy of it on other paths.
   * @param range default: all
   */
  async view(range?: { offset: number; length: number }): Promise<View> {
    const selection = range === undefined ? 'all' : [range];
    const source = this.#source;
    const [part] = rangesOf(selection, this.descriptor.size, () => this.#doing('view')) ?? [];
    if (source.kind === 'reference' && part !== undefined && part.length > 0) {
      const view = await this.#getter.view(source, part);
      if (view !== null) return view;
    }
    return { bytes: await this.data(selection), release() {} };
  }

  /**
   * For the consumer, which selects before it hands events out: `selected` is there when the promise resolves. Throws a DirectError when the
   * target is not as large as what is selected.
   */
  select(ranges: readonly Required<Range>[], target: Uint8Array | undefined): Promise<void> {
    const into = this.#targetOf(ranges, target);
    this.#selected = into;
    return this.#fill(ranges, into);
  }

  /** This event and those before it in its partition need not be delivered again: what commits are made of. */
  acknowledge(): void {
    this.#onAcknowledge(this);
  }

  #targetOf(ranges: readonly Required<Range>[], target: Uint8Array | undefined): Uint8Array {
    const bytes = selectedBytes(ranges);
    const into = target ?? Buffer.allocUnsafe(bytes);
    if (into.byteLength === bytes) return into;
    throw new DirectError('INVALID_ARGUMENT', `a target of ${into.byteLength} bytes for ${bytes}`, {
      doing: this.#doing('get'),
    });
  }

  #fill(ranges: readonly Required<Range>[], into: Uint8Array): Promise<void> {
    const source = this.#source;
    if (source.kind === 'reference') return this.#getter.get(source, ranges, into);
    if (source.value !== null) copySelected(source.value, ranges, into);
    return HERE;
  }

  #doing(what: string): string {
    return `${what} data of ${this.topic}-${this.partition} at ${this.offset}`;
  }
}

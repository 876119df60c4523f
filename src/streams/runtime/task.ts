import { partitionOfKey } from '../../client/murmur2.ts';
import { StreamsError } from '../errors.ts';
import type { Operator, OperatorContext, SinkNode, SourceNode, StoreSpec, TopicSpec } from '../graph.ts';
import {
  bytesOf,
  type FlowRecord,
  type OutputRecord,
  type RawRecord,
  type TopicPartition,
} from '../records.ts';
import { IntervalStore } from '../stores/interval-store.ts';
import { KeyValueStore } from '../stores/key-value-store.ts';
import type { MemoryBudget, ValueStorage } from '../stores/value-storage.ts';
import type { SubTopology } from '../topology.ts';
import type { StreamsMetrics } from './metrics.ts';

/** What happens with a record that cannot be deserialized. */
export type BadRecordPolicy = 'fail' | 'skip' | { readonly deadLetterTopic: string };

/** What tasks of an application share. */
export interface TaskEnvironment {
  readonly applicationId: string;
  readonly badRecords: BadRecordPolicy;
  readonly budget: MemoryBudget;
  readonly metrics: StreamsMetrics;
  /** Of a topic that is written to. */
  partitionsOf(topic: string): number;
  values(task: string, store: string): ValueStorage;
}

export function topicName(applicationId: string, { name, internal }: TopicSpec): string {
  return internal ? `${applicationId}-${name}` : name;
}

export function changelogName(applicationId: string, store: string): string {
  return `${applicationId}-${store}-changelog`;
}

type Store = KeyValueStore | IntervalStore;

/** A sub-topology over one partition of each of its source topics, with its state. What it writes gathers until it is taken. */
export class Task {
  readonly id: string;
  readonly partition: number;
  readonly subTopology: SubTopology;
  readonly #environment: TaskEnvironment;
  readonly #stores = new Map<string, { spec: StoreSpec; store: Store }>();
  readonly #sources = new Map<string, { node: SourceNode; forward: (record: FlowRecord) => void }>();
  #output: OutputRecord[] = [];
  #outputBytes = 0;
  /** The highest time of a record so far; -1 before the first. */
  streamTime = -1;

  constructor(subTopology: SubTopology, partition: number, environment: TaskEnvironment) {
    this.id = `${subTopology.id}_${partition}`;
    this.partition = partition;
    this.subTopology = subTopology;
    this.#environment = environment;
    try {
      for (const spec of subTopology.stores)
        this.#stores.set(spec.name, { spec, store: this.#openStore(spec) });
      this.#wire();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get changelogs(): TopicPartition[] {
    const { partition } = this;
    return [...this.#stores.keys()].map((store) => ({
      topic: changelogName(this.#environment.applicationId, store),
      partition,
    }));
  }

  get outputBytes(): number {
    return this.#outputBytes;
  }

  #openStore({ name, interval }: StoreSpec): Store {
    const { applicationId, budget } = this.#environment;
    const topic = changelogName(applicationId, name);
    const values = this.#environment.values(this.id, name);
    const changed = (key: Buffer, value: Buffer | null, timestamp: number) =>
      this.#write({ topic, partition: this.partition, key, value, timestamp, headers: [] });
    return interval === null
      ? new KeyValueStore(name, values, budget, changed)
      : new IntervalStore(name, interval, values, budget, changed);
  }

  #wire(): void {
    const inputs = new Map<unknown, ((record: FlowRecord) => void)[]>();
    // Parents come before their children, and operators call those only when records flow.
    for (const node of this.subTopology.nodes) {
      const children: ((record: FlowRecord) => void)[] = [];
      inputs.set(node, children);
      const forward = (record: FlowRecord, child?: number) => {
        if (child === undefined) for (const next of children) next(record);
        else children[child]!(record);
      };
      if (node.type === 'source') {
        this.#sources.set(topicName(this.#environment.applicationId, node.topic), { node, forward });
        continue;
      }
      const run: Operator =
        node.type === 'sink' ? (record) => this.#sink(node, record) : node.create(this.#context(forward));
      for (const [parent, from] of node.parents.entries())
        inputs.get(from)!.push((record) => run(record, parent));
    }
  }

  #context(forward: OperatorContext['forward']): OperatorContext {
    const { metrics } = this.#environment;
    return {
      forward,
      streamTime: () => this.streamTime,
      keyValues: (name) => this.#stores.get(name)!.store as KeyValueStore,
      intervals: (name) => this.#stores.get(name)!.store as IntervalStore,
      dropped: (reason) => metrics.dropped.inc({ reason }),
    };
  }

  /** Where its inputs begin when nothing is committed. */
  startOf(topic: string): 'earliest' | 'latest' {
    return this.#sources.get(topic)!.node.from;
  }

  get inputs(): TopicPartition[] {
    return [...this.#sources.keys()].map((topic) => ({ topic, partition: this.partition }));
  }

  /** @throws StreamsError when the record is bad and the policy says so, when a function of the application throws, or state is full */
  process(record: RawRecord): void {
    const { node, forward } = this.#sources.get(record.topic)!;
    const { metrics } = this.#environment;
    metrics.recordsIn.inc();
    let key: unknown;
    let value: unknown;
    try {
      if (!isTime(record.timestamp)) throw new Error(`its timestamp, ${record.timestamp}, is no time in ms`);
      key = record.key === null ? null : node.keySerde.deserialize(record.key);
      value = record.value === null ? null : node.valueSerde.deserialize(record.value);
    } catch (cause) {
      this.#bad(record, cause);
      return;
    }
    const { timestamp, headers } = record;
    this.streamTime = Math.max(this.streamTime, timestamp);
    try {
      forward({ key, value, timestamp, headers });
    } catch (cause) {
      if (cause instanceof StreamsError && cause.code === 'STORE_FULL') throw cause;
      throw new StreamsError(
        cause instanceof StreamsError ? cause.code : 'PROCESSING',
        `processing ${place(record)} failed: ${(cause as Error).message}`,
        cause,
      );
    }
  }

  #bad(record: RawRecord, cause: unknown): void {
    const { badRecords, metrics } = this.#environment;
    const message = cause instanceof Error ? cause.message : String(cause);
    if (badRecords === 'fail')
      throw new StreamsError(
        'DESERIALIZATION',
        `${place(record)} cannot be read: ${message}; give the topic's serdes, or say what to do with ` +
          'such records: badRecords: "skip" or {deadLetterTopic}',
        cause,
      );
    metrics.badRecords.inc({ action: badRecords === 'skip' ? 'skip' : 'dead-letter' });
    if (badRecords === 'skip') return;
    const { key, value, timestamp } = record;
    const topic = badRecords.deadLetterTopic;
    const partition = record.partition % this.#environment.partitionsOf(topic);
    // Named as Kafka Streams names them (KIP-1034).
    const headers = [
      ['__streams.errors.exception', cause instanceof Error ? cause.name : 'Error'],
      ['__streams.errors.message', message],
      ['__streams.errors.topic', record.topic],
      ['__streams.errors.partition', String(record.partition)],
      ['__streams.errors.offset', String(record.offset)],
    ].map(([name, text]) => [name!, Buffer.from(text!)] as const);
    this.#write({
      topic,
      partition,
      key,
      value,
      timestamp: isTime(timestamp) ? timestamp : 0,
      headers: [...record.headers, ...headers],
    });
  }

  #sink(node: SinkNode, { key, value, timestamp, headers }: FlowRecord): void {
    const topic = topicName(this.#environment.applicationId, node.topic);
    const keyBytes = (key ?? null) === null ? null : node.keySerde.serialize(key);
    const valueBytes = (value ?? null) === null ? null : node.valueSerde.serialize(value);
    const partitions = this.#environment.partitionsOf(topic);
    const partition = this.#choose(node, key, value, keyBytes, partitions);
    this.#write({ topic, partition, key: keyBytes, value: valueBytes, timestamp, headers });
  }

  #choose(node: SinkNode, key: unknown, value: unknown, keyBytes: Buffer | null, partitions: number): number {
    if (node.partitioner === null)
      return keyBytes === null ? this.partition % partitions : partitionOfKey(keyBytes, partitions);
    const partition = node.partitioner(key, value, partitions);
    if (Number.isInteger(partition) && partition >= 0 && partition < partitions) return partition;
    throw new StreamsError(
      'PROCESSING',
      `the partitioner of ${node.name} returned ${partition}; return a whole number from 0 to ${partitions - 1}`,
    );
  }

  #write(record: OutputRecord): void {
    this.#output.push(record);
    this.#outputBytes += bytesOf(record);
  }

  /** What has been written since the last call. */
  takeOutput(): OutputRecord[] {
    const output = this.#output;
    this.#output = [];
    this.#outputBytes = 0;
    this.#environment.metrics.recordsOut.inc(output.length);
    return output;
  }

  /** A record of one of its changelogs. @throws when it is none of the store's */
  restore(topic: string, record: RawRecord): void {
    const prefix = this.#environment.applicationId.length + 1;
    const name = topic.slice(prefix, -'-changelog'.length);
    const { store } = this.#stores.get(name)!;
    if (record.key === null)
      throw new StreamsError('BROKER', `${place(record)} has no key: it is no changelog`);
    store.restore(record.key, record.value, record.timestamp);
  }

  /** A store with its serdes, for tests. */
  store(name: string): { spec: StoreSpec; store: Store } | null {
    return this.#stores.get(name) ?? null;
  }

  /** Lets go of its state. */
  close(): void {
    for (const { store } of this.#stores.values()) store.close();
    this.#stores.clear();
  }
}

/** None has -1; what a number does not hold exactly, as nanoseconds, would make windows that do not end. */
function isTime(timestamp: number): boolean {
  return Number.isSafeInteger(timestamp) && timestamp >= 0;
}

function place({ topic, partition, offset }: RawRecord): string {
  return `the record at ${topic}-${partition} offset ${offset}`;
}

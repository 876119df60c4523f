import { partitionOfKey } from '../client/murmur2.ts';
import { invalid, StreamsError } from './errors.ts';
import type { Headers, OutputRecord } from './records.ts';
import { StreamsMetrics } from './runtime/metrics.ts';
import { type BadRecordPolicy, Task, topicName } from './runtime/task.ts';
import { type Serde, serdes } from './serdes.ts';
import { IntervalStore } from './stores/interval-store.ts';
import { MemoryBudget, MemoryValues } from './stores/value-storage.ts';
import type { Topology } from './topology.ts';

export interface TestDriverOptions {
  /** Of each source topic; 1 when absent. */
  readonly partitions?: number;
  readonly badRecords?: BadRecordPolicy;
  readonly stateMaxBytes?: number;
}

export interface TestRecord<K, V> {
  readonly key: K | null;
  readonly value: V | null;
  readonly timestamp: number;
  readonly headers: Headers;
}

export interface TestInput<K, V> {
  readonly key?: K | null;
  readonly value: V | null;
  /** Milliseconds since the Unix epoch; one more than the record before when absent, from 0 on. */
  readonly timestamp?: number;
  readonly partition?: number;
}

export interface TestSerdes<K, V> {
  /** Of keys; strings when absent. */
  readonly key?: Serde<K>;
  /** Of values; JSON when absent. */
  readonly value?: Serde<V>;
}

const APPLICATION = 'test';

/**
 * Runs a topology in memory, without brokers, for unit tests: the same tasks, stores and serdes as in an application. Each record that is
 * put in is processed to the end, through repartition topics too, before `pipe` returns.
 */
export class TestDriver {
  readonly metrics = new StreamsMetrics(APPLICATION);
  readonly #topology: Topology;
  readonly #tasks: Task[] = [];
  readonly #partitions = new Map<string, number>();
  readonly #written = new Map<string, OutputRecord[]>();
  readonly #offsets = new Map<string, number>();
  #nextTimestamp = 0;

  /** @throws StreamsError as an application would when it starts */
  constructor(topology: Topology, options: TestDriverOptions = {}) {
    const partitions = options.partitions ?? 1;
    this.#topology = topology;
    const counts = topology.partitionCounts(
      new Map(topology.sourceTopics.map((topic) => [topic, partitions])),
    );
    for (const [topic, count] of counts) this.#partitions.set(topicName(APPLICATION, topic), count);
    const budget = new MemoryBudget(options.stateMaxBytes ?? 256 << 20);
    for (const subTopology of topology.subTopologies) {
      const most = Math.max(...subTopology.sources.map(({ topic }) => counts.get(topic)!));
      for (let partition = 0; partition < most; partition++) {
        const task = new Task(subTopology, partition, {
          applicationId: APPLICATION,
          badRecords: options.badRecords ?? 'fail',
          budget,
          metrics: this.metrics,
          partitionsOf: (topic) => this.#partitions.get(topic) ?? partitions,
          values: (_task, store) => new MemoryValues(budget, store),
        });
        this.#tasks.push(task);
      }
    }
  }

  /** Puts a record into a source topic. @throws StreamsError as processing does */
  pipe<K = string, V = unknown>(topic: string, input: TestInput<K, V>, forms: TestSerdes<K, V> = {}): void {
    const { key = null, value } = input;
    const keySerde = forms.key ?? (serdes.string as unknown as Serde<K>);
    const valueSerde = forms.value ?? serdes.json<V>();
    this.pipeBytes(topic, {
      ...input,
      key: key === null ? null : keySerde.serialize(key),
      value: value === null ? null : valueSerde.serialize(value),
    });
  }

  /** As `pipe`, with what is on the wire. */
  pipeBytes(topic: string, input: TestInput<Buffer, Buffer>): void {
    if (!this.#topology.sourceTopics.includes(topic))
      throw invalid(
        `the topology does not read ${topic}; it reads ${this.#topology.sourceTopics.join(', ')}`,
      );
    const { key = null, value } = input;
    const timestamp = input.timestamp ?? this.#nextTimestamp;
    this.#nextTimestamp = timestamp + 1;
    const count = this.#partitions.get(topic)!;
    const partition = input.partition ?? (key === null ? 0 : partitionOfKey(key, count));
    if (partition >= count) throw invalid(`partition ${partition} of ${topic}, which has ${count}`);
    this.#deliver({ topic, partition, key, value, timestamp, headers: [] });
  }

  #deliver(first: OutputRecord): void {
    const waiting = [first];
    for (let record = waiting.shift(); record !== undefined; record = waiting.shift()) {
      const { topic, partition } = record;
      const task = this.#tasks.find(({ inputs }) =>
        inputs.some((input) => input.topic === topic && input.partition === partition),
      );
      if (task === undefined) continue;
      const offset = this.#offsets.get(topic) ?? 0;
      this.#offsets.set(topic, offset + 1);
      task.process({ ...record, offset });
      for (const output of task.takeOutput()) {
        const written = this.#written.get(output.topic) ?? [];
        this.#written.set(output.topic, written);
        written.push(output);
        if (this.#partitions.has(output.topic)) waiting.push(output);
      }
    }
  }

  /** What has been written to a topic since the last call, in order. */
  read<K = string, V = unknown>(topic: string, forms: TestSerdes<K, V> = {}): TestRecord<K, V>[] {
    const keySerde = forms.key ?? (serdes.string as unknown as Serde<K>);
    const valueSerde = forms.value ?? serdes.json<V>();
    const written = this.#written.get(topic) ?? [];
    this.#written.delete(topic);
    return written.map(({ key, value, timestamp, headers }) => ({
      key: key === null ? null : keySerde.deserialize(key),
      value: value === null ? null : valueSerde.deserialize(value),
      timestamp,
      headers,
    }));
  }

  /** The contents of a table's store, over all partitions: of windowed ones the key has its window. @throws StreamsError when there is none */
  store<V = unknown>(name: string): { key: unknown; value: V; start?: number; end?: number }[] {
    const found = this.#tasks.flatMap((task) => {
      const opened = task.store(name);
      return opened === null ? [] : [opened];
    });
    if (found.length === 0)
      throw new StreamsError('INVALID_ARGUMENT', `there is no store ${name}; see describe()`);
    return found.flatMap(({ spec, store }) => {
      const { keySerde, valueSerde } = spec;
      if (!(store instanceof IntervalStore))
        return [...store.entries()].map(([key, { value }]) => ({
          key: keySerde.deserialize(key),
          value: valueSerde.deserialize(value) as V,
        }));
      return [...store.entries()].map(([key, { value, start, tag }]) => ({
        key: keySerde.deserialize(key),
        value: valueSerde.deserialize(value) as V,
        start,
        ...(spec.interval!.expireBy === 'tag' ? { end: tag } : {}),
      }));
    });
  }

  close(): void {
    for (const task of this.#tasks.splice(0)) task.close();
  }
}

import { Graph, invalidTopology, type SourceNode } from '../graph.ts';
import { type Serde, serdes } from '../serdes.ts';
import { Topology } from '../topology.ts';
import type { Building } from './building.ts';
import type { SourceOptions } from './options.ts';
import { Stream } from './stream.ts';
import { type Table, tableOf } from './table.ts';

export interface BuilderOptions {
  /** Of keys where nothing else is given; strings when absent. */
  readonly key?: Serde<unknown>;
  /** Of values where nothing else is given; JSON when absent. */
  readonly value?: Serde<unknown>;
}

/** Builds a topology: `stream` and `table` begin it, their operators go on, `build` ends it. */
export class StreamsBuilder {
  readonly #building: Building;
  readonly #topics = new Set<string>();

  constructor(options: BuilderOptions = {}) {
    this.#building = {
      graph: new Graph(),
      keySerde: options.key ?? (serdes.string as Serde<unknown>),
      valueSerde: options.value ?? serdes.json(),
    };
  }

  /** The records of a topic. @throws StreamsError INVALID_TOPOLOGY when the topic is read already */
  stream<K = string, V = unknown>(topic: string, options: SourceOptions<K, V> = {}): Stream<K, V> {
    const source = this.#source(topic, options, options.from ?? 'earliest', options.name);
    return new Stream<K, V>(this.#building, {
      node: source,
      keySerde: source.keySerde,
      valueSerde: source.valueSerde,
      topics: new Set([source.topic]),
      keyChanged: false,
    });
  }

  /** The latest value of each key of a topic; null deletes. @throws StreamsError INVALID_TOPOLOGY when the topic is read already */
  table<K = string, V = unknown>(topic: string, options: SourceOptions<K, V> = {}): Table<K, V> {
    const source = this.#source(topic, options, 'earliest', undefined);
    const { keySerde, valueSerde } = source;
    const from = { node: source, keySerde, valueSerde, topics: new Set([source.topic]) };
    return tableOf<K, V>(this.#building, from, options.name);
  }

  #source<K, V>(
    topic: string,
    options: SourceOptions<K, V>,
    from: 'earliest' | 'latest',
    name: string | undefined,
  ): SourceNode {
    if (this.#topics.has(topic))
      throw invalidTopology(`${topic} is read already; use the stream or table of it again`);
    this.#topics.add(topic);
    const { graph, keySerde, valueSerde } = this.#building;
    return graph.add({
      type: 'source',
      name: graph.name('source', name),
      parents: [],
      topic: { name: topic, internal: false, partitions: null },
      keySerde: (options.key as Serde<unknown> | undefined) ?? keySerde,
      valueSerde: (options.value as Serde<unknown> | undefined) ?? valueSerde,
      from,
    });
  }

  /** @throws StreamsError INVALID_TOPOLOGY */
  build(): Topology {
    return new Topology(this.#building.graph);
  }
}

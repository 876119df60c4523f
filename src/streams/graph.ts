import { StreamsError } from './errors.ts';
import type { FlowRecord } from './records.ts';
import type { Serde } from './serdes.ts';
import type { IntervalStore, IntervalStoreOptions } from './stores/interval-store.ts';
import type { KeyValueStore } from './stores/key-value-store.ts';

/** A topic of the topology. Of internal ones the application's id comes before the name. */
export interface TopicSpec {
  readonly name: string;
  readonly internal: boolean;
  /** Of repartition topics that were given a number of partitions; null: as many as what feeds it, or what it is joined with. */
  readonly partitions: number | null;
}

export interface StoreSpec {
  readonly name: string;
  /** Null: a key-value store. */
  readonly interval: IntervalStoreOptions | null;
  /** For `TestDriver.store` and `describe`. */
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
}

/** What an operator sees of the task that it runs in. */
export interface OperatorContext {
  /** To all that come next, or to one of them. */
  forward(record: FlowRecord, child?: number): void;
  /** The highest time of a record that the task has seen. */
  streamTime(): number;
  keyValues(store: string): KeyValueStore;
  intervals(store: string): IntervalStore;
  /** Counts a record that is left out. */
  dropped(reason: 'late' | 'null-key'): void;
}

/** Handles a record that comes from the operator's parent of that index. */
export type Operator = (record: FlowRecord, parent: number) => void;

interface NodeBase {
  readonly name: string;
  readonly parents: readonly TopologyNode[];
}

export interface SourceNode extends NodeBase {
  readonly type: 'source';
  readonly topic: TopicSpec;
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
  /** Where to begin when nothing is committed. */
  readonly from: 'earliest' | 'latest';
}

export interface OperatorNode extends NodeBase {
  readonly type: 'operator';
  /** All whose state it uses, its own first. */
  readonly stores: readonly StoreSpec[];
  create(context: OperatorContext): Operator;
}

/** Chooses among partitions 0 to `partitions` - 1. */
export type Partitioner = (key: unknown, value: unknown, partitions: number) => number;

export interface SinkNode extends NodeBase {
  readonly type: 'sink';
  readonly topic: TopicSpec;
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
  /** Null: by the key as Kafka's producers choose. */
  readonly partitioner: Partitioner | null;
}

export type TopologyNode = SourceNode | OperatorNode | SinkNode;

/** Collects nodes while a topology is built. */
export class Graph {
  readonly nodes: TopologyNode[] = [];
  readonly copartitioned: { readonly topics: readonly TopicSpec[]; readonly by: string }[] = [];
  readonly #names = new Set<string>();
  #counter = 0;

  /** A name that no other node or store has: the one asked for, or a numbered one. @throws StreamsError INVALID_TOPOLOGY */
  name(kind: string, wanted?: string): string {
    const name = wanted ?? `${kind}-${String(this.#counter++).padStart(4, '0')}`;
    if (!/^[a-zA-Z0-9._-]{1,100}$/.test(name))
      throw invalidTopology(
        `"${name}" is no name; use letters, digits, dots, dashes and underscores, at most 100`,
      );
    if (this.#names.has(name)) throw invalidTopology(`the name "${name}" is used twice; choose another`);
    this.#names.add(name);
    return name;
  }

  add<N extends TopologyNode>(node: N): N {
    this.nodes.push(node);
    return node;
  }
}

export function invalidTopology(message: string): StreamsError {
  return new StreamsError('INVALID_TOPOLOGY', message);
}

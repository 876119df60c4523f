import type { Serde } from '../serdes.ts';

/** Serdes of what an operator makes; those before go on where it changes neither, else the builder's defaults apply. */
export interface SerdeOptions<K, V> {
  readonly key?: Serde<K>;
  readonly value?: Serde<V>;
}

export interface Named {
  /** Of the operator, and of the store and internal topic that it may have; one that stays keeps state when the topology changes. */
  readonly name?: string;
}

export interface SourceOptions<K, V> extends SerdeOptions<K, V>, Named {
  /** Where to begin when nothing is committed; earliest when absent. Tables always begin at the earliest. */
  readonly from?: 'earliest' | 'latest';
}

export interface SinkOptions<K, V> extends SerdeOptions<K, V>, Named {
  /** Chooses the partition; by the key as Kafka's producers do when absent. */
  readonly partitioner?: (key: K, value: V, partitions: number) => number;
}

export interface RepartitionOptions<K, V> extends SerdeOptions<K, V>, Named {
  /** Of the topic between; as many as what feeds it when absent. */
  readonly partitions?: number;
}

import { checkWhole, invalid } from '../errors.ts';
import type { Operator, OperatorContext, Partitioner, StoreSpec, TopicSpec, TopologyNode } from '../graph.ts';
import { joinRetention, joinStreams } from '../processors/join-streams.ts';
import {
  branchRecords,
  checkedRecords,
  filterRecords,
  passOn,
  peekRecords,
  settled,
} from '../processors/stateless.ts';
import { type Joiner, joinStreamWithTable } from '../processors/tables.ts';
import type { FlowRecord } from '../records.ts';
import type { Serde } from '../serdes.ts';
import type { JoinWindows } from '../windows.ts';
import type { Building } from './building.ts';
import { Grouped } from './grouped.ts';
import type { Named, RepartitionOptions, SerdeOptions, SinkOptions } from './options.ts';
import { type Table, tableOf } from './table.ts';

export interface StreamState {
  readonly node: TopologyNode;
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
  /** The source topics that its records come from. */
  readonly topics: ReadonlySet<TopicSpec>;
  /** Whether records may no longer lie in the partition of their key. */
  readonly keyChanged: boolean;
}

type ValueFunction<K, V, R> = (value: V, key: K) => R;

/** Records, one after the other. Functions take the value first, then the key; they must not return promises. */
export class Stream<K, V> {
  readonly #building: Building;
  readonly #state: StreamState;

  constructor(building: Building, state: StreamState) {
    this.#building = building;
    this.#state = state;
  }

  #next<K2, V2>(
    kind: string,
    create: (context: OperatorContext) => Operator,
    change: Partial<StreamState>,
    options: Named = {},
    stores: readonly StoreSpec[] = [],
    parents: readonly TopologyNode[] = [this.#state.node],
  ): Stream<K2, V2> {
    const { graph } = this.#building;
    const name = graph.name(kind, options.name);
    const node = graph.add({ type: 'operator', name, parents, stores, create });
    return new Stream<K2, V2>(this.#building, { ...this.#state, ...change, node });
  }

  #serdes({ key, value }: { key?: unknown; value?: unknown }, newKey: boolean): Partial<StreamState> {
    const { keySerde, valueSerde } = this.#building;
    return {
      valueSerde: (value as Serde<unknown> | undefined) ?? valueSerde,
      ...(newKey ? { keySerde: (key as Serde<unknown> | undefined) ?? keySerde, keyChanged: true } : {}),
    };
  }

  /** Another key and value for each record. */
  map<K2, V2>(
    map: ValueFunction<K, V, readonly [K2, V2]>,
    options: SerdeOptions<K2, V2> & Named = {},
  ): Stream<K2, V2> {
    return this.#pairs('map', (value, key) => [map(value, key)], options);
  }

  mapValues<V2>(
    map: ValueFunction<K, V, V2>,
    options: Pick<SerdeOptions<K, V2>, 'value'> & Named = {},
  ): Stream<K, V2> {
    const step = (record: FlowRecord) => [{ ...record, value: map(record.value as V, record.key as K) }];
    return this.#next('map-values', checkedRecords('mapValues', step), this.#serdes(options, false), options);
  }

  /** Any number of records for each. */
  flatMap<K2, V2>(
    map: ValueFunction<K, V, Iterable<readonly [K2, V2]>>,
    options: SerdeOptions<K2, V2> & Named = {},
  ): Stream<K2, V2> {
    return this.#pairs('flat-map', map, options);
  }

  #pairs<K2, V2>(
    kind: string,
    map: ValueFunction<K, V, Iterable<readonly [K2, V2]>>,
    options: SerdeOptions<K2, V2> & Named,
  ): Stream<K2, V2> {
    const step = (record: FlowRecord) =>
      Array.from(settled(map(record.value as V, record.key as K), kind), (pair) => {
        if (!Array.isArray(pair)) throw invalid('map and flatMap return pairs: [key, value]');
        return { ...record, key: pair[0] as unknown, value: pair[1] as unknown };
      });
    return this.#next(kind, checkedRecords(kind, step), this.#serdes(options, true), options);
  }

  /** Any number of values for each; keys stay. */
  flatMapValues<V2>(
    map: ValueFunction<K, V, Iterable<V2>>,
    options: Pick<SerdeOptions<K, V2>, 'value'> & Named = {},
  ): Stream<K, V2> {
    const step = (record: FlowRecord) =>
      Array.from(settled(map(record.value as V, record.key as K), 'flatMapValues'), (value) => ({
        ...record,
        value: value as unknown,
      }));
    return this.#next(
      'flat-map-values',
      checkedRecords('flatMapValues', step),
      this.#serdes(options, false),
      options,
    );
  }

  filter(keep: ValueFunction<K, V, boolean>, options: Named = {}): Stream<K, V> {
    return this.#next('filter', filterRecords('filter', keep as never), {}, options);
  }

  /** Looks at each record and lets it pass. */
  peek(look: ValueFunction<K, V, void>, options: Named = {}): Stream<K, V> {
    return this.#next('peek', peekRecords(look as never), {}, options);
  }

  selectKey<K2>(
    select: ValueFunction<K, V, K2>,
    options: Pick<SerdeOptions<K2, V>, 'key'> & Named = {},
  ): Stream<K2, V> {
    const step = (record: FlowRecord) => [{ ...record, key: select(record.value as V, record.key as K) }];
    const { keySerde = this.#building.keySerde } = this.#serdes(options, true);
    return this.#next(
      'select-key',
      checkedRecords('selectKey', step),
      { keySerde, keyChanged: true },
      options,
    );
  }

  /** Records of both, in no promised order. Both need the same serdes. */
  merge(other: Stream<K, V>, options: Named = {}): Stream<K, V> {
    const change = {
      topics: new Set([...this.#state.topics, ...other.#state.topics]),
      keyChanged: this.#state.keyChanged || other.#state.keyChanged,
    };
    return this.#next('merge', passOn, change, options, [], [this.#state.node, other.#state.node]);
  }

  /** One stream for each predicate: a record goes to the first that holds, or to none. */
  branch(...predicates: ValueFunction<K, V, boolean>[]): Stream<K, V>[] {
    if (predicates.length === 0) throw invalid('branch needs predicates; give one for each stream');
    const branching = this.#next<K, V>('branch', branchRecords('branch', predicates as never), {});
    return predicates.map(() => branching.#next<K, V>('branched', passOn, {}));
  }

  /** Sends records through a topic of the application, so that each lies in the partition of its key. */
  repartition(options: RepartitionOptions<K, V> = {}): Stream<K, V> {
    const { graph } = this.#building;
    if (options.partitions !== undefined) checkWhole('partitions', options.partitions, 1, 100_000);
    const name = graph.name('repartition', options.name);
    const topic = { name: `${name}-repartition`, internal: true, partitions: options.partitions ?? null };
    const keySerde = (options.key as Serde<unknown> | undefined) ?? this.#state.keySerde;
    const valueSerde = (options.value as Serde<unknown> | undefined) ?? this.#state.valueSerde;
    const ends = { topic, keySerde, valueSerde };
    graph.add({
      type: 'sink',
      name: `${name}-sink`,
      parents: [this.#state.node],
      partitioner: null,
      ...ends,
    });
    const node = graph.add({
      type: 'source',
      name: `${name}-source`,
      parents: [],
      from: 'earliest',
      ...ends,
    });
    return new Stream<K, V>(this.#building, {
      node,
      keySerde,
      valueSerde,
      topics: new Set([topic]),
      keyChanged: false,
    });
  }

  /** Itself, or repartitioned when keys may have changed. */
  #byKey(name: string | undefined): Stream<K, V> {
    if (!this.#state.keyChanged) return this;
    return this.repartition(name === undefined ? {} : { name: `${name}-by-key` });
  }

  groupByKey(options: SerdeOptions<K, V> & Named = {}): Grouped<K, V> {
    const given = {
      ...(options.key === undefined ? {} : { keySerde: options.key as Serde<unknown> }),
      ...(options.value === undefined ? {} : { valueSerde: options.value as Serde<unknown> }),
    };
    const stream = new Stream<K, V>(this.#building, { ...this.#state, ...given }).#byKey(options.name);
    return new Grouped<K, V>(this.#building, stream.#state);
  }

  /** Groups by another key, through a repartition topic. */
  groupBy<K2>(select: ValueFunction<K, V, K2>, options: SerdeOptions<K2, V> & Named = {}): Grouped<K2, V> {
    const { key } = options;
    return this.selectKey(select, key === undefined ? {} : { key }).groupByKey(options);
  }

  /** Writes each record to a topic. */
  to(topic: string, options: SinkOptions<K, V> = {}): void {
    const { graph } = this.#building;
    graph.add({
      type: 'sink',
      name: graph.name('sink', options.name),
      parents: [this.#state.node],
      topic: { name: topic, internal: false, partitions: null },
      keySerde: (options.key as Serde<unknown> | undefined) ?? this.#state.keySerde,
      valueSerde: (options.value as Serde<unknown> | undefined) ?? this.#state.valueSerde,
      partitioner: (options.partitioner as Partitioner | undefined) ?? null,
    });
  }

  /** The latest value of each key; null deletes. */
  toTable(options: Named = {}): Table<K, V> {
    const { node, topics, keySerde, valueSerde } = this.#byKey(options.name).#state;
    return tableOf<K, V>(this.#building, { node, keySerde, valueSerde, topics }, options.name);
  }

  /** Pairs of records of two streams that have one key and are near in time; each pair comes once. */
  join<V2, R>(
    other: Stream<K, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    windows: JoinWindows,
    options: Pick<SerdeOptions<K, R>, 'value'> & Named = {},
  ): Stream<K, R> {
    if (this.#state.node === other.#state.node)
      throw invalid('a stream is not joined with itself as it is; map the values of one side first');
    const [left, right] = [this.#byKey(prefixed(options, 'left')), other.#byKey(prefixed(options, 'right'))];
    const { graph } = this.#building;
    const name = graph.name('join', options.name);
    const interval = { retentionMs: joinRetention(windows), expireBy: 'start' as const };
    const store = (side: string, { keySerde, valueSerde }: StreamState): StoreSpec => ({
      name: graph.name('store', `${name}-${side}`),
      interval,
      keySerde,
      valueSerde,
    });
    const stores = [store('left', left.#state), store('right', right.#state)] as const;
    const node = graph.add({
      type: 'operator',
      name,
      parents: [left.#state.node, right.#state.node],
      stores,
      create: joinStreams(windows, stores, joiner as Joiner, name),
    });
    const topics = new Set([...left.#state.topics, ...right.#state.topics]);
    graph.copartitioned.push({ topics: [...topics], by: name });
    return new Stream<K, R>(this.#building, {
      ...left.#state,
      ...this.#serdes(options, false),
      node,
      topics,
    });
  }

  /** Each record with what the table has for its key when it is processed; records without are left out. */
  joinTable<V2, R>(
    table: Table<K, V2>,
    joiner: (value: V, entry: V2, key: K) => R,
    options: Pick<SerdeOptions<K, R>, 'value'> & Named = {},
  ): Stream<K, R> {
    return this.#withTable('inner', table, joiner as Joiner, options);
  }

  /** As `joinTable`, with null where the table has nothing. */
  leftJoinTable<V2, R>(
    table: Table<K, V2>,
    joiner: (value: V, entry: V2 | null, key: K) => R,
    options: Pick<SerdeOptions<K, R>, 'value'> & Named = {},
  ): Stream<K, R> {
    return this.#withTable('left', table, joiner as Joiner, options);
  }

  #withTable<V2, R>(
    kind: 'inner' | 'left',
    table: Table<K, V2>,
    joiner: Joiner,
    options: Pick<SerdeOptions<K, R>, 'value'> & Named,
  ): Stream<K, R> {
    const stream = this.#byKey(options.name);
    const { find, stores, topics } = table.forJoin();
    const joined = stream.#next<K, R>(
      'join-table',
      joinStreamWithTable(kind, joiner, find, 'joinTable'),
      this.#serdes(options, false),
      options,
      stores,
    );
    const all = [...new Set([...stream.#state.topics, ...topics])];
    this.#building.graph.copartitioned.push({ topics: all, by: joined.#state.node.name });
    return joined;
  }
}

function prefixed({ name }: Named, side: string): string | undefined {
  return name === undefined ? undefined : `${name}-${side}`;
}

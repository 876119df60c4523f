import { invalid } from '../errors.ts';
import type { Operator, OperatorContext, StoreSpec, TopicSpec, TopologyNode } from '../graph.ts';
import { changesToRecords, mapTable, settled } from '../processors/stateless.ts';
import {
  type Joiner,
  joinedValue,
  joinTables,
  keepLatest,
  type Lookup,
  storeLookup,
  type TableJoin,
} from '../processors/tables.ts';
import type { Serde } from '../serdes.ts';
import type { Building } from './building.ts';
import type { Named, SerdeOptions } from './options.ts';
import { Stream } from './stream.ts';

/** How other operators look up a table's values. */
export interface TableLookup {
  readonly find: Lookup;
  readonly stores: readonly StoreSpec[];
}

export interface TableState {
  readonly node: TopologyNode;
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
  readonly topics: ReadonlySet<TopicSpec>;
  /** Null: of windowed tables, which are not joined. */
  readonly lookup: TableLookup | null;
}

type ValueOption<V> = Pick<SerdeOptions<never, V>, 'value'> & Named;

/** The latest value of each key. Null is no value: functions are not called with it. */
export class Table<K, V> {
  readonly #building: Building;
  readonly #state: TableState;

  constructor(building: Building, state: TableState) {
    this.#building = building;
    this.#state = state;
  }

  /** Every change as a record; the value is null where a key was deleted. */
  toStream(options: Named = {}): Stream<K, V> {
    const { graph } = this.#building;
    const { node, keySerde, valueSerde, topics } = this.#state;
    const name = graph.name('to-stream', options.name);
    const changes = graph.add({
      type: 'operator',
      name,
      parents: [node],
      stores: [],
      create: changesToRecords,
    });
    return new Stream<K, V>(this.#building, {
      node: changes,
      keySerde,
      valueSerde,
      topics,
      keyChanged: false,
    });
  }

  mapValues<V2>(map: (value: V, key: K) => V2, options: ValueOption<V2> = {}): Table<K, V2> {
    const valueSerde = (options.value as Serde<unknown> | undefined) ?? this.#building.valueSerde;
    return this.#mapped('map-table', map as never, valueSerde, options);
  }

  /** The entries for which `keep` holds. */
  filter(keep: (value: V, key: K) => boolean, options: Named = {}): Table<K, V> {
    const kept = (value: unknown, key: unknown) =>
      settled(keep(value as V, key as K), 'filter') ? value : null;
    return this.#mapped('filter-table', kept, this.#state.valueSerde, options);
  }

  #mapped<V2>(
    kind: string,
    map: (value: unknown, key: unknown) => unknown,
    valueSerde: Serde<unknown>,
    options: Named,
  ): Table<K, V2> {
    const { graph } = this.#building;
    const name = graph.name(kind, options.name);
    const { node, lookup } = this.#state;
    const mapped = graph.add({
      type: 'operator',
      name,
      parents: [node],
      stores: [],
      create: mapTable(kind, map),
    });
    const find: Lookup = (context) => {
      const look = lookup!.find(context);
      return (key) => {
        const found = look(key);
        const value = found === null ? null : (map(found.value, key) ?? null);
        return value === null ? null : { value, timestamp: found!.timestamp };
      };
    };
    return new Table<K, V2>(this.#building, {
      ...this.#state,
      node: mapped,
      valueSerde,
      lookup: lookup === null ? null : { find, stores: lookup.stores },
    });
  }

  /** A table of the keys that both have. */
  join<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    options: ValueOption<R> = {},
  ): Table<K, R> {
    return this.#joined('inner', other, joiner as Joiner, options);
  }

  /** A table of the keys that this has; `right` is null where the other has none. */
  leftJoin<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options: ValueOption<R> = {},
  ): Table<K, R> {
    return this.#joined('left', other, joiner as Joiner, options);
  }

  /** A table of the keys that either has. */
  outerJoin<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V | null, right: V2 | null, key: K) => R,
    options: ValueOption<R> = {},
  ): Table<K, R> {
    return this.#joined('outer', other, joiner as Joiner, options);
  }

  #joined<V2, R>(kind: TableJoin, other: Table<K, V2>, joiner: Joiner, options: ValueOption<R>): Table<K, R> {
    const { graph } = this.#building;
    const [left, right] = [this.forJoin(), other.forJoin()];
    if (this.#state.node === other.#state.node)
      throw invalid('a table is not joined with itself; map its values');
    const name = graph.name('join-tables', options.name);
    const value = joinedValue(kind, joiner, name);
    const stores = [...left.stores, ...right.stores];
    const node = graph.add({
      type: 'operator',
      name,
      parents: [this.#state.node, other.#state.node],
      stores,
      create: joinTables(value, [left.find, right.find]),
    });
    const topics = new Set([...left.topics, ...right.topics]);
    graph.copartitioned.push({ topics: [...topics], by: name });
    const find: Lookup = (context: OperatorContext) => {
      const sides = [left.find(context), right.find(context)] as const;
      return (key) => {
        const found = sides.map((side) => side(key));
        const joined = value(found[0]?.value ?? null, found[1]?.value ?? null, key);
        const timestamp = Math.max(found[0]?.timestamp ?? 0, found[1]?.timestamp ?? 0);
        return joined === null ? null : { value: joined, timestamp };
      };
    };
    return new Table<K, R>(this.#building, {
      node,
      keySerde: this.#state.keySerde,
      valueSerde: (options.value as Serde<unknown> | undefined) ?? this.#building.valueSerde,
      topics,
      lookup: { find, stores },
    });
  }

  /** What a join needs of it. @throws StreamsError INVALID_ARGUMENT of windowed tables */
  forJoin(): TableLookup & { readonly topics: ReadonlySet<TopicSpec> } {
    const { lookup, topics } = this.#state;
    if (lookup === null)
      throw invalid(
        'a windowed table cannot be joined; make a stream of it, and a table of that under another key',
      );
    return { ...lookup, topics };
  }
}

/** A table that keeps the latest value of what comes from a node. */
export function tableOf<K, V>(
  building: Building,
  from: Omit<TableState, 'lookup'>,
  wanted: string | undefined,
): Table<K, V> {
  const store = { name: '', interval: null, keySerde: from.keySerde, valueSerde: from.valueSerde };
  return tableIn<K, V>(building, from, 'table', wanted, store, (named) => keepLatest(named));
}

/** A table whose values an operator with a store of its own makes; the store has the operator's name. */
export function tableIn<K, V>(
  building: Building,
  from: Omit<TableState, 'lookup'>,
  kind: string,
  wanted: string | undefined,
  template: StoreSpec,
  create: (store: StoreSpec) => (context: OperatorContext) => Operator,
): Table<K, V> {
  const name = building.graph.name(kind, wanted);
  const store = { ...template, name };
  const node = building.graph.add({
    type: 'operator',
    name,
    parents: [from.node],
    stores: [store],
    create: create(store),
  });
  const lookup = store.interval === null ? { find: storeLookup(store), stores: [store] } : null;
  return new Table<K, V>(building, { ...from, node, lookup });
}

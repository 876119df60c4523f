import { invalid } from '../errors.ts';
import type { StoreSpec } from '../graph.ts';
import {
  type Aggregation,
  aggregateByKey,
  aggregateBySession,
  aggregateByWindow,
} from '../processors/aggregate.ts';
import { settled } from '../processors/stateless.ts';
import { type Serde, serdes } from '../serdes.ts';
import type { SessionWindows, TimeWindows, Windowed } from '../windows.ts';
import type { Building } from './building.ts';
import type { Named, SerdeOptions } from './options.ts';
import type { StreamState } from './stream.ts';
import { type Table, tableIn } from './table.ts';

type ValueOption<V> = Pick<SerdeOptions<never, V>, 'value'> & Named;
type Reducer<K, V> = (one: V, other: V, key: K) => V;
type Adder<K, V, A> = (current: A, value: V, key: K) => A;

function counting(operator: string): Aggregation {
  return {
    operator,
    add: (current) => ((current as number | undefined) ?? 0) + 1,
    merge: (one, other) => (one as number) + (other as number),
  };
}

function reducing<K, V>(operator: string, reduce: Reducer<K, V>): Aggregation {
  return {
    operator,
    add: (current, value, key) =>
      current === undefined ? value : reduce(current as V, value as V, key as K),
    merge: (one, other, key) => reduce(one as V, other as V, key as K),
  };
}

function adding<K, V, A>(
  operator: string,
  initial: () => A,
  add: Adder<K, V, A>,
  merge: Reducer<K, A> | null,
): Aggregation {
  return {
    operator,
    add: (current, value, key) =>
      add(current === undefined ? settled(initial(), operator) : (current as A), value as V, key as K),
    merge: merge as Aggregation['merge'],
  };
}

/** Records grouped by key. Aggregations leave out records without key or value, and forward every change. */
export class Grouped<K, V> {
  readonly #building: Building;
  readonly #state: StreamState;

  constructor(building: Building, state: StreamState) {
    this.#building = building;
    this.#state = state;
  }

  /** How many records each key has had. */
  count(options: Named = {}): Table<K, number> {
    return this.#table('count', counting('count'), serdes.long as Serde<unknown>, options);
  }

  /** One value for each key: the first, then `reduce` of it and the next. */
  reduce(reduce: Reducer<K, V>, options: Named = {}): Table<K, V> {
    return this.#table('reduce', reducing('reduce', reduce), this.#state.valueSerde, options);
  }

  /** One value for each key, from `initial()` on; null removes it. `add` must not change `current` in place. */
  aggregate<A>(initial: () => A, add: Adder<K, V, A>, options: ValueOption<A> = {}): Table<K, A> {
    const valueSerde = (options.value as Serde<unknown> | undefined) ?? this.#building.valueSerde;
    return this.#table('aggregate', adding('aggregate', initial, add, null), valueSerde, options);
  }

  #table<A>(kind: string, aggregation: Aggregation, valueSerde: Serde<unknown>, options: Named): Table<K, A> {
    const { node, keySerde, topics } = this.#state;
    const store: StoreSpec = { name: '', interval: null, keySerde, valueSerde };
    const from = { node, keySerde, valueSerde, topics };
    return tableIn(this.#building, from, kind, options.name, store, (named) =>
      aggregateByKey(named, aggregation),
    );
  }

  windowedBy(windows: TimeWindows | SessionWindows): WindowedGrouped<K, V> {
    return new WindowedGrouped<K, V>(this.#building, this.#state, windows);
  }
}

/** Records grouped by key and window. */
export class WindowedGrouped<K, V> {
  readonly #building: Building;
  readonly #state: StreamState;
  readonly #windows: TimeWindows | SessionWindows;

  constructor(building: Building, state: StreamState, windows: TimeWindows | SessionWindows) {
    this.#building = building;
    this.#state = state;
    this.#windows = windows;
  }

  count(options: Named = {}): Table<Windowed<K>, number> {
    return this.#table('window-count', counting('count'), serdes.long as Serde<unknown>, options);
  }

  reduce(reduce: Reducer<K, V>, options: Named = {}): Table<Windowed<K>, V> {
    return this.#table('window-reduce', reducing('reduce', reduce), this.#state.valueSerde, options);
  }

  /** `merge`, of two values, is needed for sessions: a record may make two of them one. */
  aggregate<A>(
    initial: () => A,
    add: Adder<K, V, A>,
    options: ValueOption<A> & { readonly merge?: Reducer<K, A> } = {},
  ): Table<Windowed<K>, A> {
    if (this.#windows.type === 'session' && options.merge === undefined)
      throw invalid(
        'aggregate over sessions needs {merge: (one, other, key) => …}, for sessions that become one',
      );
    const valueSerde = (options.value as Serde<unknown> | undefined) ?? this.#building.valueSerde;
    const aggregation = adding('aggregate', initial, add, options.merge ?? null);
    return this.#table('window-aggregate', aggregation, valueSerde, options);
  }

  #table<A>(
    kind: string,
    aggregation: Aggregation,
    valueSerde: Serde<unknown>,
    options: Named,
  ): Table<Windowed<K>, A> {
    const windows = this.#windows;
    const { node, keySerde, topics } = this.#state;
    if (windows.type === 'time') {
      const interval = { retentionMs: windows.sizeMs + windows.graceMs, expireBy: 'start' as const };
      const from = {
        node,
        keySerde: serdes.windowed(keySerde, windows.sizeMs) as Serde<unknown>,
        valueSerde,
        topics,
      };
      const store: StoreSpec = { name: '', interval, keySerde, valueSerde };
      return tableIn(this.#building, from, kind, options.name, store, (named) =>
        aggregateByWindow(named, windows, aggregation),
      );
    }
    const interval = { retentionMs: 2 * windows.gapMs + windows.graceMs, expireBy: 'tag' as const };
    const from = { node, keySerde: serdes.sessionWindowed(keySerde) as Serde<unknown>, valueSerde, topics };
    const store: StoreSpec = { name: '', interval, keySerde, valueSerde };
    return tableIn(this.#building, from, kind, options.name, store, (named) =>
      aggregateBySession(named, windows, aggregation),
    );
  }
}

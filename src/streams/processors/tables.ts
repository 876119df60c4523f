import type { Operator, OperatorContext, StoreSpec } from '../graph.ts';
import { Change } from '../records.ts';
import { settled } from './stateless.ts';

export interface TableEntry {
  readonly value: unknown;
  readonly timestamp: number;
}

/** Looks up a table's value in the task that it is made in. */
export type Lookup = (context: OperatorContext) => (key: unknown) => TableEntry | null;

/** Looks up values in a store. */
export function storeLookup(store: StoreSpec): Lookup {
  return (context) => {
    const values = context.keyValues(store.name);
    return (key) => {
      const found = values.get(store.keySerde.serialize(key));
      return found === null
        ? null
        : { value: store.valueSerde.deserialize(found.value), timestamp: found.timestamp };
    };
  };
}

/** Keeps the latest value of each key; null deletes. */
export function keepLatest(store: StoreSpec): (context: OperatorContext) => Operator {
  return (context) => {
    const values = context.keyValues(store.name);
    return (record) => {
      if (record.key === null) {
        context.dropped('null-key');
        return;
      }
      const key = store.keySerde.serialize(record.key);
      const before = values.get(key);
      if (before === null && record.value === null) return;
      values.put(
        key,
        record.value === null ? null : store.valueSerde.serialize(record.value),
        record.timestamp,
      );
      const oldValue = before === null ? null : store.valueSerde.deserialize(before.value);
      context.forward({ ...record, value: new Change(record.value, oldValue) });
    };
  };
}

export type TableJoin = 'inner' | 'left' | 'outer';
export type Joiner = (left: unknown, right: unknown, key: unknown) => unknown;

/** The value of a join of two tables for the values of both sides. */
export function joinedValue(kind: TableJoin, joiner: Joiner, operator: string): Joiner {
  return (left, right, key) => {
    if (left === null && (right === null || kind !== 'outer')) return null;
    if (right === null && kind === 'inner') return null;
    return settled(joiner(left, right, key), operator) ?? null;
  };
}

/** Joins two tables; parent 0 is the left one. */
export function joinTables(
  value: Joiner,
  sides: readonly [Lookup, Lookup],
): (context: OperatorContext) => Operator {
  return (context) => {
    const lookups = sides.map((side) => side(context));
    return (record, parent) => {
      const change = record.value as Change;
      const other = lookups[1 - parent]!(record.key);
      const join = (mine: unknown) =>
        parent === 0
          ? value(mine, other?.value ?? null, record.key)
          : value(other?.value ?? null, mine, record.key);
      const joined = new Change(join(change.newValue), join(change.oldValue));
      if (joined.newValue === null && joined.oldValue === null) return;
      const timestamp = Math.max(record.timestamp, other?.timestamp ?? 0);
      context.forward({ ...record, value: joined, timestamp });
    };
  };
}

/** Joins each record of a stream that has a key and a value with what the table has for its key then. */
export function joinStreamWithTable(
  kind: 'inner' | 'left',
  joiner: Joiner,
  lookup: Lookup,
  operator: string,
): (context: OperatorContext) => Operator {
  return (context) => {
    const find = lookup(context);
    return (record) => {
      if (record.key === null || record.value === null) {
        context.dropped('null-key');
        return;
      }
      const found = find(record.key)?.value ?? null;
      if (found === null && kind === 'inner') return;
      context.forward({
        ...record,
        value: settled(joiner(record.value, found, record.key), operator) ?? null,
      });
    };
  };
}

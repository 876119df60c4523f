import { StreamsError } from '../errors.ts';
import type { Operator, OperatorContext } from '../graph.ts';
import { Change, type FlowRecord } from '../records.ts';

/** Operators' functions run at once, in order: a promise would be written to topics as an empty object. */
export function settled<T>(value: T, operator: string): T {
  if (typeof (value as { then?: unknown } | null | undefined)?.then === 'function')
    throw new StreamsError(
      'PROCESSING',
      `the function of ${operator} returned a promise; operators are synchronous, do what waits before or after the topology`,
    );
  return value;
}

type Create = (context: OperatorContext) => Operator;

export function peekRecords(look: (value: unknown, key: unknown) => void): Create {
  return (context) => (record) => {
    settled(look(record.value, record.key), 'peek');
    context.forward(record);
  };
}

/** What `step` makes of each record. */
export function checkedRecords(operator: string, step: (record: FlowRecord) => Iterable<FlowRecord>): Create {
  return (context) => (record) => {
    for (const { key, value, ...rest } of step(record)) {
      const next = { ...rest, key: settled(key, operator), value: settled(value, operator) };
      context.forward({ ...next, key: next.key ?? null, value: next.value ?? null });
    }
  };
}

export function filterRecords(operator: string, keep: (value: unknown, key: unknown) => boolean): Create {
  return (context) => (record) => {
    if (settled(keep(record.value, record.key), operator)) context.forward(record);
  };
}

/** To the first branch whose predicate holds; to none if none does. */
export function branchRecords(
  operator: string,
  predicates: readonly ((value: unknown, key: unknown) => boolean)[],
): Create {
  return (context) => (record) => {
    const branch = predicates.findIndex((holds) => settled(holds(record.value, record.key), operator));
    if (branch >= 0) context.forward(record, branch);
  };
}

export const passOn: Create = (context) => (record) => context.forward(record);

/** What a table's change is as records of a stream: the new value, null for a deletion. */
export const changesToRecords: Create = (context) => (record) =>
  context.forward({ ...record, value: (record.value as Change).newValue });

/** A table whose values are a function of another's, computed when they are needed. */
export function mapTable(operator: string, map: (value: unknown, key: unknown) => unknown): Create {
  return (context) => (record) => {
    const { newValue, oldValue } = record.value as Change;
    const mapped = (value: unknown) =>
      value === null ? null : (settled(map(value, record.key), operator) ?? null);
    const change = new Change(mapped(newValue), mapped(oldValue));
    if (change.newValue !== null || change.oldValue !== null) context.forward({ ...record, value: change });
  };
}

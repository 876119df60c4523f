import type { Operator, OperatorContext, StoreSpec } from '../graph.ts';
import { Change, type FlowRecord } from '../records.ts';
import type { Interval } from '../stores/interval-store.ts';
import { type SessionWindows, startsOf, type TimeWindows } from '../windows.ts';
import { settled } from './stateless.ts';

/** How records of one key become one value. `current` is undefined for the first. */
export interface Aggregation {
  readonly operator: string;
  add(current: unknown, value: unknown, key: unknown): unknown;
  /** Of two sessions that have become one; null where windows are not sessions. */
  readonly merge: ((one: unknown, other: unknown, key: unknown) => unknown) | null;
}

type Create = (context: OperatorContext) => Operator;

/** Records without a key or a value have no part in aggregations. */
function usable(context: OperatorContext, { key, value }: FlowRecord): boolean {
  if (key !== null && value !== null) return true;
  context.dropped('null-key');
  return false;
}

function next(aggregation: Aggregation, current: unknown, record: FlowRecord): unknown {
  const { add, operator } = aggregation;
  return settled(add(current, record.value, record.key), operator) ?? null;
}

export function aggregateByKey(store: StoreSpec, aggregation: Aggregation): Create {
  return (context) => {
    const values = context.keyValues(store.name);
    return (record) => {
      if (!usable(context, record)) return;
      const key = store.keySerde.serialize(record.key);
      const before = values.get(key);
      const oldValue = before === null ? null : store.valueSerde.deserialize(before.value);
      const newValue = next(aggregation, oldValue ?? undefined, record);
      const timestamp = Math.max(record.timestamp, before?.timestamp ?? 0);
      values.put(key, newValue === null ? null : store.valueSerde.serialize(newValue), timestamp);
      context.forward({ ...record, timestamp, value: new Change(newValue, oldValue) });
    };
  };
}

/** One value per key and window; a window takes records until stream time has passed its end and the grace. */
export function aggregateByWindow(store: StoreSpec, windows: TimeWindows, aggregation: Aggregation): Create {
  return (context) => {
    const values = context.intervals(store.name);
    return (record) => {
      if (!usable(context, record)) return;
      values.expire(context.streamTime());
      const key = store.keySerde.serialize(record.key);
      let taken = false;
      for (const start of startsOf(windows, record.timestamp)) {
        const end = start + windows.sizeMs;
        if (end + windows.graceMs <= context.streamTime()) continue;
        taken = true;
        const before = values.get(key, start);
        const oldValue = before === null ? null : store.valueSerde.deserialize(before.value);
        const newValue = next(aggregation, oldValue ?? undefined, record);
        const timestamp = Math.max(record.timestamp, before?.timestamp ?? 0);
        values.put(key, start, 0, newValue === null ? null : store.valueSerde.serialize(newValue), timestamp);
        context.forward({
          ...record,
          key: { key: record.key, window: { start, end } },
          timestamp,
          value: new Change(newValue, oldValue),
        });
      }
      if (!taken) context.dropped('late');
    };
  };
}

/** One value per key and session; a record may make several sessions one. */
export function aggregateBySession(
  store: StoreSpec,
  windows: SessionWindows,
  aggregation: Aggregation,
): Create {
  return (context) => {
    const values = context.intervals(store.name);
    const { gapMs, graceMs } = windows;
    const merge = (sessions: readonly unknown[], { key }: FlowRecord) =>
      sessions.reduce((one, other) => settled(aggregation.merge!(one, other, key), aggregation.operator));
    const windowed = (record: FlowRecord, { start, tag }: { start: number; tag: number }) => ({
      key: record.key,
      window: { start, end: tag },
    });
    return (record) => {
      if (!usable(context, record)) return;
      values.expire(context.streamTime());
      const key = store.keySerde.serialize(record.key);
      const near = values
        .fetch(key, 0, record.timestamp + gapMs)
        .filter(({ tag }) => tag >= record.timestamp - gapMs);
      const start = Math.min(record.timestamp, ...near.map((session) => session.start));
      const end = Math.max(record.timestamp, ...near.map(({ tag }) => tag));
      if (end + gapMs + graceMs < context.streamTime()) {
        context.dropped('late');
        return;
      }
      const read = (session: Interval) => store.valueSerde.deserialize(session.value);
      const before = near.length === 0 ? undefined : merge(near.map(read), record);
      const newValue = next(aggregation, before, record);
      // Sessions that are gone, before the one that has taken them in.
      for (const session of near) {
        if (session.start === start && session.tag === end) continue;
        values.put(key, session.start, session.tag, null, record.timestamp);
        context.forward({
          ...record,
          key: windowed(record, session),
          timestamp: session.timestamp,
          value: new Change(null, read(session)),
        });
      }
      const same = near.find((session) => session.start === start && session.tag === end);
      values.put(key, start, end, newValue === null ? null : store.valueSerde.serialize(newValue), end);
      context.forward({
        ...record,
        key: windowed(record, { start, tag: end }),
        timestamp: end,
        value: new Change(newValue, same === undefined ? null : read(same)),
      });
    };
  };
}

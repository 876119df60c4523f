import type { Operator, OperatorContext, StoreSpec } from '../graph.ts';
import type { JoinWindows } from '../windows.ts';
import { settled } from './stateless.ts';
import type { Joiner } from './tables.ts';

/** How long a record waits for partners, by stream time. */
export function joinRetention({ beforeMs, afterMs, graceMs }: JoinWindows): number {
  return beforeMs + afterMs + graceMs;
}

/**
 * Joins two streams by key and time; parent 0 is the left one. Every pair comes once, when the later of the two is processed. Records come
 * too late when stream time has passed the last time of a partner and the grace.
 */
export function joinStreams(
  windows: JoinWindows,
  stores: readonly [StoreSpec, StoreSpec],
  joiner: Joiner,
  operator: string,
): (context: OperatorContext) => Operator {
  return (context) => {
    const waiting = stores.map(({ name }) => context.intervals(name));
    const { beforeMs, afterMs, graceMs } = windows;
    return (record, parent) => {
      if (record.key === null || record.value === null) {
        context.dropped('null-key');
        return;
      }
      const { timestamp } = record;
      const [before, after] = parent === 0 ? [beforeMs, afterMs] : [afterMs, beforeMs];
      for (const store of waiting) store.expire(context.streamTime());
      if (timestamp + after + graceMs < context.streamTime()) {
        context.dropped('late');
        return;
      }
      const [mine, other] = [stores[parent]!, stores[1 - parent]!];
      const key = mine.keySerde.serialize(record.key);
      const store = waiting[parent]!;
      store.put(key, timestamp, store.nextTag(), mine.valueSerde.serialize(record.value), timestamp);
      for (const partner of waiting[1 - parent]!.fetch(key, timestamp - before, timestamp + after)) {
        const theirs = other.valueSerde.deserialize(partner.value);
        const value =
          parent === 0 ? joiner(record.value, theirs, record.key) : joiner(theirs, record.value, record.key);
        context.forward({
          ...record,
          value: settled(value, operator) ?? null,
          timestamp: Math.max(timestamp, partner.timestamp),
        });
      }
    };
  };
}

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hopping, StreamsBuilder, serdes, session, TestDriver, within } from './index.ts';
import { assignTasks } from './runtime/assignment.ts';

const key = fc.constantFrom('a', 'b', 'c');
const event = fc.record({ key, value: fc.integer({ min: 0, max: 9 }), timestamp: fc.nat(200) });
const events = fc.array(event, { maxLength: 60 });
type Event = { key: string; value: number; timestamp: number };

function run<T>(builder: StreamsBuilder, partitions: number, use: (driver: TestDriver) => T): T {
  const driver = new TestDriver(builder.build(), { partitions });
  try {
    return use(driver);
  } finally {
    driver.close();
  }
}

/** Events with the highest time seen up to and with each, by partition: of one partition here. */
function withStreamTime(list: readonly Event[]): (Event & { now: number })[] {
  let now = -1;
  return list.map((one) => {
    now = Math.max(now, one.timestamp);
    return { ...one, now };
  });
}

describe('streams against plain computations', () => {
  it('sums by key, over any number of partitions and a changed key', () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 5 }), (list, partitions) => {
        const builder = new StreamsBuilder();
        builder
          .stream<string, number>('in')
          .groupBy((value, name) => `${name}${value % 2}`)
          .reduce((one, other) => one + other, { name: 'sums' });
        const expected = new Map<string, number>();
        for (const { key: name, value } of list)
          expected.set(`${name}${value % 2}`, (expected.get(`${name}${value % 2}`) ?? 0) + value);
        const found = run(builder, partitions, (driver) => {
          for (const one of list) driver.pipe('in', one);
          return driver.store<number>('sums').map((entry) => [entry.key, entry.value] as const);
        });
        assert.deepEqual(new Map(found), expected);
      }),
    );
  });

  it('hopping windows with grace, with late records left out', () => {
    const shape = fc.record({
      size: fc.integer({ min: 1, max: 30 }),
      hops: fc.integer({ min: 1, max: 4 }),
      grace: fc.nat(40),
    });
    fc.assert(
      fc.property(events, shape, (list, { size, hops, grace }) => {
        const advance = Math.ceil(size / hops);
        const builder = new StreamsBuilder();
        builder
          .stream<string, number>('in')
          .groupByKey()
          .windowedBy(hopping(size, advance, { graceMs: grace }))
          .count()
          .toStream()
          .to('out');
        const expected = new Map<string, number>();
        for (const { key: name, timestamp, now } of withStreamTime(list)) {
          for (let start = 0; start <= timestamp; start += advance) {
            if (timestamp >= start + size || start + size + grace <= now) continue;
            expected.set(`${name}@${start}`, (expected.get(`${name}@${start}`) ?? 0) + 1);
          }
        }
        const found = run(builder, 1, (driver) => {
          for (const one of list) driver.pipe('in', one);
          const keys = serdes.windowed(serdes.string, size);
          return driver
            .read('out', { key: keys, value: serdes.long })
            .map((record) => [`${record.key?.key}@${record.key?.window.start}`, record.value!] as const);
        });
        assert.deepEqual(new Map(found), expected);
      }),
    );
  });

  it('sessions are the runs of near records', () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 20 }), (list, gap) => {
        const builder = new StreamsBuilder();
        // Enough grace that none is late.
        builder
          .stream('in')
          .groupByKey()
          .windowedBy(session(gap, { graceMs: 1000 }))
          .count({ name: 'sessions' });
        const expected: { key: string; start: number; end: number; value: number }[] = [];
        for (const name of ['a', 'b', 'c']) {
          const times = list.filter((one) => one.key === name).map(({ timestamp }) => timestamp);
          let end = Number.NEGATIVE_INFINITY;
          for (const time of times.sort((one, other) => one - other)) {
            if (time - end > gap) expected.push({ key: name, start: time, end: time, value: 0 });
            end = time;
            Object.assign(expected.at(-1)!, { end, value: expected.at(-1)!.value + 1 });
          }
        }
        const found = run(builder, 1, (driver) => {
          for (const one of list) driver.pipe('in', one);
          return driver.store('sessions');
        });
        const sorted = (entries: unknown[]) =>
          entries.map((entry) => JSON.stringify(entry, ['key', 'start', 'end', 'value'])).sort();
        assert.deepEqual(sorted(found), sorted(expected));
      }),
    );
  });

  it('a join of streams is every pair that is near, once', () => {
    const sided = fc.array(fc.tuple(fc.boolean(), event), { maxLength: 50 });
    fc.assert(
      fc.property(sided, fc.nat(40), (list, near) => {
        const builder = new StreamsBuilder();
        // Enough grace that none is late.
        builder
          .stream<string, number>('left')
          .join(builder.stream<string, number>('right'), (l, r) => [l, r], within(near, { graceMs: 1000 }))
          .to('out');
        const expected: string[] = [];
        const numbered = list.map(([isLeft, one], i) => ({ ...one, isLeft, value: i }));
        for (const left of numbered.filter(({ isLeft }) => isLeft))
          for (const right of numbered.filter(({ isLeft }) => !isLeft))
            if (left.key === right.key && Math.abs(left.timestamp - right.timestamp) <= near)
              expected.push(`${left.value},${right.value}`);
        const found = run(builder, 1, (driver) => {
          for (const { isLeft, ...one } of numbered) driver.pipe(isLeft ? 'left' : 'right', one);
          return driver.read('out').map(({ value }) => String(value));
        });
        assert.deepEqual(found.sort(), expected.sort());
      }),
    );
  });

  it('tasks are shared out evenly, each once, and stay where they are when that is even', () => {
    const owners = fc.array(fc.array(fc.nat(20), { maxLength: 10 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.nat(20), owners, (count, lists) => {
        const tasks = Array.from({ length: count }, (_, i) => `0_${i}`);
        const owned = new Map(lists.map((list, i) => [`m${i}`, list.map((task) => `0_${task}`)]));
        const assigned = assignTasks(tasks, owned);
        assert.deepEqual([...assigned.values()].flat().sort(), [...tasks].sort());
        const sizes = [...assigned.values()].map(({ length }) => length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
        const again = assignTasks(tasks, assigned);
        for (const [member, list] of assigned)
          assert.deepEqual([...again.get(member)!].sort(), [...list].sort());
      }),
    );
  });
});

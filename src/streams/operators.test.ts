import assert from 'node:assert/strict';
import { StreamsBuilder, type StreamsError, serdes, session, TestDriver, tumbling, within } from './index.ts';

const { long, string } = serdes;

/** Runs `use` with a driver, which is closed at the end. */
function driving(builder: StreamsBuilder, use: (driver: TestDriver) => void, options = {}): void {
  const driver = new TestDriver(builder.build(), options);
  try {
    use(driver);
  } finally {
    driver.close();
  }
}

function pairs(records: readonly { key: unknown; value: unknown }[]): unknown[] {
  return records.map(({ key, value }) => [key, value]);
}

describe('operators of streams', () => {
  it('map, filter, flatMap, selectKey, peek, merge and branch', () => {
    const builder = new StreamsBuilder();
    const seen: unknown[] = [];
    const numbers = builder.stream<string, number>('numbers');
    const [even, odd] = numbers
      .peek((value) => seen.push(value))
      .branch(
        (value) => value % 2 === 0,
        (value) => value > 0,
      );
    even!
      .map((value, key) => [`${key}!`, value * 10])
      .merge(odd!.mapValues((value) => -value))
      .to('out');
    numbers
      .filter((value) => value > 2)
      .flatMap((value) => [
        ['a', value],
        ['b', value],
      ])
      .selectKey((value, key) => key + value)
      .to('flat');
    driving(builder, (driver) => {
      for (const value of [1, 2, 3, -1]) driver.pipe('numbers', { key: 'k', value });
      assert.deepEqual(seen, [1, 2, 3, -1]);
      assert.deepEqual(pairs(driver.read('out')), [
        ['k', -1],
        ['k!', 20],
        ['k', -3],
      ]);
      assert.deepEqual(pairs(driver.read('flat')), [
        ['a3', 3],
        ['b3', 3],
      ]);
    });
  });

  it('counts words through a repartition topic, each in the partition of its key', () => {
    const builder = new StreamsBuilder();
    builder
      .stream<string, string>('lines', { value: string })
      .flatMapValues((line) => line.split(' '), { value: string })
      .groupBy((word) => word, { name: 'words' })
      .count({ name: 'counts' })
      .toStream()
      .to('counts');
    const topology = builder.build();
    assert.equal(topology.subTopologies.length, 2);
    assert.match(
      topology.describe(),
      /sink words-by-key-sink \(topic <application>-words-by-key-repartition\)/,
    );
    assert.match(topology.describe(), /counts \(stores counts\)/);
    driving(
      builder,
      (driver) => {
        driver.pipe('lines', { key: '1', value: 'a b a' }, { value: string });
        driver.pipe('lines', { key: '2', value: 'b a' }, { value: string });
        const counts = new Map(pairs(driver.read('counts', { value: long })) as [string, number][]);
        assert.deepEqual([...counts].sort(), [
          ['a', 3],
          ['b', 2],
        ]);
        assert.equal(driver.store('counts').length, 2);
      },
      { partitions: 4 },
    );
  });

  it('reduces and aggregates; null removes an aggregate', () => {
    const builder = new StreamsBuilder();
    const grouped = builder.stream<string, number>('in').groupByKey();
    grouped
      .reduce((one, other) => one + other)
      .toStream()
      .to('sums');
    grouped
      .aggregate<number[] | null>(
        () => [],
        (list, value) => (value === 0 ? null : [...list!, value]),
      )
      .toStream()
      .to('lists');
    driving(builder, (driver) => {
      for (const value of [1, 2, 0, 3]) driver.pipe('in', { key: 'k', value });
      assert.deepEqual(pairs(driver.read('sums')).at(-1), ['k', 6]);
      assert.deepEqual(pairs(driver.read('lists')), [
        ['k', [1]],
        ['k', [1, 2]],
        ['k', null],
        ['k', [3]],
      ]);
    });
  });

  it('windows close by the times of records, after their grace', async () => {
    const builder = new StreamsBuilder();
    builder
      .stream('in')
      .groupByKey()
      .windowedBy(tumbling(10, { graceMs: 5 }))
      .count({ name: 'windows' })
      .toStream()
      .to('out');
    const driver = new TestDriver(builder.build());
    for (const timestamp of [1, 9, 12, 3, 15, 4, 11]) driver.pipe('in', { key: 'k', value: 1, timestamp });
    const read = driver.read('out', { key: serdes.windowed(string, 10), value: long });
    assert.deepEqual(
      read.map(({ key, value, timestamp }) => [key?.window.start, value, timestamp]),
      [
        [0, 1, 1],
        [0, 2, 9],
        [10, 1, 12],
        [0, 3, 9],
        [10, 2, 15],
        // 4 came after 15: its window had closed.
        [10, 3, 15],
      ],
    );
    assert.match(
      await driver.metrics.registry.metrics(),
      /dropped_total\{reason="late",application="test"\} 1/,
    );
    driver.close();
  });

  it('sessions grow and become one', () => {
    const builder = new StreamsBuilder();
    builder
      .stream('in')
      .groupByKey()
      .windowedBy(session(5, { graceMs: 100 }))
      .count({ name: 'sessions' })
      .toStream()
      .to('out');
    driving(builder, (driver) => {
      for (const timestamp of [10, 20, 15, 40]) driver.pipe('in', { key: 'k', value: 1, timestamp });
      const read = driver.read('out', { key: serdes.sessionWindowed(string), value: long });
      assert.deepEqual(
        read.map(({ key, value }) => [key?.window.start, key?.window.end, value]),
        [
          [10, 10, 1],
          [20, 20, 1],
          [10, 10, null],
          [20, 20, null],
          [10, 20, 3],
          [40, 40, 1],
        ],
      );
      assert.deepEqual(
        driver.store('sessions').map(({ start, end, value }) => [start, end, value]),
        [
          [10, 20, 3],
          [40, 40, 1],
        ],
      );
    });
  });

  it('joins streams within a window, and records of both sides once each', () => {
    const builder = new StreamsBuilder();
    const left = builder.stream<string, string>('left');
    const right = builder.stream<string, string>('right');
    left.join(right, (l, r) => `${l}/${r}`, within(5)).to('out');
    driving(builder, (driver) => {
      driver.pipe('left', { key: 'k', value: 'l10', timestamp: 10 });
      driver.pipe('right', { key: 'k', value: 'r12', timestamp: 12 });
      driver.pipe('right', { key: 'k', value: 'r16', timestamp: 16 });
      driver.pipe('left', { key: 'k', value: 'l14', timestamp: 14 });
      driver.pipe('left', { key: 'other', value: 'x', timestamp: 14 });
      driver.pipe('right', { key: 'k', value: 'r9', timestamp: 9 });
      assert.deepEqual(
        driver.read('out').map(({ value, timestamp }) => [value, timestamp]),
        [
          ['l10/r12', 12],
          ['l14/r12', 14],
          ['l14/r16', 16],
        ],
      );
    });
  });

  it('joins a stream with a table', () => {
    const builder = new StreamsBuilder();
    const users = builder.table<string, string>('users').mapValues((name) => name.toUpperCase());
    const clicks = builder.stream<string, number>('clicks');
    clicks.joinTable(users, (click, user) => `${user}${click}`).to('known');
    clicks.leftJoinTable(users, (click, user) => `${user ?? '?'}${click}`).to('all');
    driving(builder, (driver) => {
      driver.pipe('clicks', { key: 'a', value: 1 });
      driver.pipe('users', { key: 'a', value: 'ann' });
      driver.pipe('clicks', { key: 'a', value: 2 });
      driver.pipe('users', { key: 'a', value: null });
      driver.pipe('clicks', { key: 'a', value: 3 });
      // No value, nothing to join.
      driver.pipe('clicks', { key: 'a', value: null });
      assert.deepEqual(pairs(driver.read('known')), [['a', 'ANN2']]);
      assert.deepEqual(pairs(driver.read('all')), [
        ['a', '?1'],
        ['a', 'ANN2'],
        ['a', '?3'],
      ]);
    });
  });

  it('joins tables: inner, left and outer', () => {
    const builder = new StreamsBuilder();
    const left = builder.table<string, string>('left');
    const right = builder.table<string, string>('right');
    const show = (l: string | null, r: string | null) => `${l ?? '-'}${r ?? '-'}`;
    left.join(right, show).toStream().to('inner');
    left.leftJoin(right, show).toStream().to('leftJoined');
    left.outerJoin(right, show).toStream().to('outer');
    driving(builder, (driver) => {
      driver.pipe('left', { key: 'k', value: 'a' });
      driver.pipe('right', { key: 'k', value: 'b' });
      driver.pipe('left', { key: 'k', value: null });
      driver.pipe('right', { key: 'k', value: null });
      const values = (topic: string) => driver.read(topic).map(({ value }) => value);
      assert.deepEqual(values('inner'), ['ab', null]);
      assert.deepEqual(values('leftJoined'), ['a-', 'ab', null]);
      assert.deepEqual(values('outer'), ['a-', 'ab', '-b', null]);
    });
  });

  it('filters tables with deletions, and makes tables of streams', () => {
    const builder = new StreamsBuilder();
    builder
      .stream<string, number>('in')
      .map((value, key) => [key.slice(0, 1), value])
      .toTable({ name: 'latest' })
      .filter((value) => value > 1)
      .toStream()
      .to('out');
    driving(builder, (driver) => {
      for (const [key, value] of [
        ['ab', 1],
        ['ac', 2],
        ['ad', 0],
      ] as const)
        driver.pipe('in', { key, value });
      assert.deepEqual(pairs(driver.read('out')), [
        ['a', 2],
        ['a', null],
      ]);
      assert.deepEqual(driver.store('latest'), [{ key: 'a', value: 0 }]);
    });
  });

  it('bad records fail, are left out, or go to a dead-letter topic with the reason', () => {
    const build = () => {
      const builder = new StreamsBuilder();
      builder.stream('in').to('out');
      return builder;
    };
    const bad = { key: Buffer.from('k'), value: Buffer.from('{'), timestamp: 7 };
    driving(build(), (driver) => {
      const refused = (error: StreamsError) =>
        error.code === 'DESERIALIZATION' && /in-0 offset 0.*badRecords/.test(error.message);
      assert.throws(() => driver.pipeBytes('in', bad), refused);
    });
    driving(
      build(),
      (driver) => {
        driver.pipeBytes('in', bad);
        driver.pipe('in', { key: 'k', value: 1 });
        assert.deepEqual(pairs(driver.read('out')), [['k', 1]]);
      },
      { badRecords: 'skip' },
    );
    driving(
      build(),
      (driver) => {
        driver.pipeBytes('in', bad);
        const [letter] = driver.read('dead', { value: string });
        assert.equal(letter?.value, '{');
        const headers = new Map(letter?.headers.map(([name, value]) => [name, value?.toString()]));
        assert.equal(headers.get('__streams.errors.topic'), 'in');
        assert.match(headers.get('__streams.errors.message')!, /JSON/);
      },
      { badRecords: { deadLetterTopic: 'dead' } },
    );
  });

  it('takes records for bad whose times are none in milliseconds', () => {
    const builder = new StreamsBuilder();
    builder.stream('in').to('out');
    driving(
      builder,
      (driver) => {
        const nanoseconds = 1.7e18;
        for (const timestamp of [-1, nanoseconds, 5]) driver.pipe('in', { value: timestamp, timestamp });
        const times = (topic: string) => driver.read(topic).map(({ value, timestamp }) => [value, timestamp]);
        assert.deepEqual(times('out'), [[5, 5]]);
        assert.deepEqual(times('dead'), [
          [-1, 0],
          [nanoseconds, 0],
        ]);
      },
      { badRecords: { deadLetterTopic: 'dead' } },
    );
  });

  it('says what is wrong: promises, serdes that do not fit, state that is too large', () => {
    const failing = (
      build: (builder: StreamsBuilder) => void,
      code: string,
      message: RegExp,
      options = {},
    ) => {
      const builder = new StreamsBuilder();
      build(builder);
      driving(
        builder,
        (driver) =>
          assert.throws(
            () => driver.pipe('in', { key: 'k', value: 'v'.repeat(1 << 20) }),
            (error: StreamsError) => error.code === code && message.test(error.message),
          ),
        options,
      );
    };
    for (const waits of [
      (b: StreamsBuilder) => b.stream('in').mapValues(async () => 1),
      (b: StreamsBuilder) => b.table('in').filter((async () => false) as never),
      (b: StreamsBuilder) =>
        b
          .stream('in')
          .groupByKey()
          .aggregate(
            async () => 0,
            () => 1 as never,
          ),
    ])
      failing(waits, 'PROCESSING', /returned a promise/);
    failing((b) => b.stream('in').to('out', { key: long as never }), 'SERIALIZATION', /whole number/);
    failing(
      (b) => b.stream('in').to('out', { partitioner: () => 5 }),
      'PROCESSING',
      /returned 5; return a whole number from 0 to 0/,
    );
    failing((b) => b.table('in'), 'STORE_FULL', /raise stateMaxBytes/, { stateMaxBytes: 1 << 20 });
  });

  it('refuses topologies that cannot run', () => {
    const refused = (code: string, message: RegExp) => (error: StreamsError) =>
      error.code === code && message.test(error.message);
    assert.throws(() => new StreamsBuilder().build(), refused('INVALID_TOPOLOGY', /reads no topic/));
    const twice = new StreamsBuilder();
    twice.stream('t');
    assert.throws(() => twice.table('t'), refused('INVALID_TOPOLOGY', /read already/));
    const named = new StreamsBuilder();
    named.table('t', { name: 'n' });
    assert.throws(() => named.table('u', { name: 'n' }), refused('INVALID_TOPOLOGY', /used twice/));
    const joining = new StreamsBuilder();
    joining
      .stream('a')
      .join(joining.stream('b'), (l, r) => [l, r], within(1), { name: 'both' })
      .to('out');
    const counts = new Map([
      ['a', 2],
      ['b', 3],
    ]);
    assert.throws(
      () => joining.build().partitionCounts(counts),
      refused('NOT_COPARTITIONED', /both needs .* a has 2, b has 3/),
    );
    assert.throws(() => tumbling(0), refused('INVALID_ARGUMENT', /from 1/));
  });

  it('a repartition topic has as many partitions as what it is joined with, or as what feeds it', () => {
    const builder = new StreamsBuilder();
    const keyed = builder.stream<string, number>('a').selectKey((value) => String(value));
    keyed.joinTable(builder.table('b'), (left) => left, { name: 'joined' }).to('out');
    keyed.groupByKey({ name: 'grouped' }).count();
    const counts = builder.build().partitionCounts(
      new Map([
        ['a', 2],
        ['b', 5],
      ]),
    );
    const named = new Map([...counts].map(([{ name }, count]) => [name, count]));
    assert.equal(named.get('joined-by-key-repartition'), 5);
    assert.equal(named.get('grouped-by-key-repartition'), 2);
  });
});

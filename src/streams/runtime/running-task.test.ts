import assert from 'node:assert/strict';
import { StreamsBuilder } from '../dsl/builder.ts';
import type { RawRecord } from '../records.ts';
import { MemoryBudget, MemoryValues } from '../stores/value-storage.ts';
import type { Cluster } from '../transport/cluster.ts';
import { StreamsMetrics } from './metrics.ts';
import { settingsOf } from './options.ts';
import { RunningTask } from './running-task.ts';

const INPUT = { topic: 't', partition: 0 };

/** A task that copies a topic of which nothing is committed, whose first record is at `start()`. */
async function open(start: () => number): Promise<RunningTask> {
  const offsets = () => [{ partitionIndex: 0, errorCode: 0, offset: BigInt(start()) }];
  const uncommitted = [{ partitionIndex: 0, committedOffset: -1n, metadata: null, errorCode: 0 }];
  const cluster = {
    apis: {},
    retry: (attempt: () => unknown) => attempt(),
    callAny: async () => ({ errorCode: 0, producerId: 1n, producerEpoch: 0 }),
    callCoordinator: async () => ({
      groups: [{ errorCode: 0, topics: [{ name: 't', partitions: uncommitted }] }],
    }),
    byLeader: async (partitions: unknown) => new Map([[1, partitions]]),
    callNode: async () => ({ topics: [{ name: 't', partitions: offsets() }], responses: [] }),
    check: (code: number) => assert.equal(code, 0),
  } as unknown as Cluster;
  const builder = new StreamsBuilder();
  builder.stream('t').to('out');
  const budget = new MemoryBudget(1 << 20);
  return RunningTask.open(
    { id: '0_0', subTopology: builder.build().subTopologies[0]!, partition: 0, inputs: [INPUT] },
    {
      settings: settingsOf({ applicationId: 'a', bootstrap: 'none:1', guarantee: 'at-least-once' }),
      environment: {
        applicationId: 'a',
        badRecords: 'fail',
        budget,
        metrics: new StreamsMetrics('a'),
        partitionsOf: () => 1,
        values: (_task, store) => new MemoryValues(budget, store),
      },
      cluster,
      reading: cluster,
      interrupted: () => false,
    },
  );
}

function records(from: number, to: number): RawRecord[] {
  return Array.from({ length: to - from }, (_, i) => ({
    ...INPUT,
    offset: from + i,
    key: null,
    value: Buffer.from('"v"'),
    timestamp: 1,
    headers: [],
  }));
}

describe('a task whose next offset is gone', () => {
  it('processes what it has fetched before it goes on where the topic begins', async () => {
    let start = 0;
    const task = await open(() => start);
    task.feed({ ...INPUT, error: null, records: records(0, 3), nextOffset: 3, atEnd: false }, 0);
    start = 10;
    const input = task.inputs.get('t-0')!;
    await task.reset(input);
    assert.deepEqual([input.position, input.fetchPosition], [0, 10]);
    assert.equal(await task.process(10), 3);
    assert.deepEqual([input.position, input.fetchPosition], [10, 10]);
    start = 20;
    await task.reset(input);
    assert.deepEqual([input.position, input.fetchPosition], [20, 20]);
    task.close();
  });
});

describe('a task of which much waits to be processed', () => {
  it('wants no more, also where that is few large records', async () => {
    const task = await open(() => 0);
    const input = task.inputs.get('t-0')!;
    const value = Buffer.from(JSON.stringify('v'.repeat(1 << 20)));
    const large = records(0, 20).map((record) => ({ ...record, value }));
    task.feed({ ...INPUT, error: null, records: large, nextOffset: 20, atEnd: false }, 0);
    assert.equal(task.wants(input), false);
    assert.equal(await task.process(5), 5);
    assert.equal(task.wants(input), true);
    task.close();
  });
});

describe('a task whose time is over', () => {
  it('begins no further record, but one in any case', async () => {
    const task = await open(() => 0);
    task.feed({ ...INPUT, error: null, records: records(0, 3), nextOffset: 3, atEnd: true }, 0);
    assert.equal(await task.process(10, 0), 1);
    assert.equal(await task.process(10), 2);
    task.close();
  });
});

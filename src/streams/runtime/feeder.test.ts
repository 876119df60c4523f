import assert from 'node:assert/strict';
import { silentLogger } from '../../util/logger.ts';
import type { Cluster } from '../transport/cluster.ts';
import { BrokerError } from '../transport/errors.ts';
import type { Fetched } from '../transport/reader.ts';
import { Feeder } from './feeder.ts';
import type { RunningTask } from './running-task.ts';

describe('fetching for tasks', () => {
  it('goes on with the other partitions of an answer when one of them fails', async () => {
    const STORAGE_ERROR = 56;
    const partitions = [STORAGE_ERROR, 0].map((errorCode, partitionIndex) => ({
      partitionIndex,
      errorCode,
      lastStableOffset: 0n,
      records: [],
    }));
    const cluster = {
      apis: {},
      closed: false,
      byLeader: async (positions: unknown) => new Map([[1, positions]]),
      topic: async () => ({ id: 'id', leaders: [1, 1] }),
      callNode: async () => ({ errorCode: 0, responses: [{ topicId: 'id', partitions }] }),
      check: () => undefined,
      idOf: () => 'KAFKA_STORAGE_ERROR',
      forget: () => undefined,
    } as unknown as Cluster;
    const fed: number[] = [];
    const input = (partition: number) => ({ topic: 't', partition, fetchPosition: 0 });
    const task = {
      inputs: new Map([0, 1].map((partition) => [`t-${partition}`, input(partition)])),
      wants: () => true,
      feed: ({ partition }: Fetched) => fed.push(partition),
    } as unknown as RunningTask;
    await new Promise<void>((resolve) => new Feeder(cluster, silentLogger, resolve).kick([task]));
    assert.deepEqual(fed, [1]);
  });

  it('ends when what comes cannot be read: it would not be another time', async () => {
    const cluster = {
      apis: {},
      closed: false,
      byLeader: async (positions: unknown) => new Map([[1, positions]]),
      topic: async () => ({ id: 'id', leaders: [1] }),
      callNode: () => Promise.reject(new RangeError('unreachable')),
      forget: () => undefined,
    } as unknown as Cluster;
    const task = {
      inputs: new Map([['t-0', { topic: 't', partition: 0, fetchPosition: 0 }]]),
      wants: () => true,
    } as unknown as RunningTask;
    let feeder!: Feeder;
    await new Promise<void>((resolve) => {
      feeder = new Feeder(cluster, silentLogger, resolve);
      feeder.kick([task]);
    });
    const message = /what was fetched of t cannot be read: unreachable/;
    assert.throws(() => feeder.kick([task]), { code: 'BROKER', message });
  });

  it('goes on with the other topics when one is gone', async () => {
    const topic = async (name: string) => {
      if (name === 'gone') throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `look up topic ${name}`);
      return { id: 'id', leaders: [1] };
    };
    const partitions = [{ partitionIndex: 0, errorCode: 0, lastStableOffset: 0n, records: [] }];
    const cluster = {
      apis: {},
      closed: false,
      byLeader: async (positions: { topic: string }[]) => {
        for (const position of positions) await topic(position.topic);
        return new Map([[1, positions]]);
      },
      topic,
      callNode: async () => ({ errorCode: 0, responses: [{ topicId: 'id', partitions }] }),
      check: () => undefined,
      forget: () => undefined,
    } as unknown as Cluster;
    const fed: string[] = [];
    const names = ['gone', 't'];
    const task = {
      inputs: new Map(names.map((name) => [`${name}-0`, { topic: name, partition: 0, fetchPosition: 0 }])),
      wants: () => true,
      feed: (fetched: Fetched) => fed.push(fetched.topic),
    } as unknown as RunningTask;
    await new Promise<void>((resolve) => new Feeder(cluster, silentLogger, resolve).kick([task]));
    assert.deepEqual(fed, ['t']);
  });
});

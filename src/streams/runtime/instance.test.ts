import assert from 'node:assert/strict';
import { StreamsBuilder } from '../dsl/builder.ts';
import type { Cluster } from '../transport/cluster.ts';
import { BrokerError } from '../transport/errors.ts';
import { Instance } from './instance.ts';
import { StreamsMetrics } from './metrics.ts';
import { settingsOf } from './options.ts';
import { Signal } from './signal.ts';

const CHANGELOG = 'a-counts-changelog';
const CHANGES = 4;

/** Of a request for offsets, or a fetch. */
type Topics = readonly {
  name: string;
  topicId: string;
  partitions: readonly { timestamp: bigint; fetchOffset: bigint }[];
}[];

/** Brokers with an application's topics and its group, whose one member is this instance; of the changelog each fetch brings one record. */
class Brokers {
  readonly topics = new Set(['words', 'out', CHANGELOG]);
  /** Where the changelog was fetched from. */
  readonly restored: number[] = [];
  /** After so many of its records the group rebalances, and the member hears of it before the next one is there. */
  rebalancesAfter = -1;
  #rebalances = false;
  #told = () => {};
  #generation = 0;

  readonly cluster = {
    apis: new Proxy({}, { get: (_, api) => api }),
    retry: (attempt: () => unknown) => attempt(),
    forget() {},
    refresh: async (names: string[]) =>
      new Map(names.map((name) => [name, this.topics.has(name) ? { id: name, leaders: [1] } : null])),
    topic: async (name: string) => {
      this.#need(name);
      return { id: name, leaders: [1] };
    },
    byLeader: async (partitions: unknown) => new Map([[1, partitions]]),
    callAny: async () => ({ errorCode: 0, producerId: 1n, producerEpoch: 0 }),
    callCoordinator: async (_type: number, _key: string, api: string, ...args: unknown[]) =>
      this.#coordinate(api, args),
    callNode: async (_node: number, api: string, ...args: unknown[]) =>
      api === 'fetch' ? this.#fetch(args[6] as Topics) : this.#offsets(args[2] as Topics),
    check(code: number) {
      if (code !== 0) throw new BrokerError('REBALANCE_IN_PROGRESS', 'stay');
    },
    idOf: (code: number) => `error ${code}`,
  } as unknown as Cluster;

  #need(name: string): void {
    if (!this.topics.has(name)) throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', name);
  }

  #coordinate(api: string, args: readonly unknown[]): unknown {
    const errorCode = 0;
    switch (api) {
      case 'joinGroup': {
        this.#rebalances = false;
        const [{ metadata }] = args[6] as [{ metadata: Buffer }];
        const members = [{ memberId: 'm', metadata }];
        return { errorCode, memberId: 'm', leader: 'm', generationId: ++this.#generation, members };
      }
      case 'syncGroup':
        return { errorCode, assignment: (args[6] as { assignment: Buffer }[])[0]!.assignment };
      case 'heartbeat':
        if (this.#rebalances) this.#told();
        return { errorCode: Number(this.#rebalances) };
      case 'offsetFetch': {
        const partitions = [{ partitionIndex: 0, committedOffset: -1n, metadata: null, errorCode }];
        return { groups: [{ errorCode, topics: [{ name: 'words', partitions }] }] };
      }
      default:
        return { errorCode };
    }
  }

  #offsets(topics: Topics): unknown {
    return {
      topics: topics.map(({ name, partitions: [asked] }) => {
        this.#need(name);
        const offset = asked!.timestamp === -1n && name === CHANGELOG ? BigInt(CHANGES) : 0n;
        return { name, partitions: [{ partitionIndex: 0, errorCode: 0, offset }] };
      }),
    };
  }

  async #fetch(topics: Topics): Promise<unknown> {
    if (this.restored.length === this.rebalancesAfter && this.#generation === 1)
      await new Promise<void>((resolve) => {
        this.#told = resolve;
        this.#rebalances = true;
      });
    await new Promise((resolve) => setTimeout(resolve, 10));
    const responses = topics.map(({ topicId, partitions: [asked] }) => {
      const answer = { partitionIndex: 0, errorCode: 0, lastStableOffset: 0n };
      if (topicId !== CHANGELOG) return { topicId, partitions: [answer] };
      this.restored.push(Number(asked!.fetchOffset));
      return { topicId, partitions: [{ ...answer, records: [changeAt(asked!.fetchOffset)] }] };
    });
    return { errorCode: 0, responses };
  }
}

function changeAt(firstOffset: bigint): unknown {
  const value = Buffer.alloc(8);
  const change = {
    offsetDelta: 0,
    timestampDelta: 0n,
    key: Buffer.from(`k${firstOffset}`),
    value,
    headers: [],
  };
  return { firstOffset, lastOffsetDelta: 0, attributes: 0, firstTimestamp: 0n, records: [change] };
}

describe('the tasks of an instance', () => {
  function start() {
    const brokers = new Brokers();
    const builder = new StreamsBuilder();
    builder.stream('words').groupByKey().count({ name: 'counts' }).toStream().to('out');
    let closing = false;
    const signal = new Signal();
    const states: string[] = [];
    let running = () => {};
    const runs = new Promise<void>((resolve) => {
      running = resolve;
    });
    const instance = new Instance(
      builder.build(),
      settingsOf({ applicationId: 'a', bootstrap: 'none:1', guarantee: 'at-least-once', heartbeatMs: 1 }),
      new StreamsMetrics('a'),
      { writing: brokers.cluster, reading: brokers.cluster, group: brokers.cluster },
      signal,
      {
        closing: () => closing,
        entered: (state) => {
          states.push(state);
          if (state === 'running') running();
        },
      },
    );
    const close = () => {
      closing = true;
      signal.give();
    };
    return { brokers, instance, states, runs, close };
  }

  it('go on restoring their state where a rebalance has interrupted it', async () => {
    const { brokers, instance, states, runs, close } = start();
    brokers.rebalancesAfter = 2;
    const ended = instance.run(() => {});
    await runs;
    close();
    await ended;
    await instance.leave();
    assert.deepEqual(states, ['rebalancing', 'rebalancing', 'running']);
    assert.deepEqual(brokers.restored, [0, 1, 2, 3]);
  });

  it('fail when a topic is gone that they need, once they begin anew because of it', async () => {
    const { brokers, instance, runs, close } = start();
    const ended = instance.run(() => {});
    await runs;
    brokers.topics.delete('words');
    close();
    await ended;
    await instance.abandon(new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', 'commit'), false);
    await assert.rejects(
      instance.run(() => {}),
      { code: 'MISSING_TOPIC', message: 'there is no topic words; create it first' },
    );
    await instance.leave();
  });
});

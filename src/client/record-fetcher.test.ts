import assert from 'node:assert/strict';
import { ErrorCode } from '../protocol/errors.ts';
import { directFetchRequest } from '../protocol/generated/direct-fetch-request.ts';
import {
  createDirectFetchPartitionResponse,
  directFetchResponse,
} from '../protocol/generated/direct-fetch-response.ts';
import { offsetForLeaderEpochRequest } from '../protocol/generated/offset-for-leader-epoch-request.ts';
import type { Cluster } from './cluster.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { brokerError } from './errors.ts';
import type { Getter } from './getter.ts';
import type { StartPosition } from './list-offsets.ts';
import { PrefetchQueue } from './prefetch-queue.ts';
import { type Reading, RecordFetcher } from './record-fetcher.ts';

const NOBODY = -1;
const LATEST = -1n;

/** Gateways that lead partitions, and have no records. */
class FakeCluster {
  readonly options = { requestTimeoutMs: 50 };
  readonly leaders = new Map<number, number>();
  /** Partitions that gateways do not know. */
  readonly gone = new Set<number>();
  /** Those that their leaders cannot read. */
  readonly unreadable = new Set<number>();
  /** Where logs end that are shorter than they were. */
  readonly ends = new Map<number, bigint>();
  /** How often it was asked in vain who leads. */
  refused = 0;
  isAway = false;
  /** Of each fetch: by which gateway, and of which partitions. */
  readonly fetches: { readonly node: number; readonly partitions: readonly number[] }[] = [];
  readonly #underWay = new Map<number, number>();
  /** Fetches under way of one gateway at the same time, at most: each waits behind the one before. */
  atOnce = 0;

  async topics() {
    return [];
  }

  async topic() {
    return { name: 't' };
  }

  async leaderOf(_topic: string, partition: number) {
    return this.leaders.get(partition)!;
  }

  async byLeader<T>(
    ones: readonly T[],
    partitionOf: (one: T) => AssignedPartition,
  ): Promise<Map<number, T[]>> {
    if (this.isAway) {
      this.refused++;
      throw brokerError(ErrorCode.NETWORK_EXCEPTION, null, 'test');
    }
    const led = new Map<number, T[]>();
    for (const one of ones) {
      const node = this.leaders.get(partitionOf(one).partition)!;
      led.set(node, [...(led.get(node) ?? []), one]);
    }
    return led;
  }

  async connection(node: number) {
    return {
      serves: () => true,
      call: (codec: { apiKey: number }, _: unknown, body: FetchBody) => {
        if (codec.apiKey === directFetchRequest.apiKey) return this.#fetch(node, body);
        return codec.apiKey === offsetForLeaderEpochRequest.apiKey
          ? this.#endOfEpoch(body)
          : this.#listOffsets(body);
      },
    };
  }

  async #endOfEpoch({ topics }: FetchBody) {
    const [{ partition } = { partition: 0 }] = topics[0]!.partitions;
    const endOffset = this.ends.get(partition!) ?? -1n;
    return { topics: [{ topic: 't', partitions: [{ errorCode: ErrorCode.NONE, endOffset }] }] };
  }

  closeConnections(): void {}

  async #fetch(node: number, { topics }: FetchBody) {
    const partitions = topics.flatMap((topic) => topic.partitions.map(({ index }) => index!));
    this.fetches.push({ node, partitions: partitions.sort() });
    const others = this.#underWay.get(node) ?? 0;
    this.atOnce = Math.max(this.atOnce, others + 1);
    this.#underWay.set(node, others + 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.#underWay.set(node, this.#underWay.get(node)! - 1);
    const answers = partitions.flatMap((index) => {
      const { fetchOffset } = topics.flatMap((topic) => topic.partitions).find((one) => one.index === index)!;
      const isLost = fetchOffset! > (this.ends.get(index) ?? fetchOffset!);
      const errorCode = isLost ? ErrorCode.OFFSET_OUT_OF_RANGE : this.#errorOf(node, index);
      return errorCode === ErrorCode.NONE ? [] : [createDirectFetchPartitionResponse({ index, errorCode })];
    });
    return directFetchResponse.create({ topics: [{ name: 't', partitions: answers }] });
  }

  #errorOf(node: number, partition: number): number {
    if (this.gone.has(partition)) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    if (this.unreadable.has(partition)) return ErrorCode.KAFKA_STORAGE_ERROR;
    return this.leaders.get(partition) === node ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER;
  }

  async #listOffsets({ topics }: FetchBody) {
    const partitions = topics.flatMap((topic) =>
      topic.partitions.map(({ partitionIndex, timestamp }) => {
        const isLed = this.leaders.get(partitionIndex!) !== NOBODY;
        const errorCode = isLed ? ErrorCode.NONE : ErrorCode.LEADER_NOT_AVAILABLE;
        return { partitionIndex, errorCode, offset: isLed ? (timestamp === LATEST ? 9n : 7n) : -1n };
      }),
    );
    return { topics: [{ name: 't', partitions }] };
  }
}

interface FetchBody {
  readonly topics: {
    readonly partitions: {
      readonly index?: number;
      readonly fetchOffset?: bigint;
      readonly partition?: number;
      readonly partitionIndex?: number;
      readonly timestamp?: bigint;
    }[];
  }[];
}

describe('fetches of records', () => {
  let cluster: FakeCluster;
  let fetcher: RecordFetcher;
  let unknownTopics: number;

  beforeEach(() => {
    unknownTopics = 0;
    cluster = new FakeCluster();
    fetcher = fetcherFrom('earliest');
  });
  afterEach(() => fetcher.close());

  function fetcherFrom(from: StartPosition): RecordFetcher {
    return new RecordFetcher({
      cluster: cluster as unknown as Cluster,
      getter: { mayComeInline: false } as Getter,
      queue: new PrefetchQueue({
        limits: { metadataBytes: 100, dataBytes: 100 },
        select: () => 'none',
        broker: undefined,
        onRoom: () => undefined,
        onDamaged: (error) => {
          throw error;
        },
      }),
      isolationLevel: 0,
      maxWaitMs: 5,
      from,
      onAcknowledge: () => undefined,
      onEvents: () => undefined,
      onUnknownTopic: () => unknownTopics++,
    });
  }

  const reading = (partition: number, fetchOffset: bigint | null = 0n): Reading => ({
    handle: { name: 't' } as Reading['handle'],
    partition,
    fetchOffset,
    leaderEpoch: -1,
    isAdded: false,
    acknowledged: null,
    committed: null,
    revoked: false,
  });
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it('go on where there is a leader while others have none, and together when they have one', async () => {
    cluster.leaders.set(0, 1).set(1, NOBODY);
    const later = reading(1, null);
    const running = fetcher.run([reading(0), later]);
    await pause(50);
    assert.ok(cluster.fetches.length > 2);
    assert.ok(cluster.fetches.every(({ node, partitions }) => node === 1 && partitions.join() === '0'));
    assert.equal(later.fetchOffset, null);
    cluster.leaders.set(1, 1);
    await pause(500);
    assert.equal(later.fetchOffset, 7n);
    assert.deepEqual(cluster.fetches.at(-1), { node: 1, partitions: [0, 1] });
    assert.equal(cluster.atOnce, 1, 'one waits behind the other');
    fetcher.close();
    await running;
  });

  it('begin in a partition of which it was not known where, while another of its gateway cannot be read', async () => {
    cluster.leaders.set(0, 1).set(1, 1);
    cluster.unreadable.add(0);
    const later = reading(1, null);
    const running = fetcher.run([reading(0), later]);
    await pause(300);
    assert.equal(later.fetchOffset, 7n);
    assert.ok(cluster.fetches.some(({ partitions }) => partitions.includes(1)));
    fetcher.close();
    await running;
  });

  it('begin with the first record of partitions that were added, wherever others do', async () => {
    cluster.leaders.set(0, 1).set(1, 1).set(2, NOBODY);
    fetcher = fetcherFrom('latest');
    const [other, added] = [reading(1, null), { ...reading(2, null), isAdded: true }];
    const running = fetcher.run([reading(0), other, added]);
    await pause(100);
    cluster.leaders.set(2, 1);
    await pause(500);
    assert.deepEqual([other.fetchOffset, added.fetchOffset], [9n, 7n]);
    fetcher.close();
    await running;
  });

  it('go on where the log ends when it has lost records that were fetched, and begin anew from where nothing was', async () => {
    cluster.leaders.set(0, 1).set(1, 1);
    cluster.ends.set(0, 20n).set(1, 20n);
    const ahead = { ...reading(0, 25n), leaderEpoch: 3, acknowledged: 24n };
    const nowhere = reading(1, 25n);
    const running = fetcher.run([ahead, nowhere]);
    await pause(100);
    assert.deepEqual([ahead.fetchOffset, nowhere.fetchOffset], [20n, 7n]);
    assert.equal(ahead.acknowledged, 20n);
    fetcher.close();
    await running;
  });

  it('go on of others when a topic is gone, which is told, and end when what was read of it is revoked', async () => {
    cluster.leaders.set(0, 1).set(1, 1).set(2, 2);
    const [stays, goes, alone] = [reading(0), reading(1), reading(2)];
    const running = fetcher.run([stays, goes, alone]);
    await pause(20);
    cluster.gone.add(1).add(2);
    await pause(300);
    assert.ok(unknownTopics > 0);
    for (const one of [goes, alone]) one.revoked = true;
    await pause(300);
    const told = unknownTopics;
    cluster.fetches.length = 0;
    await pause(50);
    assert.equal(unknownTopics, told);
    assert.ok(cluster.fetches.length > 2);
    assert.ok(cluster.fetches.every(({ node, partitions }) => node === 1 && partitions.join() === '0'));
    cluster.gone.delete(2);
    const again = fetcher.run([reading(2)]);
    await pause(50);
    assert.ok(cluster.fetches.some(({ node }) => node === 2));
    fetcher.close();
    await Promise.all([running, again]);
  });

  it('begin when it can be told again who leads, however long that takes', async () => {
    cluster.leaders.set(0, 1);
    cluster.isAway = true;
    const running = fetcher.run([reading(0)]);
    await pause(150);
    assert.ok(cluster.refused > 1);
    cluster.isAway = false;
    await pause(100);
    assert.ok(cluster.fetches.length > 0);
    fetcher.close();
    await running;
  });

  it('are not begun of what was given up meanwhile', async () => {
    cluster.leaders.set(0, 1).set(1, 1);
    cluster.isAway = true;
    const before = fetcher.run([reading(0)]);
    await pause(10);
    fetcher.giveUp();
    cluster.isAway = false;
    const running = fetcher.run([reading(1)]);
    await before;
    await pause(30);
    assert.ok(cluster.fetches.length > 0);
    assert.ok(cluster.fetches.every(({ partitions }) => partitions.join() === '1'));
    fetcher.close();
    await running;
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FetchSessions } from '../../broker/partitions/fetch-session.ts';
import { gather, TestBroker, topicConfig } from '../../broker/partitions/testing.ts';
import { ProducerIds } from '../../broker/producers/producer-ids.ts';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { startTransactions, type TestTransactions } from '../../broker/transactions/coordinator.fixture.ts';
import { ProduceGate } from '../../broker/transactions/produce-gate.ts';
import { arenaStats } from '../../native/arena.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { FetchRequest } from '../../protocol/generated/fetch-request.ts';
import { splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { Reader } from '../../protocol/wire/reader.ts';
import { Writer } from '../../protocol/wire/writer.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import type { ApiHandler } from '../net/handler.ts';
import { Outstanding } from '../net/outstanding.ts';
import { produceHandler } from './00-produce.ts';
import { fetchHandler } from './01-fetch.ts';
import { listOffsetsHandler } from './02-list-offsets.ts';
import { deleteRecordsHandler } from './21-delete-records.ts';
import { initProducerIdHandler } from './22-init-producer-id.ts';
import { offsetForLeaderEpochHandler } from './23-offset-for-leader-epoch.ts';
import { alterReplicaLogDirsHandler } from './34-alter-replica-log-dirs.ts';
import { describeLogDirsHandler } from './35-describe-log-dirs.ts';
import { describeProducersHandler } from './61-describe-producers.ts';

const ID = 'AAAAAAAAAAAAAAAAAAAABQ';
const UNKNOWN_ID = 'AAAAAAAAAAAAAAAAAAAABg';
const TOPIC = {
  name: 't',
  id: ID,
  partitions: [
    { index: 0, leaderEpoch: 3 },
    { index: 1, leaderEpoch: 3 },
  ],
};
const INTERNAL = {
  name: '__consumer_offsets',
  id: 'AAAAAAAAAAAAAAAAAAAABw',
  partitions: [{ index: 0, leaderEpoch: 0 }],
};
const START = BigInt(Date.now()) - 1000n;

function batch(values: string[], timestamp = START): Uint8Array {
  const records = values.map((value, i) => ({
    key: null,
    value: Buffer.from(value),
    timestamp: timestamp + BigInt(i),
  }));
  return buildBatch(records, { timestamp });
}

describe('data handlers', () => {
  let directory: string;
  let broker: TestBroker;
  let sessions: FetchSessions;
  let closed: AbortController;
  let transactions: TestTransactions;
  let gate: ProduceGate;
  let quota: RateQuota;
  /** How long the handlers let the client wait. */
  let throttles: number[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'handlers-'));
    broker = await TestBroker.start(
      directory,
      [TOPIC, INTERNAL],
      topicConfig({ 'payload.min.bytes': '1000' }),
    );
    sessions = new FetchSessions({ slots: 10, evictionMs: 1000, maxPartitions: 100 }, systemClock);
    closed = new AbortController();
    transactions = await startTransactions();
    gate = new ProduceGate(transactions.transactions);
    quota = new RateQuota('rate', systemClock, { samples: 11, sampleMs: 1000 });
    throttles = [];
  });
  afterEach(async () => {
    transactions.transactions.close();
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  /** Sends a request over the wire formats of a version; returns the answer as the client reads it. */
  async function call<Req, Res>(
    handler: ApiHandler<Req, Res>,
    version: number,
    request: Partial<Req>,
  ): Promise<Res> {
    const writer = new Writer();
    handler.request.write(writer, handler.request.create(request), version);
    const decoded = handler.request.read(new Reader(Uint8Array.from(writer.finishBytes())), version);
    const connection = {
      id: 1,
      listenerName: 'PLAINTEXT',
      remoteAddress: '127.0.0.1',
      remotePort: 1,
      principal: 'User:ANONYMOUS',
      clientSoftwareName: 'test',
      clientSoftwareVersion: '1',
      closed: closed.signal,
      onClosed: (action: () => void) => {
        closed.signal.addEventListener('abort', action);
        return () => closed.signal.removeEventListener('abort', action);
      },
      outstanding: new Outstanding(Number.POSITIVE_INFINITY),
      throttle: (ms: number) => void throttles.push(ms),
    };
    const context = {
      apiKey: handler.apiKey,
      apiVersion: version,
      correlationId: 1,
      clientId: 'test',
      connection,
      memory: null,
    };
    const response = await handler.handle(decoded, context);
    assert.ok(response !== null);
    const answer = new Writer();
    handler.response.write(answer, response, version);
    // biome-ignore lint/suspicious/noExplicitAny: pieces of the protocol layer are those of the native one
    return handler.response.read(new Reader(await gather(answer.finish() as any)), version);
  }

  async function produce(
    version: number,
    records: Uint8Array | null,
    over: { index?: number; acks?: number; name?: string; topicId?: string } = {},
  ) {
    const handler = produceHandler({ partitions: broker.partitions, gate, quota });
    const topic =
      version >= 13
        ? { name: '', topicId: over.topicId ?? ID }
        : { name: over.name ?? 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAA' };
    const answer = await call(handler, version, {
      acks: over.acks ?? -1,
      timeoutMs: 1000,
      topicData: [{ ...topic, partitionData: [{ index: over.index ?? 0, records }] }],
    });
    return answer.responses[0]!.partitionResponses[0]!;
  }

  function fetchTopics(version: number, offset: bigint, index = 0, over = {}): FetchRequest['topics'] {
    const partition = {
      partition: index,
      currentLeaderEpoch: -1,
      fetchOffset: offset,
      lastFetchedEpoch: -1,
      logStartOffset: -1n,
      partitionMaxBytes: 1 << 20,
      replicaDirectoryId: 'AAAAAAAAAAAAAAAAAAAAAA',
      highWatermark: 9223372036854775807n,
      ...over,
    };
    const names =
      version >= 13 ? { topic: '', topicId: ID } : { topic: 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAA' };
    return [{ ...names, partitions: [partition] }];
  }

  function fetch(version: number, request: Partial<FetchRequest>) {
    const handler = fetchHandler({
      ...broker,
      partitions: broker.partitions,
      fetches: broker.fetches,
      sessions,
      quota,
    });
    return call(handler, version, {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1 << 20,
      sessionEpoch: -1,
      ...request,
    });
  }

  it('produce and fetch in every version, small and diverted', async () => {
    for (let version = 3; version <= 13; version++) {
      const answer = await produce(version, batch([`v${version}`, 'x'.repeat(version % 2 === 0 ? 5 : 4000)]));
      assert.equal(answer.errorCode, 0);
      assert.equal(answer.baseOffset, BigInt(version - 3) * 2n);
      assert.equal(answer.logStartOffset, version >= 5 ? 0n : -1n);
    }
    for (let version = 4; version <= 18; version++) {
      const answer = await fetch(version, { topics: fetchTopics(version, 3n) });
      const topic = answer.responses[0]!;
      assert.equal(version >= 13 ? topic.topicId : topic.topic, version >= 13 ? ID : 't');
      const partition = topic.partitions[0]!;
      assert.equal(partition.errorCode, 0);
      assert.equal(partition.highWatermark, 22n);
      assert.equal(partition.lastStableOffset, 22n);
      const batches = splitBatches(partition.records as Uint8Array);
      assert.equal(batches.length, 10);
      assert.equal(batches[0]!.header.baseOffset, 2n);
    }
  });

  it('produce answers with Kafka’s errors', async () => {
    assert.equal(
      (await produce(9, batch(['a']), { index: 5 })).errorCode,
      ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    );
    assert.equal(
      (await produce(13, batch(['a']), { topicId: UNKNOWN_ID })).errorCode,
      ErrorCode.UNKNOWN_TOPIC_ID,
    );
    assert.equal((await produce(9, batch(['a']), { acks: 2 })).errorCode, ErrorCode.INVALID_REQUIRED_ACKS);
    assert.equal((await produce(9, null)).errorCode, ErrorCode.INVALID_RECORD);
    const late = await produce(9, batch(['a', 'b'], START + 100_000_000n));
    assert.equal(late.errorCode, ErrorCode.INVALID_TIMESTAMP);
    assert.equal(late.baseOffset, -1n);
    assert.equal(late.errorMessage, 'One or more records have been rejected due to invalid timestamp');
    assert.equal(late.recordErrors[0]!.batchIndex, 0);
    assert.match(late.recordErrors[0]!.batchIndexErrorMessage!, /timestamp of the record/);
    const zstd = batch(['a']);
    zstd[22] = 4;
    assert.equal((await produce(6, zstd)).errorCode, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
  });

  it('produce appends nothing to topics of the broker itself', async () => {
    const { name, id: topicId } = INTERNAL;
    for (const version of [9, 12, 13]) {
      const answer = await produce(version, batch(['a']), { name, topicId });
      assert.equal(answer.errorCode, ErrorCode.INVALID_TOPIC_EXCEPTION);
      assert.equal(answer.baseOffset, -1n);
    }
    assert.equal(broker.partitions.find(name, 0)!.highWatermark, 0n);
  });

  it('produce with acks=0 has no answer, and fails the connection when it fails', async () => {
    const handler = produceHandler({ partitions: broker.partitions, gate, quota });
    await assert.rejects(produce(9, batch(['a']), { acks: 0 }), /false == true|falsy/);
    assert.equal(broker.partitions.find('t', 0)!.highWatermark, 1n);
    const request = {
      acks: 0,
      topicData: [{ name: 'none', topicId: ID, partitionData: [{ index: 0, records: batch(['a']) }] }],
    };
    await assert.rejects(call(handler, 9, request), /acks=0/);
  });

  it('fetch waits for data, and gives up when the client leaves', async () => {
    const { waiters } = broker.partitions.find('t', 0)!;
    const someoneWaits = async () => {
      while (waiters.size === 0) await sleep(1);
    };
    const waiting = fetch(12, { topics: fetchTopics(12, 0n), maxWaitMs: 10_000 });
    await someoneWaits();
    await produce(9, batch(['a']));
    assert.equal((await waiting).responses[0]!.partitions[0]!.highWatermark, 1n);
    const left = fetch(12, { topics: fetchTopics(12, 1n), maxWaitMs: 10_000 });
    await someoneWaits();
    closed.abort();
    await left;
    assert.equal(waiters.size, 0);
  });

  it('fetch in a session names only what has changed', async () => {
    const first = await fetch(12, {
      topics: [...fetchTopics(12, 0n), ...fetchTopics(12, 0n, 1)],
      sessionEpoch: 0,
    });
    assert.notEqual(first.sessionId, 0);
    assert.equal(first.responses[0]!.partitions.length, 2);
    const { sessionId } = first;
    assert.deepEqual((await fetch(12, { sessionId, sessionEpoch: 1 })).responses, []);
    await produce(9, batch(['a']), { index: 1 });
    const second = await fetch(12, { sessionId, sessionEpoch: 2 });
    assert.deepEqual(
      second.responses[0]!.partitions.map(({ partitionIndex }) => partitionIndex),
      [1],
    );
    assert.equal(
      (await fetch(12, { sessionId, sessionEpoch: 2 })).errorCode,
      ErrorCode.INVALID_FETCH_SESSION_EPOCH,
    );
    assert.equal(
      (await fetch(12, { sessionId: 77, sessionEpoch: 2 })).errorCode,
      ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
    );
  });

  it('fetch checks offsets and leader epochs', async () => {
    await produce(9, batch(['a']));
    const errorOf = async (over: object, offset = 0n) =>
      (await fetch(12, { topics: fetchTopics(12, offset, 0, over) })).responses[0]!.partitions[0]!;
    assert.equal((await errorOf({ currentLeaderEpoch: 2 })).errorCode, ErrorCode.FENCED_LEADER_EPOCH);
    assert.equal((await errorOf({ currentLeaderEpoch: 4 })).errorCode, ErrorCode.UNKNOWN_LEADER_EPOCH);
    assert.equal((await errorOf({ currentLeaderEpoch: 3 })).errorCode, 0);
    assert.equal((await errorOf({}, 2n)).errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    const unknown = await fetch(13, { topics: [{ ...fetchTopics(13, 0n)[0]!, topicId: UNKNOWN_ID }] });
    assert.equal(unknown.responses[0]!.partitions[0]!.errorCode, ErrorCode.UNKNOWN_TOPIC_ID);
  });

  it('list offsets by timestamp and by Kafka’s special ones', async () => {
    const handler = listOffsetsHandler(broker);
    await produce(9, batch(['a', 'b'], START));
    await produce(9, batch(['x'.repeat(5000), 'd'], START + 100n));
    const find = async (timestamp: bigint, version = 11, over = {}) => {
      const partitions = [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp, ...over }];
      const answer = await call(handler, version, { replicaId: -1, topics: [{ name: 't', partitions }] });
      const { offset, timestamp: found, leaderEpoch, errorCode } = answer.topics[0]!.partitions[0]!;
      return [offset, found, leaderEpoch, errorCode];
    };
    assert.deepEqual(await find(-1n), [4n, -1n, 3, 0]);
    assert.deepEqual(await find(-2n), [0n, -1n, 3, 0]);
    assert.deepEqual(await find(-3n), [3n, START + 101n, 3, 0]);
    assert.deepEqual(await find(-4n), [0n, -1n, 3, 0]);
    assert.deepEqual(await find(-5n), [-1n, -1n, -1, 0]);
    assert.deepEqual(await find(START + 1n), [1n, START + 1n, 3, 0]);
    assert.deepEqual(await find(START + 2n), [2n, START + 100n, 3, 0]);
    assert.deepEqual(await find(START + 5000n), [-1n, -1n, -1, 0]);
    assert.deepEqual(await find(-3n, 6), [-1n, -1n, -1, ErrorCode.UNSUPPORTED_VERSION]);
    assert.deepEqual(await find(-1n, 1), [4n, -1n, -1, 0]);
    assert.equal((await find(-1n, 11, { currentLeaderEpoch: 9 }))[3], ErrorCode.UNKNOWN_LEADER_EPOCH);
    assert.equal((await find(-1n, 11, { partitionIndex: 9 }))[3], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  });

  it('list no offset of a partition that is named twice, in one entry of its topic or in two', async () => {
    const wanted = (...indexes: number[]) => ({
      name: 't',
      partitions: indexes.map((partitionIndex) => ({
        partitionIndex,
        currentLeaderEpoch: -1,
        timestamp: -1n,
      })),
    });
    const { topics } = await call(listOffsetsHandler(broker), 11, {
      replicaId: -1,
      topics: [wanted(0, 5, 5), wanted(1, 0), { name: 'none', partitions: [] }],
    });
    const answered = topics.map(({ name, partitions }) => [
      name,
      ...partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
    ]);
    assert.deepEqual(answered, [
      ['t', [0, ErrorCode.INVALID_REQUEST], [5, ErrorCode.INVALID_REQUEST], [1, ErrorCode.NONE]],
    ]);
  });

  it('delete records below an offset or all of them', async () => {
    const handler = deleteRecordsHandler(broker);
    await produce(9, batch(['a', 'b', 'c']));
    const remove = async (offset: bigint, name = 't') => {
      const answer = await call(handler, 2, {
        topics: [{ name, partitions: [{ partitionIndex: 0, offset }] }],
        timeoutMs: 1000,
      });
      return answer.topics[0]!.partitions[0]!;
    };
    assert.deepEqual(await remove(2n), { partitionIndex: 0, lowWatermark: 2n, errorCode: 0 });
    assert.deepEqual(await remove(-1n), { partitionIndex: 0, lowWatermark: 3n, errorCode: 0 });
    assert.equal((await remove(4n)).errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    assert.equal((await remove(0n, 'none')).errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal((await remove(0n, '__consumer_offsets')).errorCode, ErrorCode.INVALID_TOPIC_EXCEPTION);
  });

  it('delete records before the last offset that is named, and answer once', async () => {
    await produce(9, batch(['a', 'b', 'c']));
    const named = (...offsets: bigint[]) => ({
      name: 't',
      partitions: offsets.map((offset) => ({ partitionIndex: 0, offset })),
    });
    const { topics } = await call(deleteRecordsHandler(broker), 2, {
      topics: [named(9n, 3n), named(2n), { name: 'none', partitions: [] }],
      timeoutMs: 1000,
    });
    const partitions = [{ partitionIndex: 0, lowWatermark: 2n, errorCode: 0 }];
    assert.deepEqual(topics, [{ name: 't', partitions }]);
  });

  it('give producers new ids', async () => {
    const handler = initProducerIdHandler({
      producerIds: new ProducerIds(async () => ({ first: 1000n, size: 1000 }), silentLogger),
      transactions: transactions.transactions,
    });
    assert.equal((await call(handler, 0, { transactionalId: null })).producerId, 1000n);
    const again = await call(handler, 5, { transactionalId: null, producerId: 1000n, producerEpoch: 4 });
    assert.deepEqual([again.producerId, again.producerEpoch, again.errorCode], [1001n, 0, 0]);
    assert.equal(
      (await call(handler, 4, { transactionalId: null, producerId: 5n })).errorCode,
      ErrorCode.INVALID_REQUEST,
    );
    assert.equal((await call(handler, 4, { transactionalId: '' })).errorCode, ErrorCode.INVALID_REQUEST);
  });

  it('describe epochs, log directories and producers', async () => {
    await produce(
      9,
      buildBatch([{ key: null, value: Buffer.alloc(5000) }], {
        timestamp: START,
        producerId: 7n,
        producerEpoch: 1,
        baseSequence: 0,
      }),
    );
    const topics = [{ topic: 't', partitions: [{ partition: 0, currentLeaderEpoch: 3, leaderEpoch: 3 }] }];
    const epochs = await call(offsetForLeaderEpochHandler(broker), 4, { topics });
    assert.deepEqual(epochs.topics[0]!.partitions, [
      { errorCode: 0, partition: 0, leaderEpoch: 3, endOffset: 1n },
    ]);
    const handler = describeLogDirsHandler(broker);
    const all = await call(handler, 4, { topics: null });
    assert.equal(all.results[0]!.logDir, directory);
    assert.ok(all.results[0]!.totalBytes > all.results[0]!.usableBytes);
    const sizes = all.results[0]!.topics[0]!.partitions;
    assert.deepEqual(sizes.map(({ partitionSize }) => partitionSize > 5000n).sort(), [false, true]);
    const some = await call(handler, 1, { topics: [{ topic: 't', partitions: [1] }] });
    assert.deepEqual(
      some.results[0]!.topics[0]!.partitions.map(({ partitionIndex }) => partitionIndex),
      [1],
    );
    const each = await call(handler, 4, { topics: [0, 1].map((n) => ({ topic: 't', partitions: [n] })) });
    assert.equal(each.results[0]!.topics[0]!.partitions.length, 2, 'a topic that is named twice');
    const asked: [string, number, string][] = [];
    const moves = { alter: (...given: [string, number, string]) => asked.push(given) };
    const into = (path: string, ...topics: [string, number[]][]) => ({
      path,
      topics: topics.map(([name, partitions]) => ({ name, partitions })),
    });
    const dirs = [into('/a', ['t', [0, 1, 1]]), into('/b', ['t', [1]], ['u', []])];
    const { results } = await call(alterReplicaLogDirsHandler({ moves }), 2, { dirs });
    assert.deepEqual(asked, [
      ['t', 0, '/a'],
      ['t', 1, '/b'],
    ]);
    const told = [0, 1].map((partitionIndex) => ({ partitionIndex, errorCode: partitionIndex + 1 }));
    assert.deepEqual(results, [{ topicName: 't', partitions: told }]);
    const producers = await call(describeProducersHandler(broker), 0, {
      topics: [{ name: 't', partitionIndexes: [0, 9] }],
    });
    assert.equal(producers.topics[0]!.partitions[0]!.activeProducers[0]!.producerId, 7n);
    assert.equal(producers.topics[0]!.partitions[1]!.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  });

  it('say of a partition that is offline that it is so', async () => {
    const { KAFKA_STORAGE_ERROR } = ErrorCode;
    broker.partitions.find = () => null;
    broker.partitions.errorOfMissing = () => KAFKA_STORAGE_ERROR;
    const topics = [{ topic: 't', partitions: [{ partition: 0, currentLeaderEpoch: 3, leaderEpoch: 3 }] }];
    const epochs = await call(offsetForLeaderEpochHandler(broker), 4, { topics });
    assert.equal(epochs.topics[0]!.partitions[0]!.errorCode, KAFKA_STORAGE_ERROR);
    const producers = await call(describeProducersHandler(broker), 0, {
      topics: [{ name: 't', partitionIndexes: [0] }],
    });
    assert.equal(producers.topics[0]!.partitions[0]!.errorCode, KAFKA_STORAGE_ERROR);
  });

  it('let a producer over its quota wait, after its records are kept', async () => {
    quota.update(limit(1_000_000));
    await produce(9, batch(['a']));
    assert.deepEqual(throttles, [0]);
    quota.update(limit(1));
    await produce(9, batch(['b']));
    assert.ok(throttles[1]! > 1000, String(throttles[1]));
    quota.update([]);
    const { responses } = await fetch(12, { topics: fetchTopics(12, 0n) });
    assert.equal(responses[0]!.partitions[0]!.highWatermark, 2n);
  });

  it('give a consumer over its quota nothing, and the same records later', async () => {
    await produce(9, batch(['a']));
    quota.update(limit(10));
    const first = await fetch(12, { topics: fetchTopics(12, 0n) });
    assert.equal(first.throttleTimeMs, 0);
    const empty = await fetch(12, { topics: fetchTopics(12, 0n) });
    assert.deepEqual(empty.responses, []);
    assert.ok(empty.throttleTimeMs > 0);
    assert.deepEqual(throttles.slice(-1), [empty.throttleTimeMs]);
    await fetch(12, { topics: fetchTopics(12, 0n), sessionEpoch: 0 });
    assert.equal(sessions.size, 0, 'of a session that was not announced nothing is kept');
    quota.update([]);
    const { responses } = await fetch(12, { topics: fetchTopics(12, 0n) });
    assert.ok((responses[0]!.partitions[0]!.records as Uint8Array).byteLength > 60);
  });

  it('give a consumer what its quota would never let through, and let it wait behind it', async () => {
    await produce(9, batch(['a'.repeat(200)]));
    quota.update(limit(2));
    const { responses, throttleTimeMs } = await fetch(12, { topics: fetchTopics(12, 0n) });
    assert.ok((responses[0]!.partitions[0]!.records as Uint8Array).byteLength > 200);
    assert.ok(throttleTimeMs > 10_000, String(throttleTimeMs));
    assert.deepEqual(throttles.slice(-1), [throttleTimeMs]);
    quota.update([]);
  });
});

function limit(rate: number) {
  return [{ entity: new Map([['client-id', null]]), values: new Map([['rate', rate]]) }];
}

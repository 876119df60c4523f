import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOf } from '../../broker/coordinator-shards.ts';
import { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import { gather } from '../../broker/partitions/testing.ts';
import { loadConfig } from '../../config/index.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { AddPartitionsToTxnResponse } from '../../protocol/generated/add-partitions-to-txn-response.ts';
import { createCreatableTopic } from '../../protocol/generated/create-topics-request.ts';
import type { DescribeTransactionsResponse } from '../../protocol/generated/describe-transactions-response.ts';
import type { EndTxnResponse } from '../../protocol/generated/end-txn-response.ts';
import type { FetchResponse } from '../../protocol/generated/fetch-response.ts';
import type { InitProducerIdResponse } from '../../protocol/generated/init-producer-id-response.ts';
import type { ListOffsetsResponse } from '../../protocol/generated/list-offsets-response.ts';
import type { ListTransactionsResponse } from '../../protocol/generated/list-transactions-response.ts';
import type { OffsetFetchResponse } from '../../protocol/generated/offset-fetch-response.ts';
import type { ProduceResponse } from '../../protocol/generated/produce-response.ts';
import { createTxnOffsetCommitRequestPartition } from '../../protocol/generated/txn-offset-commit-request.ts';
import type { TxnOffsetCommitResponse } from '../../protocol/generated/txn-offset-commit-response.ts';
import type { WriteTxnMarkersResponse } from '../../protocol/generated/write-txn-markers-response.ts';
import { splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import type { AnyHandler } from '../net/handler.ts';
import { txnOffsetCommitHandler } from './28-txn-offset-commit.ts';
import { call } from './handler.fixture.ts';
import { brokerHandlers } from './index.ts';

interface Producer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

describe('transaction handlers', () => {
  let dir: string;
  let broker: EmbeddedBroker;
  let handlers: ReadonlyMap<number, AnyHandler>;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-transactions-'));
    await start();
    await broker.topics.createTopics([
      createCreatableTopic({ name: 't', numPartitions: 2, replicationFactor: 1 }),
    ]);
    await ask(ApiKey.FindCoordinator, 0, { key: 'g', keyType: 0 });
    await ask(ApiKey.FindCoordinator, 1, { key: 'tx', keyType: 1 });
  });
  afterEach(async () => {
    await broker.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    const config = loadConfig({
      environment: {},
      overrides: [
        `log.dirs=${join(dir, 'data')}`,
        'transaction.state.log.num.partitions=2',
        'offsets.topic.num.partitions=2',
        'payload.min.bytes=20000',
      ],
      host: { isRoot: false, homeDirectory: dir },
    });
    const endpoints = [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }];
    broker = await EmbeddedBroker.open({ config, clock: systemClock, logger: silentLogger, endpoints });
    handlers = new Map(
      brokerHandlers(broker, [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }]).map((handler) => [
        handler.apiKey,
        handler,
      ]),
    );
  }

  function ask<T>(apiKey: number, version: number, request: object): Promise<T> {
    return call(handlers.get(apiKey)!, version, request) as Promise<T>;
  }

  async function init(version: number): Promise<Producer> {
    for (;;) {
      const request = { transactionalId: 'tx', transactionTimeoutMs: 10_000 };
      const answer = await ask<InitProducerIdResponse>(ApiKey.InitProducerId, version, request);
      if (answer.errorCode === ErrorCode.NONE) return answer;
      assert.equal(answer.errorCode, ErrorCode.CONCURRENT_TRANSACTIONS);
      await sleep(5);
    }
  }

  async function produce(
    version: number,
    producer: Producer,
    baseSequence: number,
    { value = Buffer.from('v'), transactionalId = 'tx' as string | null, partition = 0 } = {},
  ) {
    const records = buildBatch([{ key: Buffer.from('k'), value }], {
      timestamp: BigInt(Date.now()),
      attributes: 0x10,
      producerId: producer.producerId,
      producerEpoch: producer.producerEpoch,
      baseSequence,
    });
    const topic = version >= 13 ? { topicId: broker.metadata.topicByName('t')!.id } : { name: 't' };
    const request = {
      transactionalId,
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        {
          name: '',
          topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
          ...topic,
          partitionData: [{ index: partition, records }],
        },
      ],
    };
    const answer = await ask<ProduceResponse>(ApiKey.Produce, version, request);
    return answer.responses[0]!.partitionResponses[0]!;
  }

  async function add(version: number, producer: Producer, name = 't'): Promise<number[]> {
    const topics = [{ name, partitions: [0, 1] }];
    const request =
      version >= 4
        ? { transactions: [{ transactionalId: 'tx', ...producer, verifyOnly: false, topics }] }
        : {
            v3AndBelowTransactionalId: 'tx',
            v3AndBelowProducerId: producer.producerId,
            v3AndBelowProducerEpoch: producer.producerEpoch,
            v3AndBelowTopics: topics,
          };
    const answer = await ask<AddPartitionsToTxnResponse>(ApiKey.AddPartitionsToTxn, version, request);
    const found =
      version >= 4 ? answer.resultsByTransaction[0]!.topicResults : answer.resultsByTopicV3AndBelow;
    return found[0]!.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode);
  }

  async function end(version: number, producer: Producer, committed: boolean): Promise<EndTxnResponse> {
    const request = { transactionalId: 'tx', ...identity(producer), committed };
    for (;;) {
      const answer = await ask<EndTxnResponse>(ApiKey.EndTxn, version, request);
      if (answer.errorCode !== ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return answer;
      await sleep(5);
    }
  }

  function identity({ producerId, producerEpoch }: Producer): Producer {
    return { producerId, producerEpoch };
  }

  async function fetch(isolationLevel: number, fetchOffset = 0n) {
    const partition = {
      partition: 0,
      currentLeaderEpoch: -1,
      fetchOffset,
      lastFetchedEpoch: -1,
      logStartOffset: -1n,
      partitionMaxBytes: 1 << 20,
    };
    const handler = handlers.get(ApiKey.Fetch)!;
    const request = handler.request.create({
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1 << 20,
      isolationLevel,
      topics: [{ topic: 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: [partition] }],
    });
    const closed = new AbortController().signal;
    const context = { apiVersion: 11, connection: { closed }, memory: null };
    const answer = (await handler.handle(request, context as never)) as FetchResponse;
    const found = answer.responses[0]!.partitions[0]!;
    const bytes = await gather(found.records as never);
    return { ...found, batches: splitBatches(bytes).map(({ header }) => header.isControl) };
  }

  async function latest(isolationLevel: number): Promise<bigint> {
    const partitions = [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1n }];
    const request = { replicaId: -1, isolationLevel, topics: [{ name: 't', partitions }] };
    const answer = await ask<ListOffsetsResponse>(ApiKey.ListOffsets, 5, request);
    return answer.topics[0]!.partitions[0]!.offset;
  }

  async function stable(offset: bigint): Promise<void> {
    while ((await latest(1)) < offset) await sleep(5);
  }

  it('classic: partitions are added, records stay unstable until the end, and aborted ones are named', async () => {
    for (const version of [0, 1, 2, 3]) assert.deepEqual(await add(version, await init(version)), [0, 0]);
    const producer = await init(4);
    const start = await latest(0);
    assert.equal((await produce(9, producer, 0)).errorCode, ErrorCode.INVALID_TXN_STATE, 'not added');
    assert.equal((await produce(11, producer, 0)).errorCode, ErrorCode.TRANSACTION_ABORTABLE);
    assert.deepEqual(await add(3, producer), [0, 0]);
    assert.equal((await produce(9, producer, 0)).errorCode, ErrorCode.NONE);
    const diverted = await produce(9, producer, 1, { value: Buffer.alloc(30_000, 'x') });
    assert.equal(diverted.errorCode, ErrorCode.NONE);
    assert.equal(broker.partitions.metrics.divertedRecords, 1);
    assert.equal(await latest(1), start);
    assert.equal(await latest(0), start + 2n);
    assert.deepEqual((await fetch(1, start)).batches, []);
    assert.deepEqual((await fetch(0, start)).batches, [false, false]);
    assert.equal((await end(4, producer, false)).errorCode, ErrorCode.NONE);
    await stable(start + 3n);
    const { batches, abortedTransactions, lastStableOffset } = await fetch(1, start);
    assert.deepEqual(batches, [false, false, true]);
    assert.deepEqual(abortedTransactions, [{ producerId: producer.producerId, firstOffset: start }]);
    assert.equal(lastStableOffset, start + 3n);
    assert.equal((await fetch(0, start)).abortedTransactions, null);
  });

  it('since KIP-890: Produce adds the partition, EndTxn raises the epoch', async () => {
    const producer = await init(5);
    const early = await produce(12, producer, 1);
    assert.equal(
      early.errorCode,
      ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
      'what came before is not there yet',
    );
    const sent = [produce(12, producer, 0), produce(12, producer, 1), produce(13, producer, 2)];
    assert.deepEqual(
      (await Promise.all(sent)).map(({ errorCode, baseOffset }) => [errorCode, baseOffset]),
      [
        [0, 0n],
        [0, 1n],
        [0, 2n],
      ],
    );
    const ended = await end(5, producer, true);
    assert.deepEqual([ended.errorCode, ended.producerEpoch], [0, producer.producerEpoch + 1]);
    const late = await produce(12, producer, 3);
    assert.equal(late.errorCode, ErrorCode.INVALID_PRODUCER_EPOCH);
    const next = await produce(12, ended, 0);
    assert.equal(next.errorCode, ErrorCode.NONE);
    assert.equal((await end(5, ended, false)).errorCode, ErrorCode.NONE);
    await stable(6n);
    const { abortedTransactions } = await fetch(1);
    assert.deepEqual(abortedTransactions, [{ producerId: producer.producerId, firstOffset: 4n }]);
  });

  it('transactional records need their transactional id and their own producer', async () => {
    const producer = await init(5);
    const anonymous = await produce(12, producer, 0, { transactionalId: null });
    assert.equal(anonymous.errorCode, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    const stranger = { producerId: producer.producerId + 1n, producerEpoch: 0 };
    assert.equal((await produce(12, stranger, 0)).errorCode, ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    const unknown = await produce(12, producer, 0, { transactionalId: 'other' });
    assert.equal(unknown.errorCode, ErrorCode.INVALID_PRODUCER_ID_MAPPING);
  });

  it('partitions that do not exist are not added', async () => {
    const producer = await init(4);
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    assert.deepEqual(await add(3, producer, 'none'), [unknown, unknown]);
    assert.deepEqual(await add(5, producer), [0, 0]);
    const topics = [{ name: 't', partitions: [0, 9] }];
    const asked = await ask<AddPartitionsToTxnResponse>(ApiKey.AddPartitionsToTxn, 5, {
      transactions: [{ transactionalId: 'tx', ...identity(producer), verifyOnly: true, topics }],
    });
    assert.deepEqual(
      asked.resultsByTransaction[0]!.topicResults[0]!.resultsByPartition.map(
        ({ partitionErrorCode }) => partitionErrorCode,
      ),
      [ErrorCode.OPERATION_NOT_ATTEMPTED, unknown],
    );
  });

  it('partitions of internal topics are not added for clients, and nothing with them', async () => {
    const producer = await init(4);
    const { producerId: v3AndBelowProducerId, producerEpoch: v3AndBelowProducerEpoch } = producer;
    const request = {
      ...{ v3AndBelowTransactionalId: 'tx', v3AndBelowProducerId, v3AndBelowProducerEpoch },
      v3AndBelowTopics: [
        { name: '__consumer_offsets', partitions: [0] },
        { name: 't', partitions: [0] },
      ],
    };
    const answer = await ask<AddPartitionsToTxnResponse>(ApiKey.AddPartitionsToTxn, 3, request);
    assert.deepEqual(
      answer.resultsByTopicV3AndBelow.map(({ resultsByPartition: [only] }) => only!.partitionErrorCode),
      [ErrorCode.TOPIC_AUTHORIZATION_FAILED, ErrorCode.OPERATION_NOT_ATTEMPTED],
    );
  });

  it('offsets of a group that is being loaded: clients that do not know that look for its coordinator again', async () => {
    const loading = txnOffsetCommitHandler({
      groups: { partitionOf: () => 0, shardOf: () => ErrorCode.COORDINATOR_LOAD_IN_PROGRESS },
      gate: { admit: () => ErrorCode.NONE },
      topics: { partitionCount: () => 1 },
    } as unknown as Parameters<typeof txnOffsetCommitHandler>[0]);
    const told = async (version: number) => {
      const partitions = [createTxnOffsetCommitRequestPartition()];
      const answer = await call(loading, version, { groupId: 'g', topics: [{ name: 't', partitions }] });
      return answer.topics[0]!.partitions[0]!.errorCode;
    };
    assert.equal(await told(1), ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.equal(await told(2), ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
  });

  it("a group's offsets take effect at commit, and are unstable before", async () => {
    const topics = [
      {
        name: 't',
        partitions: [
          { partitionIndex: 0, committedOffset: 7n, committedLeaderEpoch: -1, committedMetadata: '' },
          { partitionIndex: 9, committedOffset: 7n, committedLeaderEpoch: -1, committedMetadata: '' },
        ],
      },
    ];
    const commit = async (version: number, producer: Producer) => {
      const request = { transactionalId: 'tx', groupId: 'g', ...identity(producer), topics };
      const answer = await ask<TxnOffsetCommitResponse>(ApiKey.TxnOffsetCommit, version, request);
      const partitions = answer.topics[0]!.partitions.sort((a, b) => a.partitionIndex - b.partitionIndex);
      return partitions.map(({ errorCode }) => errorCode);
    };
    const committed = async (requireStable: boolean, partitionIndexes: number[] | null = [0]) => {
      const asked = partitionIndexes && [{ name: 't', topicId: '', partitionIndexes }];
      const groups = [{ groupId: 'g', memberId: null, memberEpoch: -1, topics: asked }];
      const answer = await ask<OffsetFetchResponse>(ApiKey.OffsetFetch, 9, { requireStable, groups });
      const found = answer.groups[0]!.topics.flatMap(({ partitions }) => partitions);
      return found.map(({ committedOffset, errorCode }) => [committedOffset, errorCode]);
    };
    const classic = await init(4);
    assert.deepEqual((await commit(3, classic))[0], ErrorCode.INVALID_TXN_STATE);
    await ask(ApiKey.AddOffsetsToTxn, 3, { transactionalId: 'tx', ...identity(classic), groupId: 'g' });
    assert.deepEqual(await commit(3, classic), [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]);
    assert.deepEqual(await committed(false), [[-1n, 0]]);
    assert.deepEqual(await committed(false, null), []);
    assert.deepEqual(await committed(true), [[-1n, ErrorCode.UNSTABLE_OFFSET_COMMIT]]);
    assert.deepEqual(await committed(true, null), [[-1n, ErrorCode.UNSTABLE_OFFSET_COMMIT]]);
    await end(4, classic, false);
    const producer = await init(5);
    assert.deepEqual(await committed(true), [[-1n, 0]], 'aborted');
    assert.deepEqual((await commit(5, producer))[0], 0);
    const ended = await end(5, producer, true);
    while ((await committed(true))[0]![1] !== 0) await sleep(5);
    assert.deepEqual(await committed(true), [[7n, 0]]);
    assert.equal((await commit(5, producer))[0], ErrorCode.INVALID_PRODUCER_EPOCH);
    // What a restart finds in the log: a pending offset, then what becomes of it.
    topics[0]!.partitions[0]!.committedOffset = 8n;
    assert.equal((await commit(5, ended))[0], 0);
    await broker.close();
    await start();
    while ((await committed(false)).length === 0) await sleep(5);
    assert.deepEqual(await committed(false), [[7n, 0]]);
    assert.deepEqual(await committed(true), [[-1n, ErrorCode.UNSTABLE_OFFSET_COMMIT]]);
    assert.equal((await end(5, ended, true)).errorCode, ErrorCode.NONE);
    while ((await committed(true))[0]![1] !== 0) await sleep(5);
    assert.deepEqual(await committed(true), [[8n, 0]]);
  });

  it('transactions are listed, described, and ended by an administrator', async () => {
    const producer = await init(5);
    await produce(12, producer, 0);
    const list = (version: number, filters: object) =>
      ask<ListTransactionsResponse>(ApiKey.ListTransactions, version, filters);
    const all = await list(0, {});
    assert.deepEqual(all.transactionStates, [
      { transactionalId: 'tx', producerId: producer.producerId, transactionState: 'Ongoing' },
    ]);
    for (const [version, filters, count] of [
      [0, { stateFilters: ['Ongoing', 'Nonsense'] }, 1],
      [0, { stateFilters: ['Empty'] }, 0],
      [0, { producerIdFilters: [producer.producerId] }, 1],
      [0, { producerIdFilters: [12345n] }, 0],
      [1, { durationFilter: 60_000n }, 0],
      [2, { durationFilter: -1n, transactionalIdPattern: 't.' }, 1],
      [2, { durationFilter: -1n, transactionalIdPattern: 't' }, 0],
      [2, { durationFilter: -1n, transactionalIdPattern: '(?i)T\\Qx\\E' }, 1],
      [2, { durationFilter: -1n, transactionalIdPattern: '(?i)T\\Q.\\E' }, 0],
    ] as const) {
      const { transactionStates } = await list(version, filters);
      assert.equal(transactionStates.length, count, JSON.stringify(Object.keys(filters)));
    }
    // The log of others has failed.
    broker.transactions.resign(1 - partitionOf('tx', 2));
    assert.deepEqual(await list(0, {}), all);
    const unknown = await list(0, { stateFilters: ['Nonsense', 'Nonsense'] });
    assert.deepEqual(unknown.unknownStateFilters, ['Nonsense']);
    const bad = await list(2, { durationFilter: -1n, transactionalIdPattern: '(' });
    assert.equal(bad.errorCode, ErrorCode.INVALID_REGULAR_EXPRESSION);
    const { transactionStates } = await ask<DescribeTransactionsResponse>(ApiKey.DescribeTransactions, 0, {
      transactionalIds: ['tx', 'none', ''],
    });
    assert.deepEqual(
      transactionStates.map(({ errorCode }) => errorCode),
      [0, ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, ErrorCode.INVALID_REQUEST],
    );
    assert.deepEqual(transactionStates[0]!.topics, [{ topic: 't', partitions: [0] }]);
    const write = async (version: number, producerEpoch: number, transactionVersion: number) => {
      const topics = [
        { name: 't', partitionIndexes: [0, 0] },
        { name: 't', partitionIndexes: [0] },
      ];
      const marker = {
        producerId: producer.producerId,
        producerEpoch,
        transactionResult: false,
        topics,
        coordinatorEpoch: 0,
        transactionVersion,
      };
      const answer = await ask<WriteTxnMarkersResponse>(ApiKey.WriteTxnMarkers, version, {
        markers: [marker],
      });
      const [ended, ...others] = answer.markers[0]!.topics.flatMap(({ partitions }) => partitions);
      assert.deepEqual(others, []);
      return ended!.errorCode;
    };
    assert.equal(await write(2, producer.producerEpoch, 2), ErrorCode.INVALID_PRODUCER_EPOCH);
    assert.equal(await write(1, producer.producerEpoch - 1, 0), ErrorCode.INVALID_PRODUCER_EPOCH);
    assert.equal(await write(1, producer.producerEpoch, 0), ErrorCode.NONE);
    assert.equal(await latest(1), 2n);
  });
});

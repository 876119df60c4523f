import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ConfigManager } from '../../broker/configs/config-manager.ts';
import { startGroups, topicId } from '../../broker/groups/coordinator.fixture.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { MemoryStates, testShares } from '../../broker/groups/share/share.fixture.ts';
import { startStreams } from '../../broker/groups/streams/streams.fixture.ts';
import { MemoryMetadataLog, startBroker } from '../../broker/metadata/metadata.fixture.ts';
import { ResourceType } from '../../broker/metadata/state.ts';
import { identityOf, init, startTransactions } from '../../broker/transactions/coordinator.fixture.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { offsetFetchHandler } from './09-offset-fetch.ts';
import { describeGroupsHandler } from './15-describe-groups.ts';
import { addPartitionsToTxnHandler } from './24-add-partitions-to-txn.ts';
import { describeConfigsHandler } from './32-describe-configs.ts';
import { describeProducersHandler } from './61-describe-producers.ts';
import { describeTransactionsHandler } from './65-describe-transactions.ts';
import { consumerGroupDescribeHandler } from './69-consumer-group-describe.ts';
import { shareGroupDescribeHandler } from './77-share-group-describe.ts';
import { streamsGroupDescribeHandler } from './89-streams-group-describe.ts';
import { describeShareGroupOffsetsHandler } from './90-describe-share-group-offsets.ts';
import { alterShareGroupOffsetsHandler } from './91-alter-share-group-offsets.ts';
import { call } from './handler.fixture.ts';

/** An answer may be thousands of times as long as what it is about. */
describe('what is named many times', () => {
  it('is described once: groups', async () => {
    const deps = await startStreams();
    const groupIds = ['g', 'h', 'g', 'g'];
    const described = [
      await call(describeGroupsHandler(deps), 6, { groups: groupIds }),
      await call(consumerGroupDescribeHandler(deps), 1, { groupIds }),
      await call(shareGroupDescribeHandler(deps), 1, { groupIds }),
      await call(streamsGroupDescribeHandler(deps), 0, { groupIds }),
    ];
    for (const { groups } of described)
      assert.deepEqual(
        groups.map(({ groupId }) => groupId),
        ['g', 'h'],
      );
  });

  it('is described once: all offsets of groups', async () => {
    const { groups } = await startStreams();
    const topics: TopicNames = { partitionCount: () => null, idOf: () => null, nameOf: () => null };
    const named = { name: 't', topicId: ZERO_UUID, partitionIndexes: [0] };
    const fetched = await call(offsetFetchHandler({ groups, topics }), 8, {
      groups: [null, [named], null, [named]].map((wanted) => ({
        ...{ groupId: 'g', memberId: null, memberEpoch: -1 },
        topics: wanted,
      })),
    });
    assert.deepEqual(
      fetched.groups.map((group) => group.topics.length),
      [0, 1, 1],
    );
    const described = await call(describeShareGroupOffsetsHandler({ groups, topics }), 0, {
      groups: ['g', 'h', 'g'].map((groupId) => ({ groupId, topics: null })),
    });
    assert.deepEqual(
      described.groups.map(({ groupId }) => groupId),
      ['g', 'h'],
    );
  });

  it('is described once: offsets of partitions', async () => {
    const { groups } = await startStreams();
    const topics: TopicNames = { partitionCount: () => null, idOf: () => null, nameOf: () => null };
    const handler = offsetFetchHandler({ groups, topics });
    const named = (name: string, partitionIndexes: number[]) => ({
      ...{ name, topicId: ZERO_UUID, partitionIndexes },
    });
    const wanted = [named('t', [0, 1, 0]), named('u', [0]), named('t', [1, 2])];
    const told = (answer: { topics: { name: string; partitions: { partitionIndex: number }[] }[] }) =>
      answer.topics.map(({ name, partitions }) => [name, partitions.map((each) => each.partitionIndex)]);
    const once = [
      ['t', [0, 1]],
      ['u', [0]],
      ['t', [2]],
    ];
    const fetched = await call(handler, 9, {
      groups: ['g', 'h', 'g'].map((groupId) => ({
        ...{ groupId, memberId: null, memberEpoch: -1 },
        topics: wanted,
      })),
    });
    assert.deepEqual(fetched.groups.map(told), [once, once, once.map(([name]) => [name, []])]);
    assert.deepEqual(told(await call(handler, 5, { groupId: 'g', topics: wanted })), once);
  });

  it('is carried out once: where share groups are to begin', async () => {
    const states = new MemoryStates();
    let made = 0;
    const initialize = states.initialize.bind(states);
    states.initialize = (...state) => {
      made++;
      return initialize(...state);
    };
    const { groups } = await startGroups(undefined, {}, undefined, { share: testShares(states) });
    const topics: TopicNames = { partitionCount: () => 4, idOf: topicId, nameOf: () => null };
    const partitions = [1n, 2n, 3n].map((startOffset) => ({ partitionIndex: 0, startOffset }));
    const { responses } = await call(alterShareGroupOffsetsHandler({ groups, topics }), 0, {
      ...{ groupId: 'g', topics: [{ topicName: 'events', partitions }] },
    });
    assert.deepEqual(
      responses[0]!.partitions.map(({ errorCode }) => errorCode),
      [0, 0, 0],
    );
    assert.deepEqual([made, [...states.states.values()][0]!.startOffset], [1, 3n]);
  });

  it('is described once: transactions', async () => {
    const { transactions } = await startTransactions();
    const answer = await call(describeTransactionsHandler({ transactions }), 0, {
      transactionalIds: ['a', 'b', 'a'],
    });
    assert.deepEqual(
      answer.transactionStates.map(({ transactionalId }) => transactionalId),
      ['a', 'b'],
    );
    transactions.close();
  });

  it('is answered once: transactions that partitions are added to, by the last of them', async () => {
    const broker = await startTransactions();
    const producer = identityOf(await init(broker));
    const topics: TopicNames = { partitionCount: () => 3, idOf: () => null, nameOf: () => null };
    const handler = addPartitionsToTxnHandler({ transactions: broker.transactions, topics });
    const { resultsByTransaction } = await call(handler, 4, {
      transactions: [0, 1, 2].map((partition) => ({
        ...{ transactionalId: 'tx', ...producer, verifyOnly: false },
        topics: [{ name: 't', partitions: [partition] }],
      })),
    });
    assert.deepEqual(
      resultsByTransaction.map(({ topicResults }) => topicResults),
      [[{ name: 't', resultsByPartition: [{ partitionIndex: 2, partitionErrorCode: 0 }] }]],
    );
    broker.transactions.close();
  });

  it('is described once: producers', async () => {
    const partitions = {
      find: () => null,
      errorOfMissing: () => 3,
    } as unknown as Parameters<typeof describeProducersHandler>[0]['partitions'];
    const { topics } = await call(describeProducersHandler({ partitions }), 0, {
      topics: [
        { name: 't', partitionIndexes: [0, 1, 0] },
        { name: 'u', partitionIndexes: [0] },
        { name: 't', partitionIndexes: [1, 2] },
      ],
    });
    assert.deepEqual(
      topics.map(({ name, partitions: indexes }) => [
        name,
        indexes.map(({ partitionIndex }) => partitionIndex),
      ]),
      [
        ['t', [0, 1, 2]],
        ['u', [0]],
      ],
    );
  });

  it('is described as far as that takes a limited time: configurations', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const { loggers } = new ConfigManager(metadata);
    const named = (resourceName: string) => ({
      ...{ resourceType: ResourceType.TOPIC, resourceName, configurationKeys: null },
    });
    const { results } = await call(describeConfigsHandler({ metadata, loggers }), 4, {
      resources: Array.from({ length: 20_001 }, (_, i) => named(`t${i}`)),
    });
    assert.equal(results[19_999]!.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal(results[20_000]!.errorCode, ErrorCode.POLICY_VIOLATION);
  });
});

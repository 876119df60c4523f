import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import {
  MemoryMetadataLog,
  newTopic,
  startBroker,
  type TestBroker,
} from '../../broker/metadata/metadata.fixture.ts';
import { ClientQuotas } from '../../broker/quotas/client-quotas.ts';
import type { MutationQuota } from '../../broker/quotas/mutation-quota.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { type MetadataDeps, metadataHandler } from './03-metadata.ts';
import { createTopicsHandler } from './19-create-topics.ts';
import { deleteTopicsHandler } from './20-delete-topics.ts';
import { createPartitionsHandler } from './37-create-partitions.ts';
import { call } from './handler.fixture.ts';

describe('requests that change topics', () => {
  let log: MemoryMetadataLog;
  let broker: TestBroker;
  let deps: MetadataDeps & { quota: MutationQuota };

  beforeEach(async () => {
    log = new MemoryMetadataLog();
    broker = await startBroker(log);
    deps = {
      ...broker,
      quota: new ClientQuotas(broker.metadata.config, new VirtualClock()).mutations,
      advertised: () => ({ host: 'gateway.example', port: 19092 }),
      isOffline: () => false,
    };
  });

  const deleted = async (version: number, ...names: string[]) => {
    const topics = names.map((name) => ({ name, topicId: ZERO_UUID }));
    const request = version >= 6 ? { topics } : { topicNames: names };
    const { responses } = await call(deleteTopicsHandler(deps), version, request);
    return responses.map(({ name, errorCode }) => [name, errorCode]);
  };

  it('Metadata tells of topics that exist when others cannot be created', async () => {
    await broker.topics.createTopics([newTopic('there')]);
    log.failure = new Error('the disk is full');
    const { topics, brokers } = await call(metadataHandler(deps), 12, {
      topics: ['there', 'new'].map((name) => ({ name, topicId: ZERO_UUID })),
      allowAutoTopicCreation: true,
    });
    assert.equal(brokers.length, 1);
    assert.deepEqual(
      topics.map(({ name, errorCode }) => [name, errorCode]),
      [
        ['there', ErrorCode.NONE],
        ['new', ErrorCode.KAFKA_STORAGE_ERROR],
      ],
    );
  });

  it('DeleteTopics finds what requests before it create, and not what they delete', async () => {
    for (const version of [1, 6]) {
      const created = call(createTopicsHandler(deps), 7, { topics: [newTopic('a')] });
      const outcomes = await Promise.all([deleted(version, 'a'), deleted(version, 'a')]);
      assert.equal((await created).topics[0]?.errorCode, ErrorCode.NONE);
      assert.deepEqual(outcomes, [[['a', ErrorCode.NONE]], [['a', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]]]);
    }
  });

  it('DeleteTopics says of every topic that it cannot be written down', async () => {
    await broker.topics.createTopics([newTopic('a'), newTopic('b')]);
    log.failure = new Error('the disk is full');
    assert.deepEqual(await deleted(6, 'a', 'b'), [
      ['a', ErrorCode.KAFKA_STORAGE_ERROR],
      ['b', ErrorCode.KAFKA_STORAGE_ERROR],
    ]);
  });

  it('CreatePartitions limits what one request adds, over all of its topics', async () => {
    await broker.topics.createTopics([newTopic('a'), newTopic('b'), newTopic('c')]);
    const { results } = await call(createPartitionsHandler(deps), 3, {
      topics: ['a', 'b', 'c'].map((name) => ({ name, count: name === 'c' ? 11 : 6001, assignments: null })),
      validateOnly: true,
    });
    assert.deepEqual(
      results.map(({ name, errorCode }) => [name, errorCode]),
      [
        ['a', ErrorCode.NONE],
        ['b', ErrorCode.POLICY_VIOLATION],
        ['c', ErrorCode.POLICY_VIOLATION],
      ],
    );
  });

  it('CreateTopics takes no longer for each name when there are many', async function () {
    // What compares each name with all others takes half a minute.
    this.timeout(10_000);
    const topics = Array.from({ length: 20_000 }, (_, index) => newTopic(`one-of-many-topics-${index}`));
    const outcomes = await broker.topics.createTopics(topics, true);
    assert.equal(outcomes.filter(({ error }) => error === null).length, 10_000);
  });

  it('CreateTopics and CreatePartitions count what they refuse, too', async () => {
    const refused = Array.from({ length: 10_000 }, (_, index) => newTopic(`no topic ${index}`));
    const outcomes = await broker.topics.createTopics([...refused, newTopic('good')]);
    const codes = outcomes.map(({ error }) => error?.code);
    assert.equal(codes.filter((code) => code === ErrorCode.INVALID_TOPIC_EXCEPTION).length, 10_000);
    assert.equal(codes.at(-1), ErrorCode.POLICY_VIOLATION);
    const grown = [...refused.map(({ name }) => name), 'a'].map((name) => ({
      name,
      count: 20,
      assignments: null,
    }));
    const more = await broker.topics.createPartitions(grown, true);
    assert.equal(more.at(-1)!.error?.code, ErrorCode.POLICY_VIOLATION);
  });

  it('CreateTopics takes no time for what long names of configurations might mean', async function () {
    // To compare each with all keys takes minutes.
    this.timeout(10_000);
    const configs = [{ name: 'x'.repeat(32_000), value: '1' }];
    const topics = Array.from({ length: 3000 }, (_, index) => ({ ...newTopic(`t${index}`), configs }));
    const outcomes = await broker.topics.createTopics(topics, true);
    for (const { error } of outcomes) assert.equal(error?.code, ErrorCode.INVALID_CONFIG);
  });
});

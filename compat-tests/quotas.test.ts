import assert from 'node:assert/strict';
import { ErrorCode } from '../src/protocol/errors.ts';
import { alterClientQuotasRequest } from '../src/protocol/generated/alter-client-quotas-request.ts';
import { alterClientQuotasResponse } from '../src/protocol/generated/alter-client-quotas-response.ts';
import { createTopicsRequest } from '../src/protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../src/protocol/generated/create-topics-response.ts';
import { describeClientQuotasRequest } from '../src/protocol/generated/describe-client-quotas-request.ts';
import { describeClientQuotasResponse } from '../src/protocol/generated/describe-client-quotas-response.ts';
import { produceRequest } from '../src/protocol/generated/produce-request.ts';
import { produceResponse } from '../src/protocol/generated/produce-response.ts';
import { buildBatch } from '../src/protocol/records/builder.ts';
import { type Broker, startBroker, targetIsKafka } from './harness/broker.ts';
import { WireClient } from './harness/wire-client.ts';

/** The client id of the harness's own client. */
const CLIENT_ID = 'wire';
const alterQuotas = [alterClientQuotasRequest, alterClientQuotasResponse] as const;
const describeQuotas = [describeClientQuotasRequest, describeClientQuotasResponse] as const;
const produceCodecs = [produceRequest, produceResponse] as const;
const createCodecs = [createTopicsRequest, createTopicsResponse] as const;

describe('client quotas', () => {
  let broker: Broker;
  let client: WireClient;

  before(async () => {
    broker = await startBroker();
    client = await WireClient.connect(broker.bootstrap);
  });

  after(async () => {
    client?.close();
    await broker?.stop();
  });

  async function set(entity: [string, string | null][], key: string, value: number | null): Promise<void> {
    const { entries } = await client.call(alterQuotas, 1, {
      entries: [
        {
          entity: entity.map(([entityType, entityName]) => ({ entityType, entityName })),
          ops: [{ key, value: value ?? 0, remove: value === null }],
        },
      ],
    });
    assert.equal(entries[0]!.errorCode, ErrorCode.NONE);
  }

  const create = (name: string, partitions: number) =>
    client.call(createCodecs, 7, {
      topics: [{ name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 10_000,
    });

  it('let a producer wait as long as Kafka does', async () => {
    await create('quota', 1);
    const records = buildBatch([{ key: null, value: Buffer.alloc(50_000, 1) }], {
      timestamp: BigInt(Date.now()),
    });
    const produce = () =>
      client.call(produceCodecs, 9, {
        acks: -1,
        timeoutMs: 5_000,
        topicData: [{ name: 'quota', topicId: '', partitionData: [{ index: 0, records }] }],
      });
    assert.equal((await produce()).throttleTimeMs, 0);
    await set([['client-id', CLIENT_ID]], 'producer_byte_rate', 40_000);
    const waits: number[] = [];
    const from = performance.now();
    for (let n = 0; n < 9; n++) waits.push((await produce()).throttleTimeMs);
    // Ten seconds' worth is free, eleven if a window is about to end, and what they take beyond that on a slow machine; what exceeds
    // it is waited for: 450 KB of values are 11.25 s' worth, and what goes around them, some 130 bytes a request, less than 0.05 s more.
    const free = Math.max(11_000, performance.now() - from + 1_000);
    assert.deepEqual(
      waits.slice(0, 7).filter((ms) => ms > 0),
      [],
      String(waits),
    );
    assert.ok(waits[8]! >= 11_250 - free && waits[8]! <= 1300, String(waits));
    await set([['client-id', CLIENT_ID]], 'producer_byte_rate', null);
    assert.equal((await produce()).throttleTimeMs, 0);
  });

  it('refuse to create too many partitions at once', async () => {
    await set([['client-id', CLIENT_ID]], 'controller_mutation_rate', 0.5);
    // Eleven seconds' worth, which the window allows, and 55 more: the next one has to wait, also when these took long.
    assert.equal((await create('many', 33)).topics[0]!.errorCode, ErrorCode.NONE);
    const refused = await create('too-many', 1);
    assert.equal(refused.topics[0]!.errorCode, ErrorCode.THROTTLING_QUOTA_EXCEEDED);
    assert.ok(
      refused.throttleTimeMs > 5_000 && refused.throttleTimeMs <= 55_000,
      `${refused.throttleTimeMs}`,
    );
    const another = await WireClient.connect(broker.bootstrap);
    client.close();
    client = another;
    await set([['client-id', CLIENT_ID]], 'controller_mutation_rate', null);
    assert.equal((await create('enough', 1)).topics[0]!.errorCode, ErrorCode.NONE);
  });

  if (!targetIsKafka)
    it('close connections of an address that connects too often, and only those', async () => {
      await set([['ip', '127.0.0.1']], 'connection_creation_rate', 1);
      const isServed = async () => {
        const one = await WireClient.connect(broker.bootstrap);
        const served = await one.call(describeQuotas, 1, {}).then(
          () => true,
          () => false,
        );
        one.close();
        return served;
      };
      for (let n = 0; n < 5; n++) assert.ok(await isServed());
      // At once, so that a slow machine has no more time for them than they may have.
      const outcomes = await Promise.all(Array.from({ length: 20 }, isServed));
      assert.ok(outcomes.includes(false), String(outcomes));
      await set([['ip', '127.0.0.1']], 'connection_creation_rate', null);
      const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
      assert.match(text, /kafabric_throttled_total\{quota="connection-creation"\} [1-9]/);
    });

  it('are kept across a restart', async () => {
    await set(
      [
        ['user', null],
        ['client-id', 'kept'],
      ],
      'request_percentage',
      12.5,
    );
    client.close();
    await broker.restart();
    client = await WireClient.connect(broker.bootstrap);
    const { entries } = await client.call(describeQuotas, 1, {});
    assert.deepEqual(
      entries?.map(({ values }) => values),
      [[{ key: 'request_percentage', value: 12.5 }]],
    );
  });
});

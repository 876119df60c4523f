import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FetchSessions } from '../../broker/partitions/fetch-session.ts';
import { TestBroker, topicConfig } from '../../broker/partitions/testing.ts';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { startTransactions, type TestTransactions } from '../../broker/transactions/coordinator.fixture.ts';
import { ProduceGate } from '../../broker/transactions/produce-gate.ts';
import { Outbox } from '../../native/outbox.ts';
import {
  createFetchPartition,
  createFetchTopic,
  fetchRequest,
} from '../../protocol/generated/fetch-request.ts';
import { fetchResponse } from '../../protocol/generated/fetch-response.ts';
import {
  createPartitionProduceData,
  createTopicProduceData,
  produceRequest,
} from '../../protocol/generated/produce-request.ts';
import { produceResponse } from '../../protocol/generated/produce-response.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { Client } from '../net/client.fixture.ts';
import { KafkaListeners } from '../net/listener.ts';
import { noMetrics } from '../net/metrics.ts';
import { HandlerRegistry } from '../net/registry.ts';
import { produceHandler } from './00-produce.ts';
import { fetchHandler } from './01-fetch.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const FETCHES = 8;

describe('fetches that one append wakes', () => {
  let directory: string;
  let broker: TestBroker;
  let transactions: TestTransactions;
  let listeners: KafkaListeners;
  let clients: Client[];
  let port: number;
  const { add, flush } = Outbox.prototype;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'woken-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig());
    transactions = await startTransactions();
    const quota = new RateQuota('rate', systemClock, { samples: 11, sampleMs: 1000 });
    const sessions = new FetchSessions({ slots: 10, evictionMs: 1000, maxPartitions: 100 }, systemClock);
    const { partitions, fetches } = broker;
    const registry = new HandlerRegistry([
      produceHandler({ partitions, gate: new ProduceGate(transactions.transactions), quota }),
      fetchHandler({ partitions, fetches, sessions, quota }),
    ]);
    const common = { logger: silentLogger, metrics: noMetrics, clock: systemClock };
    listeners = new KafkaListeners({ ...common, net: {}, registry, maxOutstandingBytes: 1 << 20 });
    port = (await listeners.listen({ name: 'PLAINTEXT', host: 'localhost', port: 0 })).port;
    clients = [];
  });
  afterEach(async () => {
    Object.assign(Outbox.prototype, { add, flush });
    for (const { socket } of clients) socket.destroy();
    await listeners.shutdown(0);
    transactions.transactions.close();
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  function connect(): Client {
    clients.push(new Client(port));
    return clients.at(-1)!;
  }

  function fetch(client: Client): void {
    const topics = [
      createFetchTopic({ topic: 't', partitions: [createFetchPartition({ partitionMaxBytes: 1 << 20 })] }),
    ];
    client.send(fetchRequest, 12, { maxWaitMs: 60_000, minBytes: 1, maxBytes: 1 << 20, topics });
  }

  /** How many answers each hand-over to the network's threads brings, from now on. */
  function watchHandOvers(): number[] {
    const handOvers: number[] = [];
    let answers = 0;
    Outbox.prototype.add = function (...args) {
      answers++;
      add.apply(this, args);
    };
    Outbox.prototype.flush = function () {
      if (answers > 0) handOvers.push(answers);
      answers = 0;
      flush.apply(this);
    };
    return handOvers;
  }

  it('are handed over together, all but the first', async () => {
    const partition = broker.partitions.find('t', 0)!;
    const waiting = Array.from({ length: FETCHES }, connect);
    for (const client of waiting) fetch(client);
    while (partition.waiters.size < FETCHES) await new Promise((resolve) => setImmediate(resolve));
    const handOvers = watchHandOvers();
    const records = buildBatch([{ key: null, value: Buffer.from('v') }], { timestamp: BigInt(Date.now()) });
    const partitionData = [createPartitionProduceData({ records })];
    const producer = connect();
    producer.send(produceRequest, 9, {
      acks: 1,
      timeoutMs: 10_000,
      topicData: [createTopicProduceData({ name: 't', partitionData })],
    });
    await producer.receive(produceResponse, 9);
    for (const client of waiting) {
      const { body } = await client.receive(fetchResponse, 12);
      assert.ok((body.responses[0]!.partitions[0]!.records?.length ?? 0) > 0);
    }
    // The first leaves at once, the others and the producer's answer at the end of the turn.
    assert.deepEqual(handOvers, [1, FETCHES]);
  });
});

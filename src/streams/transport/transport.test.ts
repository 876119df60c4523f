import assert from 'node:assert/strict';
import { Cluster, loadClient } from './cluster.ts';
import { BrokerError, isFatal, isTransient } from './errors.ts';
import { fetchFrom } from './reader.ts';
import { Sequences } from './sequences.ts';
import { Writer } from './writer.ts';

const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;
const LOG_APPEND_TIME = 1 << 3;

/** A batch as the client reads it, of records at consecutive offsets. */
function batch(firstOffset: number, values: string[], producerId = -1n, attributes = 0) {
  return {
    firstOffset: BigInt(firstOffset),
    lastOffsetDelta: values.length - 1,
    attributes,
    producerId,
    firstTimestamp: 1000n,
    maxTimestamp: 5000n,
    records: values.map((value, i) => ({
      offsetDelta: i,
      timestampDelta: BigInt(i),
      key: Buffer.from('k'),
      value: Buffer.from(value),
      headers: [[Buffer.from('h'), null]],
    })),
  };
}

/** The marker that ends a transaction. */
function marker(offset: number, producerId: bigint, committed: boolean) {
  const one = batch(offset, [''], producerId, TRANSACTIONAL | CONTROL);
  one.records[0]!.key = Buffer.from([0, 0, 0, committed ? 1 : 0]);
  return one;
}

/** What is read from `offset` when a broker answers so. */
async function read(offset: number, answer: object) {
  const partition = {
    partitionIndex: 0,
    errorCode: 0,
    lastStableOffset: 100n,
    abortedTransactions: [],
    ...answer,
  };
  const cluster = {
    apis: {},
    topic: async () => ({ id: 'id', leaders: [1] }),
    callNode: async () => ({ errorCode: 0, responses: [{ topicId: 'id', partitions: [partition] }] }),
    check: (code: number) => assert.equal(code, 0),
    idOf: (code: number) => `error ${code}`,
  } as unknown as Cluster;
  const options = { maxWaitMs: 0, maxBytes: 1, maxPartitionBytes: 1 };
  const [fetched] = await fetchFrom(cluster, 1, [{ topic: 't', partition: 0, offset }], options);
  return { ...fetched!, values: fetched!.records.map(({ value }) => String(value)) };
}

describe('reading committed records', () => {
  it('leaves out aborted transactions, also when their marker is not there yet', async () => {
    const records = [
      batch(0, ['plain']),
      batch(1, ['aborted', 'aborted'], 7n, TRANSACTIONAL),
      batch(3, ['committed'], 8n, TRANSACTIONAL),
      marker(4, 7n, false),
      batch(5, ['committed'], 7n, TRANSACTIONAL),
      marker(6, 7n, true),
      batch(7, ['aborted'], 7n, TRANSACTIONAL),
    ];
    const abortedTransactions = [
      { producerId: 7n, firstOffset: 7n },
      { producerId: 7n, firstOffset: 1n },
    ];
    const { values, nextOffset, atEnd } = await read(0, {
      records,
      abortedTransactions,
      lastStableOffset: 8n,
    });
    assert.deepEqual(values, ['plain', 'committed', 'committed']);
    assert.equal(nextOffset, 8);
    assert.equal(atEnd, true);
  });

  it('begins within a batch, and goes on behind markers', async () => {
    const { records, values, nextOffset, atEnd } = await read(2, {
      records: [batch(0, ['a', 'b', 'c']), marker(3, 7n, true)],
    });
    assert.deepEqual(values, ['c']);
    assert.equal(nextOffset, 4);
    assert.equal(atEnd, false);
    const [{ offset, timestamp, headers } = assert.fail()] = records;
    assert.deepEqual([offset, timestamp, headers], [2, 1002, [['h', null]]]);
  });

  it('takes the time of appending where the topic says so', async () => {
    const { records } = await read(0, { records: [batch(0, ['a', 'b'], -1n, LOG_APPEND_TIME)] });
    assert.deepEqual(
      records.map(({ timestamp }) => timestamp),
      [5000, 5000],
    );
  });

  it('reports errors of partitions, and stays where it was', async () => {
    const { error, nextOffset } = await read(5, { errorCode: 1 });
    assert.deepEqual([error, nextOffset], ['error 1', 5]);
  });
});

describe('partitions by who leads them', () => {
  it('are told also of those that nobody leads, of which calls fail', async () => {
    const options = { bootstrap: ['none:1'], clientId: 'c', requestTimeoutMs: 1 };
    const cluster = new Cluster(await loadClient(), options);
    cluster.topic = async () => ({ id: 'id', leaders: [-1, 1] });
    const [none, led] = [0, 1].map((partition) => ({ topic: 't', partition }));
    const groups = await cluster.byLeader([none!, led!]);
    assert.deepEqual([...groups.values()].flat(), [none, led]);
    assert.deepEqual(groups.get(1), [led]);
    const [nobody] = groups.keys();
    const calling = cluster.callNode(nobody!, cluster.apis.initProducerId, null, 1, -1n, -1);
    await assert.rejects(calling, { id: 'LEADER_NOT_AVAILABLE' });
    await cluster.close();
  });
});

describe('calls to any broker', () => {
  it('go to another one after a failure', async () => {
    const asked: number[] = [];
    const client = await loadClient();
    class Base {
      readonly connections = {
        on() {},
        getFirstAvailable: async ([first]: { port: number }[]) => {
          asked.push(first!.port);
          throw new Error('it does not answer');
        },
      };
    }
    const options = { bootstrap: ['a:1', 'b:2'], clientId: 'c', requestTimeoutMs: 1 };
    const cluster = new Cluster({ ...client, Base } as never, options);
    for (let i = 0; i < 3; i++) await assert.rejects(cluster.refresh([]), /does not answer/);
    assert.deepEqual(asked, [1, 2, 1]);
  });
});

describe('writing records', () => {
  it('counts their headers in what one batch may have', async () => {
    const sent: number[] = [];
    const cluster = {
      apis: {},
      retry: (attempt: () => unknown) => attempt(),
      byLeader: async (batches: unknown) => new Map([[1, batches]]),
      callNode: async (_node: number, _api: unknown, _acks: number, _ms: number, messages: unknown[]) => {
        sent.push(messages.length);
        return { responses: [{ name: 't', partitionResponses: [{ index: 0, errorCode: 0 }] }] };
      },
    } as unknown as Cluster;
    const writer = new Writer(cluster, {
      transactionalId: null,
      transactionTimeoutMs: 1000,
      compression: 'none',
    });
    const headers = [['trace', Buffer.alloc(100 * 1024)]] as const;
    const record = { topic: 't', partition: 0, key: null, value: null, timestamp: 0, headers };
    await writer.write(new Array(10).fill(record));
    assert.deepEqual(sent, [5, 5]);
  });
});

describe('sequence numbers', () => {
  it('count the records of each partition, and begin again after the highest', () => {
    const sequences = new Sequences();
    assert.equal(sequences.getWithDefault('t:0', 5), 5);
    sequences.advance({ topic: 't', partition: 0 }, 2 ** 31 - 2);
    assert.equal(sequences.getWithDefault('t:0', 0), 2 ** 31 - 2);
    sequences.advance({ topic: 't', partition: 0 }, 3);
    assert.deepEqual(
      ['t:0', 't:1'].map((key) => sequences.getWithDefault(key, 0)),
      [1, 0],
    );
  });
});

describe('errors of brokers', () => {
  it('are told apart by what helps', () => {
    const nested = new AggregateError([Object.assign(new Error('x'), { apiId: 'NOT_COORDINATOR' })]);
    const network = Object.assign(new Error('x'), { code: 'PLT_KFK_NETWORK' });
    assert.deepEqual([nested, network].map(isTransient), [true, true]);
    assert.equal(isTransient(new BrokerError('PRODUCER_FENCED', 'commit')), false);
    assert.equal(isFatal(new BrokerError('PRODUCER_FENCED', 'commit')), false);
    assert.equal(isFatal(new BrokerError('TOPIC_AUTHORIZATION_FAILED', 'write')), true);
    assert.equal(isFatal(new BrokerError('INVALID_TIMESTAMP', 'write')), true);
    assert.equal(isFatal(new Error('x', { cause: new BrokerError('INVALID_GROUP_ID', 'join') })), true);
  });
});

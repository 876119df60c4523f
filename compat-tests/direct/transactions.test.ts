import assert from 'node:assert/strict';
import type { Client, Path, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };
const SIZES = [10, 200_000, 1_000];

describe('transactions of the direct API', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway({
      'transaction.abort.timed.out.transaction.cleanup.interval.ms': '100',
    });
  });
  after(() => gateway?.broker.stop());

  /** The numbers of all events, checked by their content. */
  async function numbersIn(topic: TopicHandle, isolation: 'committed' | 'uncommitted'): Promise<number[]> {
    // Behind all that is there.
    const { offset } = await topic.producer().push({ n: -1 });
    const consumer = topic.consumer({ select: 'all', isolation });
    const numbers: number[] = [];
    for (;;) {
      const event = (await consumer.pull(PULL))!;
      const { n } = event.metadata as { n: number };
      if (event.offset === offset) break;
      if (n < 0) continue;
      assert.equal(Buffer.compare(event.selected!, content(SIZES[n % SIZES.length]!, n)), 0, `event ${n}`);
      numbers.push(n);
    }
    await consumer.close();
    return numbers;
  }

  for (const path of ['shared-memory', 'tcp'] as Path[]) {
    describe(`over ${path}`, () => {
      let client: Client;
      before(async () => {
        client = await gateway.connect({ path });
      });
      after(() => client.close());

      it('show all of a committed one, and nothing of an aborted one', async () => {
        const topic = await client.createTopic(`all-${path}`);
        const producer = topic.producer({ transactionalId: `all-${path}` });
        const push = (n: number) => [{ n }, content(SIZES[n % SIZES.length]!, n)] as const;
        await producer.transaction(async (tx) => {
          for (let n = 0; n < 6; n++) void tx.push(...push(n));
        });
        const wrong = producer.transaction(async (tx) => {
          await Promise.all([6, 7, 8].map((n) => tx.push(...push(n))));
          throw new Error('on second thoughts');
        });
        await assert.rejects(wrong, /on second thoughts/);
        const third = await producer.beginTransaction();
        await third.push(...push(9));
        await third.commit();
        await assert.rejects(third.push(...push(10)), { code: 'INVALID_ARGUMENT' });
        assert.deepEqual(await numbersIn(topic, 'committed'), [0, 1, 2, 3, 4, 5, 9]);
        assert.deepEqual(await numbersIn(topic, 'uncommitted'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        await assert.rejects(producer.push({ n: 1 }), { code: 'INVALID_ARGUMENT' });
        await producer.transaction(async () => 'nothing was done');
        const { signal } = new AbortController();
        const done = () => 'nothing was waited for' as never;
        assert.equal(await producer.transaction(done, { signal }), 'nothing was waited for');
        await producer.close();
      });
    });
  }

  it('fail as a whole when a push fails, looked at or not', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('strict', {
      validator: { type: 'json-schema', schema: { type: 'object', required: ['n'] } },
    });
    const producer = topic.producer({ transactionalId: 'strict' });
    const failing = producer.transaction(async (tx) => {
      await tx.push({ n: 0 }, content(SIZES[0]!, 0));
      void tx.push({ wrong: true });
    });
    await assert.rejects(failing, { code: 'INVALID_METADATA' });
    await producer.transaction((tx) => tx.push({ n: 3 }, content(SIZES[0]!, 3)));
    assert.deepEqual(await numbersIn(topic, 'committed'), [3]);
    await producer.close();
    client.close();
  });

  it('fence the producer that had the id before, with a typed error', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('fenced');
    const first = topic.producer({ transactionalId: 'one' });
    const open = await first.beginTransaction();
    await open.push({ n: 0 }, content(SIZES[0]!, 0));
    const second = topic.producer({ transactionalId: 'one' });
    await second.transaction((tx) => tx.push({ n: 1 }, content(SIZES[1]!, 1)));
    await assert.rejects(
      (async () => {
        await open.push({ n: 2 }, content(SIZES[2]!, 2));
        await open.commit();
      })(),
      { code: 'ABORTABLE', broker: 'INVALID_PRODUCER_EPOCH' },
    );
    await assert.rejects(open.abort(), { code: 'FENCED' });
    await assert.rejects(first.beginTransaction(), { code: 'FENCED' });
    await first.close();
    assert.deepEqual(await numbersIn(topic, 'committed'), [1]);
    await second.close();
    client.close();
  });

  it('can be aborted when they took too long, and the producer goes on', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('slow');
    const producer = topic.producer({ transactionalId: 'slow', transactionTimeoutMs: 300 });
    const slow = await producer.beginTransaction();
    const pushing = async () => {
      for (;;) {
        await slow.push({ n: 0 }, content(SIZES[0]!, 0));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const timedOut = { code: 'ABORTABLE', broker: 'INVALID_PRODUCER_EPOCH' };
    await assert.rejects(pushing(), timedOut);
    await assert.rejects(slow.commit(), timedOut);
    await slow.abort();
    await producer.transaction((tx) => tx.push({ n: 1 }, content(SIZES[1]!, 1)));
    assert.deepEqual(await numbersIn(topic, 'committed'), [1]);
    await producer.close();
    client.close();
  });

  it('move offsets and results together: each event is worked on once, whatever is aborted', async () => {
    const client = await gateway.connect();
    const input = await client.createTopic('input', {
      partitions: 2,
      partitionSelector: { type: 'round-robin' },
    });
    const output = await client.createTopic('output');
    const feed = input.producer();
    const count = 30;
    for (let n = 0; n < count; n++) await feed.push({ n });
    const options = { groupId: 'pipeline', commitEveryMs: 'transaction', heartbeatMs: 200 } as const;
    const consumer = input.consumer(options);
    const producer = output.producer({ transactionalId: 'pipeline' });
    let done = 0;
    for (let attempt = 0; done < count; attempt++) {
      const result = producer.transaction(async (tx) => {
        const events = await collect(5, () => consumer.pull(PULL));
        for (const event of events) {
          const { n } = event.metadata as { n: number };
          void tx.push({ n }, content(SIZES[n % SIZES.length]!, n));
          event.acknowledge();
        }
        await tx.sendOffsets(consumer);
        if (attempt % 2 === 0) throw new Error('no');
        return events.length;
      });
      const finished = await result.catch(() => null);
      if (finished === null) await consumer.rewind();
      else done += finished;
    }
    await assert.rejects(consumer.commit(), { code: 'INVALID_ARGUMENT' });
    await consumer.close();
    const numbers = await numbersIn(output, 'committed');
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({ length: count }, (_, n) => n),
    );
    const { partitions } = await client.groups.describe('pipeline');
    assert.deepEqual(
      partitions.map(({ lag }) => lag),
      [0n, 0n],
    );
    await producer.close();
    client.close();
  });

  it('are waited for by members that begin where offsets of one are open, however long it is', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('pending');
    const producer = topic.producer({ transactionalId: 'pending' });
    await producer.transaction((tx) => tx.push({ n: 0 }));
    const options = { groupId: 'pending', commitEveryMs: 'transaction' } as const;
    const first = topic.consumer(options);
    (await first.pull(PULL))!.acknowledge();
    const open = await producer.beginTransaction();
    await open.sendOffsets(first);
    await first.close();
    const second = topic.consumer(options);
    assert.equal(await second.pull({ timeoutMs: 15_000 }), null);
    assert.equal(second.failure, null);
    await open.abort();
    assert.deepEqual((await second.pull(PULL))?.metadata, { n: 0 });
    await second.close();
    await producer.close();
    client.close();
  });

  it('refuse the offsets of a member whose partitions went to another', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('moving', {
      partitions: 2,
      partitionSelector: { type: 'round-robin' },
    });
    const feed = topic.producer();
    for (let n = 0; n < 4; n++) await feed.push({ n });
    const options = { groupId: 'moving', commitEveryMs: 'transaction', heartbeatMs: 100 } as const;
    const consumer = topic.consumer(options);
    const producer = topic.producer({ transactionalId: 'moving' });
    const events = await collect(4, () => consumer.pull(PULL));
    const tx = await producer.beginTransaction();
    for (const event of events) event.acknowledge();
    const other = topic.consumer(options);
    const theirs = other.pull(PULL);
    await until('each has one partition', 20_000, () =>
      Promise.resolve(consumer.assignment.length === 1 && other.assignment.length === 1),
    );
    await assert.rejects(tx.sendOffsets(consumer), { code: 'FENCED' });
    await assert.rejects(tx.commit(), { code: 'FENCED' });
    await tx.abort();
    assert.notEqual(await theirs, null, 'what was not committed is the other member’s to do');
    await producer.transaction((next) => next.sendOffsets(consumer));
    for (const one of [consumer, other]) await one.close();
    await producer.close();
    client.close();
  });
});

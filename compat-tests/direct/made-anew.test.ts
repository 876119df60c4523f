import assert from 'node:assert/strict';
import type { Client, Consumer, ConsumerOptions, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

/** Clients ask every half a minute. */
const NOTICED_MS = 90_000 * patience;
const PULL = { timeoutMs: NOTICED_MS };

describe('topics that are deleted, and made anew', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let other: Client;

  before(async () => {
    gateway = await startDirectGateway({ 'direct.mapped.listeners': 'DIRECT' });
    client = await gateway.connect();
    other = await gateway.connect();
  });
  after(async () => {
    for (const one of [client, other]) one?.close();
    await gateway?.broker.stop();
  });

  /** One event to each partition. */
  async function fill(topic: TopicHandle, from: string): Promise<void> {
    const producer = topic.producer();
    for (let partition = 0; partition < topic.partitions; partition++)
      await producer.push({ from }, undefined, { partition });
    await producer.close();
  }

  async function pulled(consumer: Consumer, count: number): Promise<string[]> {
    const events: string[] = [];
    for (let i = 0; i < count; i++) {
      const event = (await consumer.pull(PULL))!;
      events.push(`${event.topic}-${event.partition} ${(event.metadata as { from: string }).from}`);
      event.acknowledge();
    }
    return events.sort();
  }

  it('are read no more, and then anew, while others are read all the time', async function () {
    this.timeout(3 * NOTICED_MS);
    const staying = await other.createTopic('stays');
    await fill(staying, 'first');
    await fill(await other.createTopic('goes', { partitions: 2 }), 'first');
    const all: ConsumerOptions[] = [{}, { partitions: [0] }, { groupId: 'reading', heartbeatMs: 200 }];
    const consumers = await Promise.all(all.map((options) => client.consumer(['stays', 'goes'], options)));
    const firsts = ['goes-0 first', 'goes-1 first', 'stays-0 first'];
    for (const [i, consumer] of consumers.entries()) {
      const expected = all[i]!.partitions === undefined ? firsts : ['goes-0 first', 'stays-0 first'];
      assert.deepEqual(await pulled(consumer, expected.length), expected);
    }

    await other.deleteTopic('goes');
    await fill(staying, 'second');
    for (const consumer of consumers) {
      assert.deepEqual(await pulled(consumer, 1), ['stays-0 second']);
      await until('it is read no more', NOTICED_MS, async () => consumer.assignment.length === 1);
      await consumer.commit();
    }
    await fill(await other.createTopic('goes', { serializer: { type: 'msgpack' } }), 'anew');
    await fill(staying, 'third');
    for (const consumer of consumers) {
      assert.deepEqual(await pulled(consumer, 2), ['goes-0 anew', 'stays-0 third']);
      assert.equal(consumer.failure, null);
      await consumer.close();
    }
  });

  for (const path of ['tcp', 'shared-memory'] as const)
    it(`are pushed to by who had the one before open, in order (${path})`, async () => {
      const name = `pushed-${path}`;
      const pushing = await gateway.connect({ path });
      const options = { partitions: 2, partitionSelector: { type: 'explicit' } } as const;
      const topic = await pushing.createTopic(name, options);
      const producer = topic.producer();
      const push = (n: number) =>
        producer.push({ n }, content(n % 3 === 0 ? 100_000 : 10, n), { partition: n % 2 });
      const many = (from: number) => Promise.all(Array.from({ length: 40 }, (_, i) => push(from + i)));
      await many(0);
      await other.deleteTopic(name);
      const anew = await other.createTopic(name, options);
      const pushed = await many(100);
      for (const [i, { offset }] of pushed.entries()) assert.equal(offset, BigInt(Math.floor(i / 2)));
      const consumer = anew.consumer();
      const events = await collect(40, () => consumer.pull(PULL));
      for (const partition of [0, 1]) {
        const there = events.filter((event) => event.partition === partition);
        const expected = Array.from({ length: 20 }, (_, i) => ({ n: 100 + 2 * i + partition }));
        assert.deepEqual(
          there.map(({ metadata }) => metadata),
          expected,
        );
      }
      await consumer.close();

      await other.deleteTopic(name);
      const waiting = push(200);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await other.createTopic(name, options);
      assert.equal((await waiting).offset, 0n, 'it waits while there is none of the name');

      await other.deleteTopic(name);
      const impatient = topic.producer({ deliveryTimeoutMs: 1000 * patience });
      const givenUp = impatient.push({ n: 201 }, undefined, { partition: 0 });
      await assert.rejects(givenUp, { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
      await impatient.close();
      await other.createTopic(name, { ...options, serializer: { type: 'msgpack' } });
      await assert.rejects(push(202), { code: 'CONFLICT' });
      await producer.close();
      pushing.close();
    });

  for (const path of ['tcp', 'shared-memory', 'mapped'] as const)
    it(`have taken the data of their events with them (${path})`, async () => {
      const pulling = await gateway.connect({ path });
      const topic = await pulling.createTopic(`taken-${path}`);
      const producer = topic.producer();
      await producer.push({ n: 1 }, content(100_000));
      await producer.close();
      const consumer = topic.consumer();
      const event = (await consumer.pull(PULL))!;
      await consumer.close();
      await other.deleteTopic(topic.name);
      await assert.rejects(event.data(), { code: 'DELETED' });
      await assert.rejects(event.view(), { code: 'DELETED' });
      pulling.close();
    });

  it('end a consumer that has no others only when they are not made anew in time', async () => {
    await fill(await other.createTopic('alone'), 'first');
    const impatient = await gateway.connect({ requestTimeoutMs: 5_000 * patience });
    for (const options of [{}, { groupId: 'alone', heartbeatMs: 200 }]) {
      const consumer = await impatient.consumer(['alone'], options);
      assert.equal((await pulled(consumer, 1)).length, 1);
      await consumer.commit();
      await other.deleteTopic('alone');
      assert.equal(await consumer.pull({ timeoutMs: 1_000 }), null);
      await fill(await other.createTopic('alone'), 'anew');
      assert.deepEqual(await pulled(consumer, 1), ['alone-0 anew']);
      await consumer.close();
    }
    const consumer = await impatient.consumer(['alone']);
    assert.deepEqual(await pulled(consumer, 1), ['alone-0 anew']);
    await other.deleteTopic('alone');
    await assert.rejects(consumer.pull(PULL), { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
    await consumer.close();
    impatient.close();
  });
});

import assert from 'node:assert/strict';
import type { Client, Consumer, ConsumerOptions, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, until } from '../harness/child.ts';
import { type DirectGateway, startDirectGateway } from './fixture.ts';

/** Clients ask every half a minute. */
const NOTICED_MS = 90_000 * patience;
const PULL = { timeoutMs: NOTICED_MS };

describe('topics that are deleted, and made anew', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let other: Client;

  before(async () => {
    gateway = await startDirectGateway();
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

  it('end a consumer that has no others', async () => {
    await fill(await other.createTopic('alone'), 'first');
    const consumer = await client.consumer(['alone']);
    assert.deepEqual(await pulled(consumer, 1), ['alone-0 first']);
    await other.deleteTopic('alone');
    await assert.rejects(consumer.pull(PULL), { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
    await consumer.close();
  });
});

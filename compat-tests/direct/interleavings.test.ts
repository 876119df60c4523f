import assert from 'node:assert/strict';
import type { Client, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };

describe('calls of the direct API that are under way at the same time', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let topic: TopicHandle;
  let empty: TopicHandle;

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    topic = await client.createTopic('events');
    empty = await client.createTopic('empty');
    const producer = topic.producer();
    for (let i = 0; i < 10; i++) await producer.push({ i }, content(1000, i));
    await producer.close();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  it('a pull ends when its time is up or its signal says so, behind one that waits for longer', async () => {
    const consumer = empty.consumer();
    const first = consumer.pull({ timeoutMs: 5_000 * patience });
    const begin = performance.now();
    const signal = AbortSignal.timeout(100);
    const aborted = assert.rejects(consumer.pull({ signal }), { code: 'ABORTED' });
    assert.equal(await consumer.pull({ timeoutMs: 100 }), null);
    await aborted;
    assert.ok(performance.now() - begin < 3_000 * patience, 'it waited for the first');
    const third = consumer.pull(PULL);
    const producer = empty.producer();
    await producer.push({ n: 1 });
    await producer.push({ n: 2 });
    assert.deepEqual(
      [(await first)?.metadata, (await third)?.metadata],
      [{ n: 1 }, { n: 2 }],
      'in their order',
    );
    await consumer.close();
  });
});

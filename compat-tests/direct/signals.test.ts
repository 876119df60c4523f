import assert from 'node:assert/strict';
import type { Client, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };
const SIZE = 100_000;

describe('signals, positions and flushes of the direct API', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let topic: TopicHandle;

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    topic = await client.createTopic('events', {
      partitions: 2,
      partitionSelector: { type: 'explicit' },
    });
    const producer = topic.producer();
    for (let i = 0; i < 20; i++) await producer.push({ i }, content(SIZE, i), { partition: i % 2 });
    await producer.close();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  it('every call that waits is ended by a signal, and works with one that says nothing', async () => {
    const consumer = topic.consumer({ groupId: 'signalled', commitEveryMs: 'manual' });
    const event = (await consumer.pull(PULL))!;
    const producer = topic.producer();
    const transactional = topic.producer({ transactionalId: 'signalled' });
    const calls: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      allocate: (signal) => client.allocate(1000, { signal }).then((buffer) => buffer.release()),
      openTopic: (signal) => client.openTopic('events', { signal }),
      listTopics: (signal) => client.listTopics({ signal }),
      topicConfigs: (signal) => client.topicConfigs('events', { signal }),
      alterTopicConfigs: (signal) => client.alterTopicConfigs('events', { 'segment.ms': null }, { signal }),
      createTopic: (signal) => client.createTopic('made', { signal }),
      deleteTopic: (signal) => client.deleteTopic('made', { signal }),
      consumer: (signal) => client.consumer(['events'], {}, { signal }),
      list: (signal) => client.groups.list({ signal }),
      describe: (signal) => client.groups.describe('signalled', { signal }),
      planOffsets: (signal) => client.groups.planOffsets('signalled', 'latest', ['events'], { signal }),
      setOffsets: (signal) => client.groups.setOffsets('other', [], { signal }),
      configs: (signal) => client.groups.configs('signalled', { signal }),
      alterConfigs: (signal) => client.groups.alterConfigs('signalled', {}, { signal }),
      dataSelector: (signal) => client.groups.dataSelector('signalled', { signal }),
      setDataSelector: (signal) => client.groups.setDataSelector('signalled', null, { signal }),
      push: (signal) => producer.push({ i: -1 }, undefined, { partition: 0, signal }),
      flush: (signal) => producer.flush({ signal }),
      beginTransaction: async (signal) => (await transactional.beginTransaction({ signal })).abort(),
      transaction: (signal) => transactional.transaction(async () => undefined, { signal }),
      data: (signal) => event.data('all', undefined, { signal }),
      view: async (signal) => (await event.view(undefined, { signal })).release(),
      pull: (signal) => consumer.pull({ signal, ...PULL }),
      commit: (signal) => consumer.commit({ signal }),
      rewind: (signal) => consumer.rewind({ signal }),
      seek: (signal) => consumer.seek('earliest', { signal }),
      subscribe: (signal) => consumer.subscribe(['events'], { signal }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const reason = new Error('enough');
      const isAborted = { name: 'DirectError', code: 'ABORTED', cause: reason };
      await assert.rejects(call(AbortSignal.abort(reason)), isAborted, name);
      const noSignal = new AbortController() as unknown as AbortSignal;
      await assert.rejects(call(noSignal), { name: 'DirectError', code: 'INVALID_ARGUMENT' }, name);
      await call(new AbortController().signal);
    }
    const closing = AbortSignal.abort();
    await assert.rejects(consumer.close({ signal: closing }), { code: 'ABORTED' });
    await consumer.close();
    assert.equal(producer.bufferedBytes, 0);
    await producer.close({ signal: new AbortController().signal });
    await transactional.close();
  });

  it('a signal ends waits under way, of iterations too', async () => {
    const consumer = topic.consumer({ from: 'latest' });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const iterating = (async () => {
      for await (const event of consumer.events({ signal: controller.signal })) seen.push(event.metadata);
    })();
    setTimeout(() => controller.abort(), 200);
    await assert.rejects(iterating, { code: 'ABORTED' });
    assert.deepEqual(seen, []);
    await consumer.close();
  });

  it('a push is taken back while it is not on its way', async () => {
    const producer = topic.producer({ lingerMs: 60_000 });
    const controller = new AbortController();
    const { signal } = controller;
    const kept = producer.push({ i: 100 }, undefined, { partition: 1 });
    const taken = producer.push({ i: 101 }, undefined, { partition: 1, signal });
    controller.abort();
    await assert.rejects(taken, { code: 'ABORTED' });
    await producer.flush();
    const { offset } = await kept;
    const next = producer.push({ i: 102 }, undefined, { partition: 1 });
    await producer.flush();
    assert.equal((await next).offset, offset + 1n);
    await producer.close();
  });

  it('flush waits for what was pushed before it, however much is pushed meanwhile', async () => {
    const producer = topic.producer({ maxBufferedBytes: 100_000, lingerMs: 1000 });
    let flushed = false;
    let later = 0;
    let acknowledged = 0;
    for (let i = 0; i < 50; i++)
      void producer.push({ i }, content(10_000, i), { partition: 0 }).then(() => acknowledged++);
    const flushing = producer.flush().then(() => {
      flushed = true;
    });
    const others = (async () => {
      while (!flushed && later < 2000)
        await producer.push({ later: later++ }, content(100), { partition: 1 });
    })();
    await flushing;
    assert.equal(acknowledged, 50);
    await producer.flush();
    await others;
    assert.ok(later < 2000, 'it waits for others too');
    await producer.close();
  });

  it('seek goes on elsewhere, for all partitions or some', async () => {
    const numbers = async (count: number) =>
      (await collect(count, () => consumer.pull(PULL))).map(
        ({ partition, offset }) => `${partition}:${offset}`,
      );
    const began = Date.now() - 60_000;
    const places = await client.createTopic('places', {
      partitions: 2,
      partitionSelector: { type: 'explicit' },
    });
    const producer = places.producer();
    for (let i = 0; i < 20; i++)
      await producer.push({ i }, content(SIZE, i), { partition: i % 2, timestamp: began + i });
    await producer.close();
    const consumer = places.consumer({ select: 'all' });
    await consumer.seek({ offset: 8n });
    const from = (partition: number, first: number) =>
      Array.from({ length: 10 - first }, (_, i) => `${partition}:${first + i}`);
    assert.deepEqual((await numbers(4)).sort(), [...from(0, 8), ...from(1, 8)]);
    await consumer.seek({ timestamp: began + 10 });
    assert.deepEqual((await numbers(10)).sort(), [...from(0, 5), ...from(1, 5)]);
    await consumer.seek('earliest');
    const pulled = await numbers(3);
    // The other goes on behind what was pulled of it.
    await consumer.seek([{ topic: 'places', partition: 0, offset: 2n }]);
    const others = from(1, pulled.filter((one) => one.startsWith('1:')).length);
    assert.deepEqual((await numbers(8 + others.length)).sort(), [...from(0, 2), ...others]);
    const wrong = { topic: 'places', partition: 7, offset: 0n };
    await assert.rejects(consumer.seek([wrong]), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(consumer.seek({ offset: 5 } as never), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => topic.consumer({ from: 'begin' as never }), { code: 'INVALID_ARGUMENT' });
    await consumer.close();
    await assert.rejects(consumer.seek('earliest'), { code: 'CLOSED' });
    const member = topic.consumer({ groupId: 'seeking' });
    await assert.rejects(member.seek('earliest'), { code: 'INVALID_ARGUMENT', message: /pull first/ });
    await member.close();
  });

  it('does not wait for records where it was before it goes on elsewhere', async () => {
    const again = await client.createTopic('again', { partitions: 1 });
    const producer = again.producer();
    await producer.push({ i: 0 }, content(SIZE, 0));
    await producer.close();
    const consumer = again.consumer({ maxWaitMs: 3_600_000 });
    for (let i = 0; i < 3; i++) {
      assert.deepEqual((await consumer.pull(PULL))!.metadata, { i: 0 });
      assert.equal(await consumer.pull({ timeoutMs: 100 }), null);
      await consumer.seek('earliest');
    }
    await consumer.close();
  });

  it('subscribe changes the topics, and what stays goes on where it is', async () => {
    const other = await client.createTopic('others');
    const more = other.producer();
    for (let i = 0; i < 3; i++) await more.push({ other: i });
    await more.close();
    for (const options of [{}, { groupId: 'changing', commitEveryMs: 'manual', heartbeatMs: 200 }] as const) {
      const consumer = topic.consumer(options);
      const pulled = await collect(6, () => consumer.pull(PULL));
      for (const event of pulled) event.acknowledge();
      await consumer.subscribe(['others', 'events']);
      const seen = new Set(
        pulled.map(({ topic: name, partition, offset }) => `${name} ${partition} ${offset}`),
      );
      let others = 0;
      while (others < 3 || seen.size < 12) {
        const { topic: name, partition, offset } = (await consumer.pull(PULL))!;
        const id = `${name} ${partition} ${offset}`;
        assert.ok(!seen.has(id), `${id} came again`);
        if (name === 'others') others++;
        else seen.add(id);
      }
      await consumer.subscribe(['others']);
      assert.equal(
        await consumer.pull({ timeoutMs: 1500 }).then((event) => event?.topic ?? 'others'),
        'others',
      );
      assert.deepEqual(
        consumer.assignment.filter(({ topic: name }) => name !== 'others'),
        [],
      );
      await assert.rejects(consumer.subscribe(['nothing']), { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
      await consumer.close();
    }
    const given = topic.consumer({ partitions: [0] });
    await assert.rejects(given.subscribe(['others']), { code: 'INVALID_ARGUMENT' });
    await given.close();
  });
});

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Client, View } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 60_000 };
const MIB = 1 << 20;
const CLIENT_BYTES = 24 * MIB;

describe('direct API with mapped memory', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;

  before(async () => {
    gateway = await startDirectGateway({
      'direct.mapped.listeners': 'DIRECT',
      'direct.mapped.max.bytes': String(CLIENT_BYTES),
      'arena.bytes': String(512 * MIB),
    });
    client = await gateway.connect({ path: 'mapped' });
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  async function mappedBytes(): Promise<number> {
    const answer = await fetch(`${gateway.broker.metricsUrl}/metrics`);
    const found = /^kafabric_direct_mapped_bytes(?:\{[^}]*\})? (\d+)/m.exec(await answer.text());
    assert.ok(found !== null, 'the metric is there');
    return Number(found[1]);
  }

  it('pushes from memory that is handed over, and views what was pushed where it lies', async () => {
    assert.equal(client.path, 'mapped');
    const topic = await client.createTopic('mapped');
    const producer = topic.producer();
    const sizes = [70_000, 100_001, 1_000_000, 5_000_001];
    for (const [i, size] of sizes.entries()) {
      const buffer = await client.allocate(size);
      buffer.bytes.set(content(size, i));
      const { offset } = await producer.push({ step: i }, buffer.bytes, { key: `k${i}` });
      assert.equal(offset, BigInt(i));
      assert.equal(buffer.bytes.byteLength, 0, 'it is the gateway’s now');
      assert.equal(producer.path, 'mapped');
    }
    // Parts of a buffer, and several events of one batch, are copied; the buffer stays the client's.
    const buffer = await client.allocate(300_000);
    buffer.bytes.set(content(300_000, 9));
    await producer.push({ step: 4 }, [buffer.bytes.subarray(7, 200_007), buffer.bytes.subarray(250_000)]);
    assert.equal(buffer.bytes.byteLength, 300_000);
    buffer.release();
    await producer.close();
    const consumer = topic.consumer();
    const events = await collect(5, () => consumer.pull(PULL));
    for (const [i, size] of sizes.entries()) {
      const view = await events[i]!.view();
      assert.equal(Buffer.compare(view.bytes, content(size, i)), 0, `event ${i}`);
      const part = await events[i]!.view({ offset: 4099, length: 50_000 });
      assert.equal(Buffer.compare(part.bytes, content(size, i).subarray(4099, 54_099)), 0, `part of ${i}`);
      for (const one of [view, part]) {
        one.release();
        assert.equal(one.bytes.byteLength, 0);
      }
    }
    const all = content(300_000, 9);
    const parts = Buffer.concat([all.subarray(7, 200_007), all.subarray(250_000)]);
    assert.equal(Buffer.compare(await events[4]!.data(), parts), 0);
    await consumer.close();
    await until('all memory is back', 60_000, async () => (await mappedBytes()) === 0);
  });

  it('takes what is small and pushed together in one batch, and all of its memory over', async () => {
    const topic = await client.createTopic('mapped-together', { partitions: 1 });
    const producer = topic.producer();
    const buffers = await Promise.all(Array.from({ length: 20 }, () => client.allocate(100_000)));
    for (const [i, { bytes }] of buffers.entries()) bytes.set(content(100_000, i));
    await Promise.all(buffers.map(({ bytes }, i) => producer.push({ i }, bytes)));
    for (const { bytes } of buffers) assert.equal(bytes.byteLength, 0, 'it is the gateway’s now');
    await producer.close();
    await until('all memory is back', 60_000, async () => (await mappedBytes()) === 0);
    const consumer = topic.consumer({ select: 'all' });
    for (const [i, event] of (await collect(20, () => consumer.pull(PULL))).entries())
      assert.equal(Buffer.compare(event.selected!, content(100_000, i)), 0, `event ${i}`);
    await consumer.close();
  });

  it('is the same for clients that map nothing', async () => {
    const other = await gateway.connect({ path: 'tcp' });
    const consumer = (await other.openTopic('mapped')).consumer({ select: 'all' });
    const [event] = await collect(1, () => consumer.pull(PULL));
    assert.equal(Buffer.compare(event!.selected!, content(70_000, 0)), 0);
    const view = await event!.view({ offset: 10, length: 100 });
    assert.equal(Buffer.compare(view.bytes, content(70_000, 0).subarray(10, 110)), 0);
    view.release();
    await consumer.close();
    other.close();
  });

  it('lends no more than the limit, and again what was released', async () => {
    const taken: View[] = [];
    await assert.rejects(
      async () => {
        for (;;) taken.push(await client.allocate(5 * MIB));
      },
      { code: 'BUFFER_FULL' },
    );
    assert.equal(taken.length, 4);
    taken.pop()!.release();
    taken.push(await client.allocate(5 * MIB));
    for (const one of taken) one.release();
    await until('all memory is back', 60_000, async () => (await mappedBytes()) === 0);
  });

  it('takes back the memory of a client that is killed, and serves the others', async () => {
    const script = fileURLToPath(new URL('./mapped.child.js', import.meta.url));
    const child = new Child([process.execPath, script, gateway.direct, 'mapped']);
    await until('the client holds memory', 60_000, () => {
      if (!child.running) throw new Error(`the client ended: ${child.output}`);
      return child.output.includes('holding');
    });
    assert.ok((await mappedBytes()) > 4 * MIB);
    await child.kill('SIGKILL');
    await until('its memory is back', 60_000, async () => (await mappedBytes()) === 0);
    const topic = await client.createTopic('afterwards');
    const buffer = await client.allocate(100_000);
    buffer.bytes.set(content(100_000, 3));
    const producer = topic.producer();
    await producer.push({}, buffer.bytes);
    await producer.close();
  });

  it('harms only what it has pushed itself when it writes to memory that is no longer its own', async () => {
    // What a push has handed over is out of the client's reach: its buffer is empty, and its pages cannot be reached.
    const topic = await client.createTopic('handed-over');
    const producer = topic.producer();
    const buffer = await client.allocate(200_000);
    buffer.bytes.set(content(200_000, 4));
    const alias = buffer.bytes.subarray(0, 100);
    await producer.push({}, buffer.bytes);
    await producer.close();
    assert.equal(alias.byteLength, 0);
    assert.throws(() => alias.fill(0xff), TypeError);
    const consumer = topic.consumer({ select: 'all' });
    const [event] = await collect(1, () => consumer.pull(PULL));
    assert.equal(Buffer.compare(event!.selected!, content(200_000, 4)), 0);
    await consumer.close();
  });

  it('is refused where the listener does not allow it', async () => {
    const plain = await startDirectGateway();
    try {
      await assert.rejects(plain.connect({ path: 'mapped' }), /None of mapped is served here/);
      const usual = await plain.connect();
      assert.equal(usual.path, 'shared-memory');
      usual.close();
    } finally {
      await plain.broker.stop();
    }
  });
});

import assert from 'node:assert/strict';
import type { Client } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, sleep, until } from '../harness/child.ts';
import type { TcpProxy } from '../harness/tcp-proxy.ts';
import { content, type DirectGateway, startProxiedGateway } from './fixture.ts';

const PULL = { timeoutMs: 60_000 };
const EVENTS = 8;
const EVENT_BYTES = 2 << 20;

describe('a direct consumer that is closed while data is on its way', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway & { readonly proxy: TcpProxy };
  let client: Client;

  before(async () => {
    gateway = await startProxiedGateway();
    client = await gateway.connect({ path: 'tcp' });
    const topic = await client.createTopic('events');
    const producer = topic.producer();
    for (let i = 0; i < EVENTS; i++) await producer.push({ i }, content(EVENT_BYTES, i));
    await producer.close();
  });
  after(async () => {
    client?.close();
    await gateway?.proxy.stop();
    await gateway?.broker.stop();
  });

  it('has committed what was acknowledged, also when the gateway is away for a moment', async () => {
    const topic = await client.openTopic('events');
    const consumer = topic.consumer({ groupId: 'closing', commitEveryMs: 'manual' });
    (await consumer.pull(PULL))!.acknowledge();
    gateway.proxy.answer('away');
    const closed = consumer.close();
    await sleep(300);
    gateway.proxy.answer(null);
    await closed;
    const { partitions } = await client.groups.describe('closing');
    assert.equal(partitions[0]?.committed, 1n);
  });

  it('ends pulls at once, and is closed when nothing lands any more', async () => {
    const landing: Buffer[] = [];
    const topic = await client.openTopic('events');
    const consumer = topic.consumer({
      select: () => {
        gateway.proxy.stall(true);
        return 'all';
      },
      broker: (_metadata, _descriptor, bytes) => {
        landing.push(Buffer.alloc(bytes));
        return landing.at(-1);
      },
    });
    const pulled = consumer.pull(PULL);
    await until('data is asked for', 20_000 * patience, async () => landing.length === EVENTS);
    let isClosed = false;
    const closing = consumer.close().then(() => {
      isClosed = true;
    });
    const ended = await Promise.race([pulled.catch(({ code }) => code), sleep(5_000 * patience)]);
    assert.equal(ended, 'CLOSED');
    assert.equal(isClosed, false, 'data is under way');
    gateway.proxy.stall(false);
    await closing;
    for (const memory of landing) memory.fill(0xaa);
    await sleep(500);
    for (const memory of landing)
      assert.ok(
        memory.every((byte) => byte === 0xaa),
        'it landed later',
      );
  });
});

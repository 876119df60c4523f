import assert from 'node:assert/strict';
import type { Event } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, sleep } from '../harness/child.ts';
import { readMetric } from '../harness/metrics.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 30_000 * patience };
/** The least that may be configured. Keys change as often. */
const TTL_MS = 1000;
/** So that whoever goes on sees several keys, and whoever waits has references of none that is left. */
const LONG_MS = 4 * TTL_MS;

describe('references that expire soon', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway({ 'payload.reference.ttl.ms': String(TTL_MS) });
  });
  after(() => gateway?.broker.stop());

  it('are good through changes of their keys, and fetched anew by whoever kept them too long', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('rotated');
    const producer = topic.producer();
    const push = (i: number) => producer.push({ i }, content(100_000, i));
    for (let i = 0; i < 5; i++) await push(i);
    const patient = topic.consumer();
    const kept = await collect(5, () => patient.pull(PULL));
    const steady = topic.consumer({ select: 'all' });
    let next = 0;
    for (const from = Date.now(); Date.now() - from < LONG_MS; ) {
      if (next >= 5) await push(next);
      const { selected } = (await steady.pull(PULL))!;
      assert.ok(content(100_000, next).equals(selected!), `event ${next}`);
      next++;
      await sleep(20);
    }
    const refused = () => readMetric(gateway.broker.metricsUrl!, 'kafabric_direct_get_refused_total');
    const before = await refused();
    for (const [i, event] of kept.entries())
      assert.ok(content(100_000, i).equals(Buffer.from(await event.data())), `event ${i} later`);
    assert.ok((await refused()) > before, 'the references had expired');
    for (const one of [patient, steady, producer]) await one.close();
    client.close();
  });

  it('are not fetched anew of another record, in a topic of the same name', async () => {
    const client = await gateway.connect();
    const events: Event[] = [];
    for (const seed of [1, 2]) {
      const topic = await client.createTopic('renamed');
      const producer = topic.producer();
      await producer.push({ seed }, content(100_000, seed));
      const consumer = topic.consumer();
      events.push((await consumer.pull(PULL))!);
      for (const one of [producer, consumer]) await one.close();
      if (seed === 1) await client.deleteTopic('renamed');
    }
    await sleep(LONG_MS);
    const [deleted, there] = events as [Event, Event];
    for (const selection of ['all', { offset: 10, length: 500 }] as const) {
      await assert.rejects(deleted.data(selection), { code: 'EXPIRED' });
      const expected = content(100_000, 2);
      const data = Buffer.from(await there.data(selection));
      assert.ok(data.equals(selection === 'all' ? expected : expected.subarray(10, 510)));
    }
    client.close();
  });
});

import assert from 'node:assert/strict';
import { checkClientOptions } from '../../src/client/client-options.ts';
import { Cluster } from '../../src/client/cluster.ts';
import { fetchRecords } from '../../src/client/fetch.ts';
import { readFetched } from '../../src/client/fetched-batches.ts';
import { SectionReader } from '../../src/client/fetched-record.ts';
import type { Consumer, Path, Producer } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import { readMetric } from '../harness/metrics.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };
const BYTES = 300_000;
/** Between events: what comes faster is asked for. */
const PAUSE_MS = 5;

describe('data that comes with what is fetched', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway();
  });
  after(() => gateway.broker.stop());

  const gets = () =>
    readMetric(gateway.broker.metricsUrl!, 'kafabric_requests_total{api="DirectGet",version="1"}').catch(
      () => 0,
    );

  /** Events that are pulled as they are pushed. */
  async function there(producer: Producer, consumer: Consumer, sizes: readonly number[]): Promise<void> {
    for (const [i, size] of sizes.entries()) {
      await sleep(PAUSE_MS);
      const pulled = consumer.pull(PULL);
      await producer.push({ i }, content(size, i));
      const event = (await pulled)!;
      assert.deepEqual(event.metadata, { i });
      assert.deepEqual(event.descriptor, { size, inline: size < 4096 });
      assert.ok(content(size, i).equals(event.selected!), `event ${i}`);
      assert.ok(
        content(10, i).equals(Buffer.from(await event.data({ offset: 0, length: 10 }))),
        `later ${i}`,
      );
    }
  }

  for (const path of ['tcp', 'shared-memory'] as Path[]) {
    it(`need not be asked for over ${path}, by who pulls all of each event`, async () => {
      const client = await gateway.connect({ path });
      const topic = await client.createTopic(`arriving-${path}`, { partitions: 2 });
      const producer = topic.producer();
      const ring = await client.allocate(4_000_000);
      const consumer = topic.consumer({
        select: 'all',
        broker: (metadata, _, bytes) =>
          (metadata as { i: number }).i % 2 === 0 ? ring.bytes.subarray(0, bytes) : undefined,
      });
      await there(producer, consumer, [BYTES, BYTES, BYTES]);
      const before = await gets();
      const sizes = Array.from({ length: 10 }, (_, i) => BYTES + i);
      await there(producer, consumer, sizes);
      // One is for what is looked at later.
      assert.equal((await gets()) - before, sizes.length);
      await there(producer, consumer, [3_000_000, 100, BYTES, 20, 2_000_000, BYTES]);
      for (const one of [consumer, producer]) await one.close();
      ring.release();
      client.close();
    });
  }

  it('is not sent to who wants none or a part of it', async () => {
    const client = await gateway.connect({ path: 'tcp' });
    const topic = await client.createTopic('parts');
    const producer = topic.producer();
    const consumer = topic.consumer({
      select: (metadata) => ((metadata as { i: number }).i % 4 === 0 ? 'all' : { offset: 5, length: 10 }),
    });
    for (let i = 0; i < 12; i++) {
      const pulled = consumer.pull(PULL);
      await producer.push({ i }, content(BYTES, i));
      const expected = i % 4 === 0 ? content(BYTES, i) : content(BYTES, i).subarray(5, 15);
      assert.ok(expected.equals((await pulled)!.selected!), `event ${i}`);
    }
    for (const one of [consumer, producer]) await one.close();
    client.close();
  });

  it('is of whole extents, in their order, and of no more than was asked for', async () => {
    const client = await gateway.connect({ path: 'tcp' });
    const topic = await client.createTopic('limited');
    const producer = topic.producer({ batchSize: 1 });
    for (let i = 0; i < 3; i++) await producer.push({ i }, content(BYTES, i));
    await producer.close();
    const { sharedChunkBytes, sharedMaxBytes, ...ways } = checkClientOptions({ bootstrap: gateway.direct });
    const cluster = new Cluster(ways);
    const connection = await cluster.connection(-1, 'control');
    const options = { maxBytes: 1 << 20, maxWaitMs: 0, isolationLevel: 1, requestTimeoutMs: 60_000 };
    for (const [bytes, expected] of [
      [BYTES - 1, 0],
      [BYTES * 2, 1],
      [BYTES * 2 + 1000, 2],
      [BYTES * 10, 3],
    ] as const) {
      let received: Uint8Array[] = [];
      const land = ([one]: { extents: readonly number[] }[]) => {
        received = one!.extents.map((size) => new Uint8Array(size));
        return received;
      };
      const position = { topic: 'limited', partition: 0, fetchOffset: 0n };
      const [data] = await fetchRecords(connection, [position], { ...options, extents: { bytes, land } });
      assert.equal(received.length, expected);
      const { sections } = readFetched(data!.records!, 0n, []);
      assert.equal(sections.length, 3);
      for (const [i, extent] of received.entries()) {
        const { referencedOffset: at } = new SectionReader(sections[i]!, 0n).next()!;
        assert.ok(content(BYTES, i).equals(extent.subarray(at, at + BYTES)), `extent ${i}`);
      }
    }
    cluster.close();
    client.close();
  });
});

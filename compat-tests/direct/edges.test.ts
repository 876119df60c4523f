import assert from 'node:assert/strict';
import type { Client, EventData, Path, PushOptions, Selection, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';
import { dataAt } from './stress-data.ts';

const MIB = 1 << 20;
const MIN_BYTES = 10_000;
const MAX_FRAME = 4 * MIB;
const MAX_REQUEST = 6 * MIB;
const MAX_RANGES = 5000;
const PULL = { timeoutMs: 30_000 * patience };

describe('direct API at its edges', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway({
      'socket.request.max.bytes': String(MAX_FRAME),
      'direct.max.request.bytes': String(MAX_REQUEST),
      'direct.max.ranges': String(MAX_RANGES),
      // Half of it has to hold what is read for one request.
      'arena.bytes': String(16 * MIB),
    });
  });
  after(() => gateway?.broker.stop());

  for (const path of ['shared-memory', 'tcp'] as const satisfies readonly Path[])
    describe(`over ${path}`, () => {
      let client: Client;
      let topic: TopicHandle;
      let topics = 0;

      before(async () => {
        client = await gateway.connect({ path });
      });
      beforeEach(async () => {
        const configs = { 'payload.min.bytes': String(MIN_BYTES) };
        topic = await client.createTopic(`edges-${path}-${topics++}`, { configs });
      });
      after(() => client.close());

      it('has data of nothing, and below, about and at the size that is kept apart', async () => {
        const producer = topic.producer({ lingerMs: 0, batchSize: 1 });
        const datas = [null, new Uint8Array(0), ...[-100, -1, 0].map((by) => content(MIN_BYTES + by, -by))];
        for (const [i, data] of datas.entries()) await producer.push(i === 0 ? null : i, data);
        const consumer = topic.consumer({ select: 'all' });
        const events = await collect(datas.length, () => consumer.pull(PULL));
        for (const [i, event] of events.entries()) {
          const expected = Buffer.from(datas[i] ?? []);
          assert.equal(event.metadata, i === 0 ? null : i);
          assert.equal(event.descriptor.size, expected.byteLength);
          assert.deepEqual(Buffer.from(event.selected!), expected);
          assert.deepEqual(Buffer.from(await event.data()), expected);
          const { bytes, release } = await event.view();
          assert.deepEqual(Buffer.from(bytes), expected);
          release();
        }
        // What counts is the whole record.
        assert.deepEqual(
          events.map(({ descriptor }) => descriptor.inline),
          [true, true, true, false, false],
        );
        await consumer.close();
        await producer.close();
      });

      it('has metadata that is larger than a batch, and than what is fetched ahead', async () => {
        const producer = topic.producer({ batchBytes: 64 * 1024 });
        const texts = ['a', 'b'.repeat(2 * MIB), 'c', 'd'.repeat(100_000)];
        await Promise.all(texts.map((text) => producer.push({ text }, content(20_000, text.length))));
        const consumer = topic.consumer({ select: 'all', prefetchBytes: 1024, prefetchDataBytes: 1 });
        const events = await collect(texts.length, () => consumer.pull(PULL));
        assert.deepEqual(
          events.map(({ metadata }) => (metadata as { text: string }).text),
          texts,
        );
        for (const [i, { selected }] of events.entries())
          assert.deepEqual(Buffer.from(selected!), content(20_000, texts[i]!.length));
        await consumer.close();
        await producer.close();
      });

      it('has compressed metadata and small data, beside large data that is not', async () => {
        const producer = topic.producer({ compression: 'zstd' });
        const sizesOf = [10, 500, 50_000, 0];
        const pushed = sizesOf.map((size, i) =>
          producer.push({ i, text: 'again '.repeat(100) }, content(size, i)),
        );
        await Promise.all(pushed);
        const consumer = topic.consumer({ select: 'all' });
        for (const [i, event] of (await collect(sizesOf.length, () => consumer.pull(PULL))).entries()) {
          assert.deepEqual(event.metadata, { i, text: 'again '.repeat(100) });
          assert.deepEqual(Buffer.from(event.selected!), content(sizesOf[i]!, i));
        }
        assert.throws(() => topic.producer({ compression: 'zip' as 'gzip' }), { code: 'INVALID_ARGUMENT' });
        await consumer.close();
        await producer.close();
      });

      it('takes data from shared array buffers, and puts it into any typed array', async () => {
        const shared = new SharedArrayBuffer(800_000);
        new Uint8Array(shared).set(content(800_000, 5));
        const producer = topic.producer();
        await producer.push({}, shared);
        await producer.push({}, new Float64Array(shared, 8, 50_000));
        const landed = [new Float64Array(100_000), new Float32Array(new SharedArrayBuffer(400_000))];
        let next = 0;
        const consumer = topic.consumer({ select: 'all', broker: () => landed[next++] });
        const [whole, part] = await collect(2, () => consumer.pull(PULL));
        assert.deepEqual(Buffer.from(landed[0]!.buffer), content(800_000, 5));
        assert.deepEqual(Buffer.from(landed[1]!.buffer), content(800_000, 5).subarray(8, 400_008));
        assert.equal(whole!.selected!.buffer, landed[0]!.buffer);
        const target = new Int16Array(10);
        assert.equal(await part!.data({ offset: 2, length: 20 }, target), target);
        assert.deepEqual(Buffer.from(target.buffer), content(800_000, 5).subarray(10, 30));
        await consumer.close();
        await producer.close();
      });

      it('gets selections that are more than one request may be, and than the gateway has memory for', async () => {
        const size = 3 * MIB;
        const data = content(size, 9);
        const producer = topic.producer();
        await producer.push({}, data);
        const consumer = topic.consumer();
        const event = (await consumer.pull(PULL))!;
        const selections: Selection[] = [
          // In no order, over each other, and some twice.
          Array.from({ length: 20_000 }, (_, i) => ({ offset: (i * 7919) % (size - 100), length: i % 100 })),
          { offset: 1, length: 3, count: 100_000, stride: 31 },
          Array.from({ length: 7 }, () => ({ offset: 0, length: size })),
          [
            { offset: size, length: 0 },
            { offset: size - 1, length: 1 },
            { offset: 0, length: size, count: 1, stride: 2 ** 50 },
          ],
        ];
        const got = await Promise.all(selections.map((selection) => event.data(selection)));
        for (const [i, selection] of selections.entries())
          assert.ok(dataAt(data, selection).equals(got[i]!), `selection ${i}`);
        await consumer.close();
        await producer.close();
      });

      it('refuses what is no event, and nothing else with it', async () => {
        const producer = topic.producer();
        const wrong: [unknown, PushOptions?][] = [
          ['text'],
          [7],
          [[new Uint8Array(1), 'text']],
          [{ byteLength: 3 }],
          [null, { timestamp: Number.NaN }],
          [null, { timestamp: -1 }],
          [null, { timestamp: 1.5 }],
          [null, { partition: Number.NaN }],
          [null, { partition: 1 }],
          [null, { key: 7 as unknown as string }],
          [null, { headers: { 'kafabric-metadata': 'x' } }],
          [null, { headers: { x: 7 as unknown as string } }],
          [null, { headers: null as unknown as Record<string, string> }],
          [null, null as unknown as PushOptions],
        ];
        const good = [producer.push({ i: 0 }, new Uint8Array(1))];
        for (const [data, options] of wrong)
          await assert.rejects(producer.push({}, data as EventData, options), { code: 'INVALID_ARGUMENT' });
        good.push(producer.push({ i: 1 }, new Uint8Array(1)));
        assert.deepEqual(
          (await Promise.all(good)).map(({ offset }) => offset),
          [0n, 1n],
        );
        await producer.close();
      });

      it('ends waits when a signal says so, and nothing else', async () => {
        const producer = topic.producer();
        const signal = AbortSignal.abort();
        const pushed = producer.push({}, content(20_000));
        await assert.rejects(producer.flush({ signal }), { code: 'ABORTED' });
        await assert.rejects(gateway.connect({ path, signal }), { code: 'ABORTED' });
        assert.equal((await pushed).offset, 0n);
        const consumer = topic.consumer();
        const event = (await consumer.pull(PULL))!;
        await assert.rejects(event.data('all', undefined, { signal }), { code: 'ABORTED' });
        const ending = new AbortController();
        const late = event.data('all', undefined, { signal: ending.signal });
        ending.abort();
        await assert.rejects(late, { code: 'ABORTED' });
        assert.deepEqual(Buffer.from(await event.data()), content(20_000));
        await consumer.close();
        await producer.close();
      });

      it('says which limit an event is beyond', async () => {
        const producer = topic.producer();
        const tooLarge = { broker: 'MESSAGE_TOO_LARGE', retriable: false };
        await assert.rejects(producer.push({}, content(MAX_REQUEST + 1)), tooLarge);
        await assert.rejects(producer.push({ text: 'x'.repeat(MAX_FRAME) }, content(MIN_BYTES)), tooLarge);
        assert.equal((await producer.push({}, content(MIN_BYTES))).offset, 0n);
        await producer.close();
      });

      it('rejects the pull of an event whose selector or broker is wrong, and goes on', async () => {
        const producer = topic.producer();
        for (let i = 0; i < 7; i++) await producer.push({ i }, content(20_000, i));
        const wrong: unknown[] = ['most', null, { offset: -1, length: 1 }, { offset: 0, length: 20_001 }];
        const consumer = topic.consumer({
          select: (metadata) => {
            const { i } = metadata as { i: number };
            if (i === 4) throw new Error('a selector that fails');
            return i < wrong.length ? (wrong[i] as Selection) : 'all';
          },
          broker: (metadata, _descriptor, bytes) =>
            new Uint8Array((metadata as { i: number }).i === 5 ? bytes - 1 : bytes),
        });
        for (let i = 0; i < 6; i++) await assert.rejects(consumer.pull(PULL), { code: 'INVALID_ARGUMENT' });
        assert.deepEqual(Buffer.from((await consumer.pull(PULL))!.selected!), content(20_000, 6));
        await consumer.close();
        await producer.close();
      });
    });
});

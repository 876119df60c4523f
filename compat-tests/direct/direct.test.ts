import assert from 'node:assert/strict';
import { type Client, type DirectError, type Path, slice, strided } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };

describe('direct API', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway();
  });
  after(() => gateway.broker.stop());

  for (const path of ['tcp', 'shared-memory'] as Path[]) {
    describe(`over ${path}`, () => {
      let client: Client;
      before(async () => {
        client = await gateway.connect({ path });
      });
      after(() => client.close());

      it('pushes and pulls events of all sizes, whole and in order', async () => {
        assert.equal(client.path, path);
        const topic = await client.createTopic(`sizes-${path}`);
        const sizes = [0, 1, 1000, 65_536, 100_000, 1_000_000, 5_000_001, 20_000_000];
        const producer = topic.producer();
        const pushed = await Promise.all(
          sizes.map((size, i) =>
            producer.push({ step: i }, content(size, i), { key: `k${i}`, partition: 0 }),
          ),
        );
        assert.deepEqual(
          pushed.map(({ offset }) => offset),
          sizes.map((_, i) => BigInt(i)),
        );
        assert.equal(producer.path, path);
        await producer.close();
        const consumer = topic.consumer({ select: 'all' });
        const events = await collect(sizes.length, () => consumer.pull(PULL));
        for (const [i, event] of events.entries()) {
          assert.deepEqual(event.metadata, { step: i });
          assert.equal(event.key?.toString(), `k${i}`);
          assert.equal(event.descriptor.size, sizes[i]);
          assert.equal(Buffer.compare(event.selected!, content(sizes[i]!, i)), 0, `event ${i}`);
        }
        await consumer.close();
      });

      it('lands selected parts where the broker says', async () => {
        const topic = await client.createTopic(`selected-${path}`);
        const producer = topic.producer();
        const data = Array.from({ length: 20 }, (_, i) => content(300_000, i));
        for (const [i, bytes] of data.entries()) await producer.push({ step: i, keep: i % 3 === 0 }, bytes);
        const ring = await client.allocate(1_000_000);
        let used = 0;
        const consumer = topic.consumer({
          select: (metadata) => {
            const { step, keep } = metadata as { step: number; keep: boolean };
            if (!keep) return 'none';
            return step % 2 === 0 ? strided(100, 50, 40, 4000) : [slice(200_000, 1000), slice(0, 7)];
          },
          broker: (_metadata, _descriptor, bytes) => {
            used += bytes;
            return ring.bytes.subarray(used - bytes, used);
          },
        });
        for (const [i, bytes] of data.entries()) {
          const event = (await consumer.pull(PULL))!;
          if (i % 3 !== 0) {
            assert.equal(event.selected, null);
            continue;
          }
          const blocks = Array.from({ length: 50 }, (_, k) => bytes.subarray(100 + k * 4000, 140 + k * 4000));
          const expected =
            i % 2 === 0
              ? Buffer.concat(blocks)
              : Buffer.concat([bytes.subarray(200_000, 201_000), bytes.subarray(0, 7)]);
          assert.equal(Buffer.compare(event.selected!, expected), 0, `event ${i}`);
          assert.equal(event.selected!.buffer, ring.bytes.buffer);
        }
        await consumer.close();
        await producer.close();
        ring.release();
      });

      it('keeps the order of large and small events, also where it is not idempotent', async () => {
        const topic = await client.createTopic(`order-${path}`);
        for (const acks of ['all', 1] as const) {
          const producer = topic.producer({ acks, idempotent: false, batchSize: 1 });
          const sizes = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 2_000_000 : 10));
          const pushed = await Promise.all(sizes.map((size, i) => producer.push({ i }, content(size, i))));
          for (const [i, { offset }] of pushed.entries())
            assert.equal(offset, pushed[0]!.offset + BigInt(i), `event ${i} with acks ${acks}`);
          await producer.close();
        }
      });

      it('asks for no more data ahead than it may, and pulls everything', async () => {
        const topic = await client.createTopic(`ahead-${path}`);
        const producer = topic.producer();
        const [count, size, limit] = [40, 300_000, 1_000_000];
        await Promise.all(Array.from({ length: count }, (_, i) => producer.push({ i }, content(size, i))));
        const consumer = topic.consumer({ select: 'all', prefetchDataBytes: limit });
        for (let i = 0; i < count; i++) {
          const event = (await consumer.pull(PULL))!;
          assert.ok(
            consumer.prefetched.dataBytes < limit + size,
            `${consumer.prefetched.dataBytes} are ahead`,
          );
          assert.equal(Buffer.compare(event.selected!, content(size, i)), 0, `event ${i}`);
        }
        await consumer.close();
        await producer.close();
      });

      it('gets data later, many at once', async () => {
        const topic = await client.createTopic(`later-${path}`);
        const producer = topic.producer();
        await Promise.all(
          Array.from({ length: 100 }, (_, i) => producer.push({ i }, content(80_000 + i, i))),
        );
        const consumer = topic.consumer();
        const events = await collect(100, () => consumer.pull(PULL));
        assert.ok(events.every(({ selected, descriptor }) => selected === null && !descriptor.inline));
        const all = await Promise.all(events.map((event) => event.data()));
        for (const [i, bytes] of all.entries())
          assert.equal(Buffer.compare(bytes, content(80_000 + i, i)), 0);
        await assert.rejects(events[0]!.data(slice(80_000, 1)), { code: 'INVALID_ARGUMENT' });
        await consumer.close();
        await producer.close();
      });
    });
  }

  it('makes shared memory when it is used, not when it connects', async () => {
    const attached = async () => {
      const text = await (await fetch(`${gateway.broker.metricsUrl}/metrics`)).text();
      return Number(/^kafabric_direct_region_bytes (\d+)/m.exec(text)![1]);
    };
    await until('clients before are forgotten', 20_000, async () => (await attached()) === 0);
    const client = await gateway.connect({ path: 'shared-memory' });
    assert.equal(await attached(), 0);
    const buffer = await client.allocate(100_000);
    const topic = await client.createTopic('lazy');
    await topic.producer().push({}, buffer.bytes);
    assert.equal(await attached(), 16 << 20);
    client.close();
  });

  it('refuses forms that no client could open', async () => {
    const client = await gateway.connect();
    await assert.rejects(client.createTopic('bare', { serializer: 'json' as never }), {
      code: 'INVALID_ARGUMENT',
      message: /serializer "json" is none; give an object with a type: json, msgpack/,
    });
    await assert.rejects(client.openTopic('bare'), { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
    client.close();
  });

  it('pushes slices of allocated memory', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('allocated');
    const field = await client.allocate(2_000_000);
    field.bytes.set(content(2_000_000, 5));
    const producer = topic.producer();
    const { offset } = await producer.push({ step: 1 }, [
      field.bytes.subarray(10, 500_010),
      field.bytes.subarray(1_000_000),
    ]);
    assert.equal(offset, 0n);
    const consumer = topic.consumer({ select: 'all' });
    const event = (await consumer.pull(PULL))!;
    const expected = Buffer.concat([
      content(2_000_000, 5).subarray(10, 500_010),
      content(2_000_000, 5).subarray(1_000_000),
    ]);
    assert.equal(Buffer.compare(event.selected!, expected), 0);
    await consumer.close();
    field.release();
    client.close();
  });

  it('applies the form of the topic in every client', async () => {
    const client = await gateway.connect();
    const schema = { type: 'record', name: 'Step', fields: [{ name: 'step', type: 'int' }] };
    await client.createTopic('avro', {
      partitions: 4,
      serializer: { type: 'avro', schemas: [schema] },
      partitionSelector: { type: 'field', field: 'step' },
    });
    const other = await gateway.connect();
    const topic = await other.openTopic('avro');
    const producer = topic.producer();
    await assert.rejects(producer.push({ step: 'one' }), { code: 'INVALID_METADATA' });
    const { partition } = await producer.push({ step: 1 });
    assert.equal((await producer.push({ step: 1 })).partition, partition);
    await assert.rejects(topic.evolve({ ...schema, fields: [{ name: 'other', type: 'int' }] }), {
      code: 'INVALID_ARGUMENT',
    });
    await topic.evolve({
      ...schema,
      fields: [...schema.fields, { name: 'name', type: 'string', default: 'none' }],
    });
    const evolved = await other.openTopic('avro');
    await evolved.producer().push({ step: 1, name: 'two' });
    const consumer = evolved.consumer({ partitions: [partition] });
    const seen = await collect(3, () => consumer.pull(PULL));
    assert.deepEqual(
      seen.map(({ metadata }) => ({ ...(metadata as object) })),
      [
        { step: 1, name: 'none' },
        { step: 1, name: 'none' },
        { step: 1, name: 'two' },
      ],
    );
    await consumer.close();
    const strict = await client.createTopic('json-schema', {
      validator: { type: 'json-schema', schema: { type: 'object', required: ['t'] } },
      serializer: { type: 'msgpack' },
    });
    await assert.rejects(strict.producer().push({}), (error: DirectError) => {
      assert.equal(error.code, 'INVALID_METADATA');
      assert.match(error.message, /required property 't'/);
      return true;
    });
    await strict.producer().push({ t: 1.5 });
    for (const one of [client, other]) one.close();
  });

  it('shares partitions among the members of a group, and goes on where it has committed', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('grouped', {
      partitions: 4,
      partitionSelector: { type: 'round-robin' },
    });
    const producer = topic.producer();
    for (let i = 0; i < 40; i++) await producer.push({ i }, content(10, i));
    const options = { groupId: 'g', heartbeatMs: 200, commitEveryMs: 'manual' as const };
    const first = topic.consumer(options);
    const seen = await collect(20, () => first.pull(PULL));
    for (const event of seen) event.acknowledge();
    await first.close();
    const [second, third] = [topic.consumer(options), topic.consumer(options)];
    const all = new Set(seen.map(({ metadata }) => (metadata as { i: number }).i));
    const isShared = () => second.assignment.length === 2 && third.assignment.length === 2;
    const take = async (consumer: typeof second) => {
      while (all.size < 40 || !isShared()) {
        const event = await consumer.pull({ timeoutMs: 500 });
        event?.acknowledge();
        if (event !== null) all.add((event.metadata as { i: number }).i);
      }
    };
    await Promise.all([take(second), take(third)]);
    await second.close();
    await third.close();
    client.close();
  });

  it('loses nothing when a pull times out, and stops at an abort', async () => {
    const client = await gateway.connect();
    const topic = await client.createTopic('patient');
    const consumer = topic.consumer();
    assert.equal(await consumer.pull({ timeoutMs: 50 }), null);
    const controller = new AbortController();
    const waiting = consumer.pull({ signal: controller.signal });
    controller.abort();
    await assert.rejects(waiting, { code: 'ABORTED' });
    const producer = topic.producer();
    for (let i = 0; i < 5; i++) await producer.push({ i });
    const events = await collect(5, () => consumer.pull(PULL));
    assert.deepEqual(
      events.map(({ metadata }) => (metadata as { i: number }).i),
      [0, 1, 2, 3, 4],
    );
    await consumer.close();
    await assert.rejects(consumer.pull(), { code: 'CLOSED' });
    client.close();
  });

  it('says that a listener of the Kafka protocol is not a direct one', async () => {
    await assert.rejects(gateway.connect({ bootstrap: gateway.bootstrap }), { code: 'NOT_DIRECT' });
    await assert.rejects(gateway.connect({ bootstrap: '127.0.0.1:1' }), { code: 'CONNECTION' });
  });
});

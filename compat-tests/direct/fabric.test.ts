import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { type Client, slice, strided } from '../../src/client/index.ts';
import { inspectFabric } from '../../src/native/fabric.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 60_000 };
const PROVIDER = 'tcp;ofi_rxm';
const FABRIC = { path: 'fabric', fabric: { provider: PROVIDER, domain: 'lo' } } as const;

describe('direct API over libfabric', function () {
  if (targetIsKafka) return;
  this.timeout(180_000);
  let gateway: DirectGateway;
  let client: Client;

  before(async function () {
    const { providers } = await inspectFabric('');
    if (!providers.some(({ provider, domain }) => provider === PROVIDER && domain === 'lo')) this.skip();
    gateway = await startDirectGateway({ 'direct.max.regions': '4', 'direct.fabric.timeout.ms': '5000' });
    client = await gateway.connect(FABRIC);
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  /** A number of the gateway's, of the provider if it has one for each. */
  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${gateway.broker.metricsUrl}/metrics`)).text();
    const found = new RegExp(`^kafabric_direct_fabric_${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text);
    return Number(found?.[1] ?? Number.NaN);
  }

  it('pushes and pulls events of all sizes, whole and in order, beside clients of other paths', async () => {
    assert.equal(client.path, 'fabric');
    assert.equal(client.provider, PROVIDER);
    const topic = await client.createTopic('sizes');
    const producer = topic.producer();
    const sizes = [0, 1, 1000, 65_536, 100_000, 1_000_000, 5_000_001, 20_000_000];
    const pushed = await Promise.all(
      sizes.map((size, i) => producer.push({ step: i }, content(size, i), { key: `k${i}`, partition: 0 })),
    );
    assert.deepEqual(
      pushed.map(({ offset }) => offset),
      sizes.map((_, i) => BigInt(i)),
    );
    assert.equal(producer.path, 'fabric');
    const large = sizes.filter((size) => size >= 65_536).reduce((sum, size) => sum + size);
    assert.ok((await metric('read_bytes_total')) >= large);
    await producer.close();
    const tcp = await gateway.connect({ path: 'tcp' });
    const other = (await tcp.openTopic('sizes')).producer();
    await other.push({ step: sizes.length }, content(70_000, sizes.length), { partition: 0 });
    await other.close();
    for (const reader of [client, tcp]) {
      const consumer = (await reader.openTopic('sizes')).consumer({ select: 'all' });
      for (const [i, size] of [...sizes, 70_000].entries()) {
        const event = (await consumer.pull(PULL))!;
        assert.deepEqual(event.metadata, { step: i });
        assert.equal(event.descriptor.size, size);
        assert.equal(Buffer.compare(event.selected!, content(size, i)), 0, `event ${i} over ${reader.path}`);
      }
      await consumer.close();
    }
    assert.ok((await metric('written_bytes_total')) >= large);
    tcp.close();
  });

  it('lands selected parts in memory that was allocated, and takes pushes from it', async () => {
    const topic = await client.createTopic('selected');
    const producer = topic.producer();
    const field = await client.allocate(20 * 300_000);
    const data = Array.from({ length: 20 }, (_, i) => content(300_000, i));
    await Promise.all(
      data.map((bytes, i) => {
        const place = field.bytes.subarray(i * 300_000, (i + 1) * 300_000);
        place.set(bytes);
        return producer.push({ step: i }, [place.subarray(0, 100_001), place.subarray(100_001)]);
      }),
    );
    await producer.close();
    field.release();
    const ring = await client.allocate(1_000_000);
    let used = 0;
    const consumer = topic.consumer({
      select: (metadata) =>
        (metadata as { step: number }).step % 2 === 0
          ? strided(100, 50, 40, 4000)
          : [slice(200_000, 1000), slice(0, 7)],
      broker: (_metadata, _descriptor, bytes) => {
        used += bytes;
        return ring.bytes.subarray(used - bytes, used);
      },
    });
    const events = await collect(data.length, () => consumer.pull(PULL));
    for (const [i, bytes] of data.entries()) {
      const blocks = Array.from({ length: 50 }, (_, k) => bytes.subarray(100 + k * 4000, 140 + k * 4000));
      const parts =
        i % 2 === 0
          ? Buffer.concat(blocks)
          : Buffer.concat([bytes.subarray(200_000, 201_000), bytes.subarray(0, 7)]);
      assert.equal(Buffer.compare(events[i]!.selected!, parts), 0, `event ${i}`);
      assert.equal(events[i]!.selected!.buffer, ring.bytes.buffer);
    }
    const all = await Promise.all(events.map((event) => event.data()));
    for (const [i, bytes] of all.entries()) assert.equal(Buffer.compare(bytes, data[i]!), 0, `all of ${i}`);
    await consumer.close();
    ring.release();
  });

  it('is refused where it cannot be had, and never taken unasked without RDMA', async () => {
    await assert.rejects(
      gateway.connect({ path: 'fabric', fabric: { provider: 'cxi' } }),
      /cxi cannot be had here/,
    );
    await assert.rejects(
      gateway.connect({ path: 'fabric', fabric: { provider: 'shm' } }),
      /shm cannot be had here/,
    );
    await assert.rejects(
      gateway.connect({ ...FABRIC, fabric: { provider: PROVIDER, domain: 'none' } }),
      /fabric\.domain=none is not available/,
    );
    await assert.rejects(
      gateway.connect({ ...FABRIC, fabric: { provider: PROVIDER, library: '/nowhere/libfabric.so' } }),
      { code: 'CONNECTION' },
    );
    const plain = await startDirectGateway({
      'direct.fabric.enable': 'false',
      'direct.shared.memory.enable': 'false',
    });
    try {
      await assert.rejects(plain.connect(FABRIC), /direct\.fabric\.enable is false/);
      const usual = await plain.connect();
      assert.equal(usual.path, 'tcp');
      assert.equal(usual.provider, null);
      usual.close();
    } finally {
      await plain.broker.stop();
    }
  });

  for (const what of ['push', 'pull'])
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const)
      it(`serves the others when a client gets ${signal} in the middle of a ${what}`, async () => {
        const name = `${what}-${signal}`;
        const topic = await client.createTopic(name, { configs: { 'max.message.bytes': '100000000' } });
        const producer = topic.producer();
        if (what === 'pull') await producer.push({ of: 'parent' }, content(20_000_000, 1));
        const before = await metric('attachments');
        const script = fileURLToPath(new URL('./fabric.child.js', import.meta.url));
        const child = new Child([process.execPath, script, gateway.direct, PROVIDER, what, name]);
        try {
          await until('the client is at it', 60_000, () => {
            if (!child.running) throw new Error(`the client ended: ${child.output}`);
            return child.output.includes('at it');
          });
          child.process.kill(signal);
          for (let i = 0; i < 10; i++) await producer.push({ of: 'parent' }, content(1_000_000, i));
        } finally {
          await child.kill('SIGKILL');
        }
        await until('the client is let go of', 60_000, async () => (await metric('attachments')) <= before);
        await producer.close();
        const end = (await topic.producer().push({ of: 'parent', last: true }, content(10, 0))).offset;
        const consumer = topic.consumer({ select: 'all' });
        for (let offset = -1n; offset < end; ) {
          const event = (await consumer.pull(PULL))!;
          ({ offset } = event);
        }
        await consumer.close();
      });

  it('goes on after a restart of the gateway, without loss or duplicates', async () => {
    const topic = await client.createTopic('restarted');
    const producer = topic.producer();
    const pushes = Array.from({ length: 30 }, (_, i) =>
      producer.push({ i }, content(200_000, i), { partition: 0 }),
    );
    await pushes[5];
    await gateway.broker.kill('SIGKILL');
    await gateway.broker.start();
    await Promise.all(pushes);
    await producer.close();
    const consumer = topic.consumer({ select: 'all' });
    const events = await collect(pushes.length, () => consumer.pull(PULL));
    for (const [i, event] of events.entries()) {
      assert.deepEqual(event.metadata, { i });
      assert.equal(Buffer.compare(event.selected!, content(200_000, i)), 0);
    }
    assert.equal(await consumer.pull({ timeoutMs: 200 }), null);
    await consumer.close();
  });
});

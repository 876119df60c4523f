import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { type Client, slice, strided } from '../../src/client/index.ts';
import { createSharedBuffer } from '../../src/native/direct.ts';
import { inspectFabric } from '../../src/native/fabric.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { RawFabric } from './fabric.raw.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 60_000 };
const PROVIDER = 'tcp;ofi_rxm';
/** Its tcp frees what it reads to twice when the connection ends in the middle of a read, and crashes now and then. */
const FREES_TWICE = '1.17';
const { providers, version } = await inspectFabric('');
const FABRIC = { path: 'fabric', fabric: { provider: PROVIDER, domain: 'lo' } } as const;

const isHere = providers.some(({ provider, domain }) => provider === PROVIDER && domain === 'lo');

describe('direct API over libfabric', () => {
  if (targetIsKafka || !isHere) return;
  let gateway: DirectGateway;
  let client: Client;

  before(async () => {
    gateway = await startDirectGateway({
      'fabric.provider': PROVIDER,
      'direct.max.regions': '4',
      'direct.fabric.timeout.ms': '2000',
    });
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

  /** Runs a client that is at it until `done`. */
  async function beside(what: string, topic: string, done: (child: Child) => Promise<void>): Promise<void> {
    const script = fileURLToPath(new URL('./mover.child.js', import.meta.url));
    const child = new Child([process.execPath, script, gateway.direct, JSON.stringify(FABRIC), what, topic]);
    try {
      await until('the client is at it', 60_000, () => {
        if (!child.running) throw new Error(`the client ended: ${child.output}`);
        return child.output.includes('at it');
      });
      await done(child);
    } finally {
      await child.kill('SIGKILL');
    }
  }

  /** A topic with an event for a client to pull, and what the others do meanwhile and afterwards. */
  async function besideOthers(
    what: string,
    name: string,
    done: (child: Child, push: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    // What it does is not read over the fabric either, where that would be dangerous.
    const other = await gateway.connect({
      path: version === FREES_TWICE ? 'tcp' : FABRIC.path,
      fabric: FABRIC.fabric,
    });
    const topic = await other.createTopic(name, { configs: { 'max.message.bytes': '100000000' } });
    const producer = topic.producer();
    await producer.push({ of: 'parent' }, content(20_000_000, 1));
    const before = await metric('attachments');
    await beside(what, name, (child) =>
      done(child, () => producer.push({ of: 'parent' }, content(1_000_000, 7))),
    );
    await until('the client is let go of', 60_000, async () => (await metric('attachments')) <= before);
    const end = (await producer.push({ of: 'parent' }, content(1_000_000, 7))).offset;
    await producer.close();
    other.close();
    const consumer = (await client.openTopic(name)).consumer({ select: 'all' });
    for (let offset = -1n; offset < end; ) {
      const event = (await consumer.pull(PULL))!;
      ({ offset } = event);
      // What is there of the other client is whole.
      const { size } = event.descriptor;
      const isChilds = (event.metadata as { of: string }).of === 'child';
      const expected = isChilds ? Buffer.alloc(size, 3) : content(size, size > 1_000_000 ? 1 : 7);
      assert.equal(Buffer.compare(event.selected!, expected), 0);
    }
    await consumer.close();
  }

  for (const what of ['push', 'pull']) {
    // Left out where the library crashes at it.
    if (what === 'push' && version === FREES_TWICE) continue;

    it(`serves the others when a client is killed in the middle of a ${what}`, async () => {
      await besideOthers(what, `killed-${what}`, async (child, push) => {
        const pushed = Promise.all(Array.from({ length: 5 }, push));
        await child.kill('SIGKILL');
        await pushed;
        await push();
      });
    });

    it(`lets go of a client that stops in the middle of a ${what}, and serves the others`, async () => {
      await besideOthers(`${what}-and-stop`, `stopped-${what}`, async (_child, push) => {
        const failures = await metric('failures_total');
        await push();
        await until(
          'the transfer has failed',
          60_000,
          async () => (await metric('failures_total')) > failures,
        );
        await push();
      });
    });
  }

  it('refuses memory that was not published, and lets go of whose memory is not what it says', async () => {
    const topic = await client.createTopic('wrong');
    const producer = topic.producer();
    await producer.push({}, content(100_000, 1));
    await producer.close();
    const consumer = topic.consumer();
    const event = (await consumer.pull(PULL))!;
    assert.equal(event.descriptor.inline, false);
    const raw = await RawFabric.open(gateway.direct);
    try {
      const shared = await createSharedBuffer(1 << 20);
      assert.equal(await raw.path.publish(shared), 0);
      assert.match(await raw.put(topic.id, 0, 0, 100), /CRC|crc|corrupt/i, 'the descriptor is right');
      for (const [region, offset, length] of [
        [1, 0, 100],
        [-1, 0, 100],
        [0, 1 << 20, 1],
        [0, -1, 100],
        [0, 0, (1 << 20) + 1],
      ] as const)
        assert.match(await raw.put(topic.id, region, offset, length), /not in memory that was attached/);
      const region = (name: number, bytes: bigint, address = 0n) => ({
        region: name,
        address,
        key: 5n,
        bytes,
      });
      for (const [wrong, why] of [
        [region(0, 1n), /impossible name/],
        [region(-1, 1n), /impossible name/],
        [region(1, 0n), /direct\.max\.region\.bytes/],
        [region(1, 1n << 50n), /direct\.max\.region\.bytes/],
        [region(1, 4096n, -1n), /ends beyond the end of memory/],
      ] as const)
        assert.match(await raw.publish([wrong]), why);
      assert.match(
        await raw.publish([1, 2, 3, 4].map((name) => region(name, 4096n))),
        /direct\.max\.regions/,
      );
      assert.match(await raw.step('{"type":"ping"}'), /attached already/);
      // It says that it has a key which it has not.
      assert.match(await raw.put(topic.id, 1, 0, 100), /cannot be read over tcp;ofi_rxm/);
      assert.match(await raw.put(topic.id, 0, 0, 100), /cannot be read over tcp;ofi_rxm/, 'it is detached');
      assert.equal(Buffer.compare(await event.data(), content(100_000, 1)), 0, 'others are served');
    } finally {
      raw.connection.close();
    }
    await consumer.close();
  });

  it('refuses clients that say nonsense while they attach', async () => {
    for (const [nonsense, answer] of [
      ['{', /no JSON/],
      ['{"type":"ready","round":0}', /impossible message/],
      ['{"type":"unable","round":0,"reason":"no"}', /must begin with an offer/],
      [JSON.stringify({ type: 'offer', version: 2, host: '', ways: [] }), /speaks version 2/],
      [JSON.stringify({ type: 'offer', version: 1, host: '', ways: [] }), /no way in common/],
    ] as const) {
      const raw = await RawFabric.connect(gateway.direct);
      assert.match(await raw.step(nonsense), answer);
      raw.connection.close();
    }
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

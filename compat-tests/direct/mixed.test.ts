import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Client, METADATA_HEADER, slice, strided } from '../../src/client/index.ts';
import { apiVersionsRequest } from '../../src/protocol/generated/api-versions-request.ts';
import { apiVersionsResponse } from '../../src/protocol/generated/api-versions-response.ts';
import { directAttachRequest } from '../../src/protocol/generated/direct-attach-request.ts';
import { directAttachResponse } from '../../src/protocol/generated/direct-attach-response.ts';
import { directGetRequest } from '../../src/protocol/generated/direct-get-request.ts';
import { directGetResponse } from '../../src/protocol/generated/direct-get-response.ts';
import { directPutRequest } from '../../src/protocol/generated/direct-put-request.ts';
import { directPutResponse } from '../../src/protocol/generated/direct-put-response.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import {
  clientKinds,
  type Client as KafkaClient,
  missing,
  requireToolchain,
  startClient,
} from '../harness/client.ts';
import { readMetric } from '../harness/metrics.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { digest, makeValue, recordOf } from '../harness/payload.ts';
import { WireClient } from '../harness/wire-client.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };
/** Of one that is signed. */
const REFERENCE_BYTES = 144;
const SIZES = [-1, 0, 100, 70_000, 1_000_000];

describe('direct and plain clients on one topic', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let helper: KafkaClient;
  const plainClients: KafkaClient[] = [];
  const helperKind = clientKinds.find(({ name }) => name === 'franz-go')!;

  /** Not those that other suites share: they are of other brokers. */
  function plainClient(kind: typeof helperKind, bootstrap: string): KafkaClient {
    const started = startClient(kind, bootstrap);
    plainClients.push(started);
    return started;
  }

  before(async function () {
    requireToolchain(this, helperKind.setup);
    gateway = await startDirectGateway({ 'direct.max.regions': '2' });
    client = await gateway.connect();
    helper = plainClient(helperKind, gateway.bootstrap);
  });
  after(async () => {
    await Promise.all(plainClients.map((plain) => plain.stop()));
    client?.close();
    await gateway?.broker.stop();
  });

  async function fill(topic: string, codec: string): Promise<void> {
    const records = SIZES.map((size, seed) => recordOf(`k${seed}`, size, seed));
    for (const record of records)
      await helper.call('produce', { topic, partition: 0, codec, acks: -1, records: [record] });
  }

  for (const codec of ['none', 'gzip', 'lz4', 'zstd']) {
    it(`pulls parts of what a plain producer wrote (${codec})`, async () => {
      const name = `plain-${codec}`;
      await helper.call('create', { topic: name, partitions: 1, configs: {} });
      await fill(name, codec);
      const topic = await client.openTopic(name);
      const consumer = topic.consumer();
      for (const [seed, size] of SIZES.entries()) {
        const event = (await consumer.pull(PULL))!;
        assert.equal(event.metadata, null);
        assert.equal(event.key?.toString(), `k${seed}`);
        if (size < 1000) continue;
        const value = makeValue(size, seed);
        assert.equal(digest(await event.data()), digest(value));
        assert.deepEqual(Buffer.from(await event.data(slice(10_000, 100))), value.subarray(10_000, 10_100));
        const blocks = [0, 1, 2].map((i) => value.subarray(7 + i * 9000, 12 + i * 9000));
        assert.deepEqual(Buffer.from(await event.data(strided(7, 3, 5, 9000))), Buffer.concat(blocks));
      }
      await consumer.close();
    });
  }

  for (const kind of clientKinds) {
    it(`${kind.name} reads what a direct producer pushed`, async function () {
      requireToolchain(this, kind.setup);
      const plain = plainClient(kind, gateway.bootstrap);
      const name = `pushed-${kind.name}`;
      const topic = await client.createTopic(name);
      const producer = topic.producer();
      const sizes = [0, 100, 70_000, 1_000_000, 5_000_000];
      for (const [i, size] of sizes.entries()) await producer.push({ i }, content(size, i), { key: `k${i}` });
      const seen = await plain.call('consume', { topics: [{ topic: name, ends: [sizes.length] }] });
      assert.deepEqual(
        seen.map(({ key, digest: found }) => [key, found]),
        sizes.map((size, i) => [`k${i}`, digest(content(size, i))]),
      );
      assert.deepEqual(seen[0]!.headers, [[METADATA_HEADER, '{"i":0}']]);
    });
  }

  for (const kind of clientKinds) {
    it(`direct consumers read what ${kind.name} wrote`, async function () {
      requireToolchain(this, kind.setup);
      const plain = plainClient(kind, gateway.bootstrap);
      const name = `written-${kind.name}`;
      const topic = await client.createTopic(name);
      const sizes = [1, 100, 70_000, 1_000_000, 3_000_000];
      const records = sizes.map((size, seed) => recordOf(`k${seed}`, size, seed));
      await plain.call('produce', { topic: name, partition: 0, codec: 'none', acks: -1, records });
      const consumer = topic.consumer({ select: 'all' });
      const events = await collect(sizes.length, () => consumer.pull(PULL));
      for (const [seed, event] of events.entries()) {
        assert.equal(event.key?.toString(), `k${seed}`);
        assert.equal(digest(event.selected!), digest(makeValue(sizes[seed]!, seed)));
      }
      await consumer.close();
    });
  }

  it('are all read by all', async () => {
    const name = 'everybody';
    const topic = await client.createTopic(name);
    const producer = topic.producer();
    const kinds = clientKinds.filter(({ setup }) => missing(setup) === null);
    const plain = kinds.map((kind) => plainClient(kind, gateway.bootstrap));
    const expected: string[] = [];
    for (const [i, one] of plain.entries()) {
      const sizes = [200 + i, 150_000 + i];
      const records = sizes.map((size) => recordOf('k', size, i));
      await one.call('produce', { topic: name, partition: 0, codec: 'none', acks: -1, records });
      for (const size of sizes) await producer.push({ i }, content(size, i));
      expected.push(...sizes.map((size) => digest(makeValue(size, i))));
      expected.push(...sizes.map((size) => digest(content(size, i))));
    }
    await producer.close();
    for (const [i, one] of plain.entries()) {
      const seen = await one.call('consume', { topics: [{ topic: name, ends: [expected.length] }] });
      assert.deepEqual(
        seen.map((record) => record.digest),
        expected,
        kinds[i]!.name,
      );
    }
    const consumer = topic.consumer({ select: 'all' });
    const events = await collect(expected.length, () => consumer.pull(PULL));
    assert.deepEqual(
      events.map(({ selected }) => digest(selected!)),
      expected,
    );
    await consumer.close();
  });

  for (const path of ['shared-memory', 'tcp']) {
    it(`does not wait for a client that stalls (${path})`, async () => {
      const name = `stalled-${path}`;
      const topic = await client.createTopic(name);
      const producer = topic.producer();
      const push = (i: number) => producer.push({ i }, content(1_000_000, i));
      await Promise.all(Array.from({ length: 40 }, (_, i) => push(i)));
      const args = ['consume', name, '--bootstrap', gateway.direct, '--select', 'all', '--path', path];
      const guest = spawn(process.execPath, [gatewayProgram, ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(guest, 'exit');
      try {
        // Much of what it asked for is under way.
        await once(guest.stdout, 'data');
        guest.kill('SIGSTOP');
        await Promise.all(Array.from({ length: 10 }, (_, i) => push(40 + i)));
        const consumer = topic.consumer({ select: 'all' });
        const events = await collect(50, () => consumer.pull(PULL));
        for (const [i, { selected }] of events.entries())
          assert.equal(Buffer.compare(selected!, content(1_000_000, i)), 0, `event ${i}`);
        await consumer.close();
      } finally {
        guest.kill('SIGKILL');
        await ended;
      }
      await producer.close();
    });
  }

  for (const kind of clientKinds) {
    it(`${kind.name} sees keys, headers and references at the direct listener`, async function () {
      requireToolchain(this, kind.setup);
      const name = `metadata-only-${kind.name}`;
      const producer = (await client.createTopic(name)).producer();
      await producer.push({ t: 1 }, content(2_000_000), { key: 'a' });
      await producer.push({ t: 2 }, content(10), { key: 'b' });
      await producer.close();
      const plain = plainClient(kind, gateway.direct);
      const seen = await plain.call('consume', { topics: [{ topic: name, ends: [2] }] });
      assert.deepEqual(
        seen.map(({ key, size, headers }) => [key, size, headers[0]]),
        [
          ['a', REFERENCE_BYTES, [METADATA_HEADER, '{"t":1}']],
          ['b', 10, [METADATA_HEADER, '{"t":2}']],
        ],
      );
    });
  }

  it('announces its own APIs on the direct listener alone', async () => {
    for (const [address, expected] of [
      [gateway.direct, [16384, 16385, 16386, 16387, 16388, 16389, 16390]],
      [gateway.bootstrap, []],
    ] as const) {
      const wire = await WireClient.connect(address);
      const request = { clientSoftwareName: 'test', clientSoftwareVersion: '1' };
      const { apiKeys } = await wire.call([apiVersionsRequest, apiVersionsResponse], 3, request);
      assert.deepEqual(
        apiKeys.map(({ apiKey }) => apiKey).filter((key) => key >= 16384),
        expected,
      );
      wire.close();
    }
  });

  it('refuses descriptors of memory that was not attached, and forged references', async () => {
    const topic = await client.createTopic('refusals');
    await topic.producer().push({}, content(100_000));
    const wire = await WireClient.connect(gateway.direct);
    const attach = [directAttachRequest, directAttachResponse] as const;
    const get = [directGetRequest, directGetResponse] as const;
    const put = [directPutRequest, directPutResponse] as const;
    const attached = await wire.call(attach, 0, { transports: ['carrier-pigeon', 'shared-memory'] });
    assert.equal(attached.transport, 'shared-memory');
    assert.match(
      (await wire.call(attach, 0, { transports: ['x'] })).errorMessage!,
      /shared-memory and inline/,
    );
    const item = (reference: Uint8Array) => ({ reference, ranges: [], region: -1, targetOffset: 0n });
    const forged = await wire.call(get, 0, {
      attachmentId: 0n,
      items: [item(randomBytes(144)), item(randomBytes(10)), item(new Uint8Array(0))],
    });
    assert.ok(forged.items.every(({ errorCode, length }) => errorCode !== 0 && length === 0));
    assert.notEqual((await wire.call(get, 0, { attachmentId: 77n, items: [] })).errorCode, 0);
    for (const data of [
      { at: 61, region: 5, offset: 0n, length: 10 },
      { at: 61, region: -1, offset: -5n, length: -1 },
      { at: 3, region: 0, offset: 0n, length: 0 },
      { at: 1000, region: 0, offset: 0n, length: 0 },
    ]) {
      const partitions = [{ index: 0, batch: new Uint8Array(70), data: [data] }];
      const answer = await wire.call(put, 0, {
        attachmentId: attached.attachmentId,
        acks: -1,
        timeoutMs: 1000,
        topics: [{ topicId: topic.id, partitions }],
      });
      assert.notEqual(answer.errorCode, 0);
    }
    wire.close();
    const consumer = topic.consumer({ select: 'all' });
    assert.equal((await consumer.pull(PULL))!.selected!.byteLength, 100_000);
    await consumer.close();
  });

  it('does not mind clients that vanish in the middle of puts and gets', async () => {
    const topic = await client.createTopic('vanishing');
    for (let round = 0; round < 8; round++) {
      const guest = await gateway.connect(round % 2 === 0 ? {} : { path: 'tcp' });
      const theirs = await guest.openTopic('vanishing');
      const producer = theirs.producer({ deliveryTimeoutMs: 1 });
      const pushes = Array.from({ length: 10 }, (_, i) => producer.push({ round, i }, content(1_000_000, i)));
      const settled = Promise.allSettled(pushes);
      const consumer = theirs.consumer({ select: 'all' });
      const pulled = consumer.pull({ timeoutMs: 2000 }).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, round * 4));
      guest.close();
      await Promise.all([settled, pulled]);
    }
    const { offset } = await topic.producer().push({ last: true }, content(200_000, 99));
    const consumer = topic.consumer({ select: 'all' });
    const events = await collect(Number(offset) + 1, () => consumer.pull(PULL));
    for (const { metadata, selected } of events) {
      const { i, last } = metadata as { i: number; last?: boolean };
      const expected = last ? content(200_000, 99) : content(1_000_000, i);
      assert.equal(Buffer.compare(selected!, expected), 0);
    }
    await consumer.close();
  });

  it('frees what clients held', async () => {
    // This client has three connections over which data moves: to whom it asked first, and to whom leads the partitions, each way.
    await until('nothing of others is attached', 10_000, async () => {
      return (await readMetric(gateway.broker.metricsUrl!, 'kafabric_direct_attachments')) <= 3;
    });
  });
});

describe('direct clients and a gateway that is started again', () => {
  if (targetIsKafka) return;

  it('go on where they were, with nothing twice and nothing lost', async () => {
    const gateway = await startDirectGateway();
    const client = await gateway.connect();
    const topic = await client.createTopic('again');
    const producer = topic.producer();
    const consumer = topic.consumer({ select: 'all' });
    const pushes: Promise<unknown>[] = [];
    const pushing = (async () => {
      for (let i = 0; i < 60; i++) {
        pushes.push(producer.push({ i }, content(200_000, i)));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await gateway.broker.kill('SIGKILL');
    await gateway.broker.start();
    await pushing;
    await Promise.all(pushes);
    const events = await collect(60, () => consumer.pull(PULL));
    for (const [i, { metadata, selected }] of events.entries()) {
      assert.deepEqual(metadata, { i });
      assert.equal(Buffer.compare(selected!, content(200_000, i)), 0, `event ${i}`);
    }
    assert.equal(await consumer.pull({ timeoutMs: 200 }), null);
    await consumer.close();
    await producer.close();
    client.close();
    await gateway.broker.stop();
  });
});

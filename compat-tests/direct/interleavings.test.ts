import assert from 'node:assert/strict';
import type { Client, TopicHandle } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, until } from '../harness/child.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };

describe('calls of the direct API that are under way at the same time', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let topic: TopicHandle;
  let empty: TopicHandle;

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    topic = await client.createTopic('events');
    empty = await client.createTopic('empty');
    const producer = topic.producer();
    for (let i = 0; i < 10; i++) await producer.push({ i }, content(1000, i));
    await producer.close();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  const membersOf = async (group: string): Promise<number> => {
    const all = await client.groups.list();
    const isThere = all.some(({ groupId }) => groupId === group);
    return isThere ? (await client.groups.describe(group)).members.length : 0;
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms * patience));

  it('a pull ends when its time is up or its signal says so, behind one that waits for longer', async () => {
    const consumer = empty.consumer();
    const first = consumer.pull({ timeoutMs: 5_000 * patience });
    const begin = performance.now();
    const signal = AbortSignal.timeout(100);
    const aborted = assert.rejects(consumer.pull({ signal }), { code: 'ABORTED' });
    assert.equal(await consumer.pull({ timeoutMs: 100 }), null);
    await aborted;
    assert.ok(performance.now() - begin < 3_000 * patience, 'it waited for the first');
    const third = consumer.pull(PULL);
    const producer = empty.producer();
    await producer.push({ n: 1 });
    await producer.push({ n: 2 });
    assert.deepEqual(
      [(await first)?.metadata, (await third)?.metadata],
      [{ n: 1 }, { n: 2 }],
      'in their order',
    );
    await consumer.close();
  });

  it('a consumer that is closed before it has joined its group is no member of it', async () => {
    const never = topic.consumer({ groupId: 'closed-before' });
    await never.close();
    await assert.rejects(never.pull(PULL), { code: 'CLOSED' });
    await pause(300);
    assert.equal(await membersOf('closed-before'), 0, 'pulled when it was closed');
    for (let turns = 0; turns < 8; turns++) {
      const other = await gateway.connect();
      const options = { groupId: `closed-${turns}`, sessionTimeoutMs: 600_000 };
      const consumer = (await other.openTopic('events')).consumer(options);
      const pulled = consumer.pull(PULL).catch(() => null);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      await consumer.close();
      await pulled;
      await pause(100);
      await until('leaving', 5_000, async () => (await membersOf(options.groupId)) === 0);
      other.close();
    }
  });

  it('a consumer that is closed hands nothing out while its commit is under way', async () => {
    const consumer = topic.consumer({ groupId: 'closed-while-committing' });
    (await consumer.pull(PULL))!.acknowledge();
    assert.ok(consumer.prefetched.events > 0);
    const closing = consumer.close();
    await assert.rejects(consumer.pull(PULL), { code: 'CLOSED' });
    await consumer.close();
    assert.equal(await membersOf('closed-while-committing'), 0, 'closed twice');
    await closing;
    const { partitions } = await client.groups.describe('closed-while-committing');
    assert.equal(partitions[0]?.lag, 9n);
  });

  it('a member hands nothing out while it commits, of partitions that are about to be others’', async () => {
    const options = { groupId: 'handed-over', heartbeatMs: 100, commitEveryMs: 'manual' } as const;
    const first = topic.consumer(options);
    const [event, late] = await collect(2, () => first.pull(PULL));
    event!.acknowledge();
    const commit = first.commit.bind(first);
    let handedOut: unknown;
    first.commit = async () => {
      first.commit = commit;
      handedOut = await first.pull({ timeoutMs: 300 });
      const committing = commit();
      late!.acknowledge();
      await committing;
    };
    const second = topic.consumer(options);
    const pulled = second.pull(PULL).catch(() => null);
    await until('committed', 20_000 * patience, async () => handedOut !== undefined);
    assert.equal(handedOut, null);
    for (const one of [first, second]) await one.close();
    await pulled;
    const { partitions } = await client.groups.describe('handed-over');
    assert.equal(partitions[0]?.committed, 2n);
  });

  it('a consumer whose client is closed commits no more', async () => {
    const other = await gateway.connect();
    const consumer = (await other.openTopic('events')).consumer({ groupId: 'gone', commitEveryMs: 10 });
    await consumer.pull(PULL);
    let commits = 0;
    consumer.commit = async () => {
      commits++;
    };
    await until('commits', 5_000, async () => commits > 0);
    other.close();
    commits = 0;
    await pause(200);
    assert.equal(commits, 0);
  });

  it('rewinds lose nothing, whatever is under way', async () => {
    for (const options of [{}, { groupId: 'rewound' }]) {
      const consumer = topic.consumer(options);
      const first = consumer.pull(PULL);
      await consumer.rewind();
      assert.deepEqual((await first)?.metadata, { i: 0 });
      await Promise.all([consumer.rewind(), consumer.rewind()]);
      assert.deepEqual((await consumer.pull(PULL))?.metadata, { i: 0 });
      await consumer.close();
    }
  });

  it('a member that subscribes twice at the same time is one member', async () => {
    const consumer = topic.consumer({ groupId: 'twice' });
    await consumer.pull(PULL);
    await Promise.all([consumer.subscribe(['empty']), consumer.subscribe(['events'])]);
    assert.equal((await consumer.pull(PULL))?.topic, 'events');
    assert.equal(await membersOf('twice'), 1);
    await consumer.close();
    assert.equal(await membersOf('twice'), 0);
  });

  it('a push that comes too late for a transaction is no part of the next', async () => {
    const results = await client.createTopic('results');
    const producer = results.producer({ transactionalId: 'late' });
    const first = await producer.beginTransaction();
    await first.push({ n: 1 });
    const committed = first.commit();
    await new Promise((resolve) => setImmediate(resolve));
    await assert.rejects(first.push({ n: 2 }), { code: 'INVALID_ARGUMENT' });
    await committed;
    await producer.transaction(async (tx) => {
      await tx.push({ n: 3 });
    });
    const second = producer.beginTransaction();
    await (await second).abort();
    await producer.close();
    const early = results.producer({ transactionalId: 'early' });
    const beginning = early.beginTransaction();
    await assert.rejects(early.push({ n: 4 }), { code: 'INVALID_ARGUMENT' });
    const third = await beginning;
    await third.push({ n: 5 });
    await third.commit();
    const consumer = results.consumer();
    const events = await collect(3, () => consumer.pull(PULL));
    assert.deepEqual(
      events.map(({ metadata }) => (metadata as { n: number }).n),
      [1, 3, 5],
    );
    await consumer.close();
  });

  it('a producer that is closed while it commits has committed', async () => {
    const results = await client.createTopic('closed-meanwhile');
    const producer = results.producer({ transactionalId: 'closed-meanwhile' });
    const transaction = await producer.beginTransaction();
    void transaction.push({ n: 1 });
    const committed = transaction.commit();
    await producer.close();
    await committed;
    const consumer = results.consumer();
    assert.deepEqual((await consumer.pull(PULL))?.metadata, { n: 1 });
    await consumer.close();
  });

  it('a transaction that has ended has no part in the next, however it ended', async () => {
    const results = await client.createTopic('ended');
    const producer = results.producer({ transactionalId: 'ended' });
    const ended = await producer.beginTransaction();
    await ended.push({ n: 1 });
    await ended.abort();
    await producer.transaction(async (tx) => {
      await tx.push({ n: 2 });
      // As work that goes on when another part of it has failed.
      await assert.rejects(ended.push({ n: 3 }), { code: 'INVALID_ARGUMENT' });
      await assert.rejects(ended.commit(), { code: 'INVALID_ARGUMENT' });
      await assert.rejects(ended.abort(), { code: 'INVALID_ARGUMENT' });
      await tx.push({ n: 4 });
    });
    const consumer = results.consumer();
    const events = await collect(2, () => consumer.pull(PULL));
    assert.deepEqual(
      events.map(({ metadata }) => (metadata as { n: number }).n),
      [2, 4],
    );
    assert.equal(await consumer.pull({ timeoutMs: 500 }), null);
    for (const one of [producer, consumer]) await one.close();
  });

  it('pushes keep their order when one that others wait for is taken back', async () => {
    const ordered = await client.createTopic('ordered');
    const producer = ordered.producer({ maxBufferedBytes: 10_000, lingerMs: 200 });
    const stop = new AbortController();
    const taken = producer.push({ n: 1 }, content(6000), { signal: stop.signal });
    const waiting = producer.push({ n: 2 }, content(6000));
    const refused = assert.rejects(taken, { code: 'ABORTED' });
    stop.abort();
    const later = producer.push({ n: 3 }, content(1000));
    await refused;
    const [second, third] = await Promise.all([waiting, later]);
    assert.ok(second.offset < third.offset, `${second.offset}, ${third.offset}`);
    await producer.close();
  });

  it('pushes that wait for room do not wait for what lingers', async () => {
    const lingering = await client.createTopic('lingering', { partitions: 2 });
    const producer = lingering.producer({ maxBufferedBytes: 10_000, lingerMs: 60_000, maxBlockMs: 5_000 });
    const pushed = Array.from({ length: 10 }, (_, n) => producer.push({ n }, content(3_000)));
    await Promise.all(pushed.slice(0, 7));
    await producer.close();
    await Promise.all(pushed);
  });

  it('has of each push what it was given, however soon the memory is used again, data aside', async () => {
    const scratch = Buffer.alloc(4);
    const into = (n: number) => {
      scratch.writeInt32LE(n);
      return scratch;
    };
    const reuses = {
      serialize: (n: unknown) => into(n as number),
      deserialize: (bytes: Uint8Array) => bytes[0],
    };
    const other = await gateway.connect({ custom: { serializers: { reuses } } });
    for (const serializer of [{ type: 'raw' }, { type: 'custom', name: 'reuses' }] as const) {
      const reused = await other.createTopic(`reused-${serializer.type}`, { serializer });
      const producer = reused.producer();
      for (let n = 0; n < 5; n++) {
        const bytes = into(n);
        const metadata = serializer.type === 'raw' ? bytes : n;
        void producer.push(metadata, content(10), { key: bytes, headers: { n: bytes } });
      }
      await producer.close();
      const consumer = reused.consumer();
      const events = await collect(5, () => consumer.pull(PULL));
      for (const [n, { metadata, key, headers }] of events.entries()) {
        const read = typeof metadata === 'number' ? metadata : (metadata as Uint8Array)[0];
        assert.deepEqual([read, key?.[0], headers[0]?.value?.[0]], [n, n, n]);
      }
      await consumer.close();
    }
    other.close();
  });

  it('times that are longer than any timer are waited for', async () => {
    const warnings: string[] = [];
    const note = ({ name, message }: Error) => warnings.push(`${name}: ${message}`);
    process.on('warning', note);
    try {
      const connectTimeoutMs = 2 ** 40;
      const other = await gateway.connect({ connectTimeoutMs });
      const long = await other.createTopic('long');
      const producer = long.producer({ lingerMs: Number.POSITIVE_INFINITY });
      const pushed = producer.push({ n: 1 });
      assert.equal(await Promise.race([pushed, pause(100)]), undefined, 'it was not flushed');
      await producer.close();
      const options = { groupId: 'long', commitEveryMs: Number.POSITIVE_INFINITY };
      const consumer = long.consumer(options);
      (await consumer.pull(PULL))?.acknowledge();
      await pause(100);
      assert.equal((await other.groups.describe('long')).partitions[0]?.committed, null);
      await consumer.close();
      assert.equal((await other.groups.describe('long')).partitions[0]?.committed, 1n);
      other.close();
    } finally {
      process.off('warning', note);
    }
    assert.deepEqual(warnings, []);
  });

  it('an offset that no partition can have is no position', async () => {
    const consumer = topic.consumer();
    await consumer.pull(PULL);
    const offset = 2n ** 64n;
    await assert.rejects(consumer.seek({ offset }), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(consumer.seek([{ topic: 'events', partition: 0, offset }]), {
      code: 'INVALID_ARGUMENT',
    });
    assert.deepEqual((await consumer.pull(PULL))?.metadata, { i: 1 });
    await consumer.close();
  });

  for (const path of ['shared-memory', 'tcp'] as const)
    it(`memory that is gone before its data has come spoils nothing of what is got with it (${path})`, async () => {
      const other = await gateway.connect({ path });
      const large = await other.createTopic(`gone-${path}`);
      const producer = large.producer();
      for (let n = 0; n < 3; n++) await producer.push({ n }, content(300_000, n));
      await producer.close();
      const consumer = large.consumer();
      const events = await collect(3, () => consumer.pull(PULL));
      const got = events.map((event) => event.data('all', Buffer.alloc(300_000)));
      const gone = new Uint8Array(300_000);
      const lost = assert.rejects(events[1]!.data('all', gone), { code: 'INVALID_ARGUMENT' });
      got.push(...events.map((event) => event.data('all', Buffer.alloc(300_000))));
      structuredClone(gone.buffer, { transfer: [gone.buffer] });
      await lost;
      for (const [i, data] of (await Promise.all(got)).entries())
        assert.equal(Buffer.compare(data, content(300_000, i % 3)), 0);
      await consumer.close();
      other.close();
    });
});

import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeProducersRequest } from '../../src/protocol/generated/describe-producers-request.ts';
import { describeProducersResponse } from '../../src/protocol/generated/describe-producers-response.ts';
import { describeTransactionsRequest } from '../../src/protocol/generated/describe-transactions-request.ts';
import { describeTransactionsResponse } from '../../src/protocol/generated/describe-transactions-response.ts';
import { listOffsetsRequest } from '../../src/protocol/generated/list-offsets-request.ts';
import { listOffsetsResponse } from '../../src/protocol/generated/list-offsets-response.ts';
import { offsetCommitRequest } from '../../src/protocol/generated/offset-commit-request.ts';
import { offsetCommitResponse } from '../../src/protocol/generated/offset-commit-response.ts';
import { filesOf } from '../crash/on-disk.ts';
import { type Broker, makeGateway, makeKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from '../harness/client.ts';
import type { PlannedRecord } from '../harness/payload.ts';
import { WireClient } from '../harness/wire-client.ts';
import { assertSameContent, type Content, contentOf } from './content.ts';

const topics = ['plain', 'keyed', 'torn'];
const partitions = [0, 1];
const group = 'readers';
const open = 'open-transaction';
const ended = 'ended-transaction';
const timeoutMs = 600_000;
const [readUncommitted, readCommitted] = [0, 1];
const latest = -1n;
const noTopicId = 'AAAAAAAAAAAAAAAAAAAAAA';

/** What is left of a batch whose write a crash has interrupted: less than the smallest has. */
const tornBytes = 70;

describe('a data directory of Apache Kafka that was killed', function () {
  this.timeout(timeoutMs);
  this.bail(true);
  let dir: string;
  let kafka: Broker;
  let gateway: Broker;
  let client: Client;
  let wire: WireClient;
  /** What Apache Kafka says after its own recovery. */
  let state: unknown;
  let content: Content;
  const ends = new Map<string, number[]>();

  before(async function () {
    requireToolchain(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-killed-'));
    for (const name of ['kafka', 'gateway']) mkdirSync(join(dir, name));
    const overrides = { 'metadata.log.max.record.bytes.between.snapshots': '3000' };
    kafka = await makeKafka({ dir: join(dir, 'kafka'), overrides });
    gateway = await makeGateway({ dir: join(dir, 'gateway'), overrides: { 'node.id': '1' } });
  });
  after(async () => {
    await close();
    await gateway?.stop();
    await kafka?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function connect(broker: Broker): Promise<void> {
    await broker.start();
    client = startClient(clientKinds.find(({ name }) => name === 'java')!, broker.bootstrap);
    wire = await WireClient.connect(broker.bootstrap);
  }

  async function close(): Promise<void> {
    wire?.close();
    await client?.stop();
  }

  function records(count: number, size: number, first = 0): PlannedRecord[] {
    return Array.from({ length: count }, (_, i) => ({
      key: `key-${(first + i) % 7}`,
      size,
      seed: first + i,
      headers: [['number', String(first + i)]],
      timestamp: Date.now() + i,
    }));
  }

  async function produce(topic: string, planned: PlannedRecord[], codec = 'none'): Promise<void> {
    for (const partition of partitions)
      await client.call('produce', { topic, partition, codec, acks: -1, records: planned });
  }

  async function send(producer: string, first: number): Promise<void> {
    for (const partition of partitions)
      await client.call('send', { producer, topic: 'plain', partition, records: records(3, 500, first) });
  }

  async function offsetsOf(isolationLevel: number): Promise<Map<string, number[]>> {
    const asked = partitions.map((partitionIndex) => ({
      partitionIndex,
      currentLeaderEpoch: -1,
      timestamp: latest,
    }));
    const request = {
      replicaId: -1,
      isolationLevel,
      topics: topics.map((name) => ({ name, partitions: asked })),
    };
    const answer = await wire.call([listOffsetsRequest, listOffsetsResponse], 9, request);
    return new Map(
      answer.topics.map(({ name, partitions: found }) => {
        const sorted = found.sort((a, b) => a.partitionIndex - b.partitionIndex);
        for (const { errorCode } of sorted) assert.equal(errorCode, 0, name);
        return [name, sorted.map(({ offset }) => Number(offset))];
      }),
    );
  }

  /** What a broker knows before anybody has written to it, once it has read its coordinators' logs. */
  async function stateNow(): Promise<unknown> {
    const transactionalIds = [open, ended];
    let described = await wire.call([describeTransactionsRequest, describeTransactionsResponse], 0, {
      transactionalIds,
    });
    await until('transactions are loaded', 60_000, async () => {
      described = await wire.call([describeTransactionsRequest, describeTransactionsResponse], 0, {
        transactionalIds,
      });
      return described.transactionStates.every(({ errorCode }) => errorCode === 0);
    });
    const states = described.transactionStates.map(({ topics: touched, ...each }) => ({
      ...each,
      topics: touched.map(({ topic, partitions: all }) => `${topic} ${[...all].sort()}`).sort(),
    }));
    const request = { topics: topics.map((name) => ({ name, partitionIndexes: partitions })) };
    const producers = await wire.call([describeProducersRequest, describeProducersResponse], 0, request);
    return {
      states,
      producers: producers.topics.flatMap(({ name, partitions: found }) =>
        found.map(({ partitionIndex, activeProducers }) => [
          `${name}-${partitionIndex}`,
          activeProducers.sort((a, b) => Number(a.producerId - b.producerId)),
        ]),
      ),
      written: await offsetsOf(readUncommitted),
      stable: await offsetsOf(readCommitted),
    };
  }

  /** The transaction that was open is aborted by its next producer; then everything can be read. */
  async function contentNow(): Promise<Content> {
    await client.call('openTransactional', { producer: 'next', transactionalId: open, timeoutMs: 60_000 });
    await client.call('closeTransactional', { producer: 'next' });
    await until('the transaction is over', 60_000, async () => {
      const [written, stable] = [await offsetsOf(readUncommitted), await offsetsOf(readCommitted)];
      for (const [topic, offsets] of written) ends.set(topic, offsets);
      return JSON.stringify([...written]) === JSON.stringify([...stable]);
    });
    return contentOf({ client, wire, group, ends });
  }

  /** As a power failure leaves files: the last batch is not all there, or another has begun. */
  function tear(dataDir: string): void {
    const last = (name: string) => filesOf(join(dataDir, name), '.log').at(-1)!;
    truncateSync(last('torn-0'), statSync(last('torn-0')).size - 7);
    const internal = readdirSync(dataDir).filter((name) =>
      /^__(consumer_offsets|transaction_state)-/.test(name),
    );
    for (const name of ['torn-1', '__cluster_metadata-0', ...internal]) {
      const bytes = readFileSync(last(name));
      // The first batch again, whose offset is that of no next one.
      if (bytes.length > tornBytes) appendFileSync(last(name), bytes.subarray(0, tornBytes));
    }
  }

  it('is written, torn, and recovered by Apache Kafka', async () => {
    await connect(kafka);
    const configs = { plain: { 'retention.ms': '-1' }, keyed: { 'cleanup.policy': 'compact' }, torn: {} };
    for (const topic of topics)
      await client.call('create', {
        topic,
        partitions: partitions.length,
        configs: { 'segment.bytes': '1048576', ...configs[topic as keyof typeof configs] },
      });
    for (const codec of ['none', 'gzip', 'lz4', 'zstd'])
      for (let first = 0; first < 40; first += 10) await produce('plain', records(10, 20_000, first), codec);
    await produce('keyed', records(40, 100));
    for (let first = 0; first < 9; first += 3) await produce('torn', records(3, 1000, first));
    for (const transactionalId of [ended, open])
      await client.call('openTransactional', {
        producer: transactionalId,
        transactionalId,
        timeoutMs: 600_000,
      });
    for (const commit of [true, false]) {
      await client.call('begin', { producer: ended });
      await send(ended, commit ? 100 : 200);
      await client.call('sendOffsets', {
        producer: ended,
        group,
        topic: 'plain',
        offsets: [[0, commit ? 7 : 8]],
      });
      await client.call('end', { producer: ended, commit });
    }
    const commit = {
      partitionIndex: 1,
      committedOffset: 5n,
      committedLeaderEpoch: -1,
      committedMetadata: 'here',
    };
    const committing = {
      groupId: group,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [{ name: 'keyed', topicId: noTopicId, partitions: [commit] }],
    };
    const answer = await wire.call([offsetCommitRequest, offsetCommitResponse], 9, committing);
    assert.equal(answer.topics[0]!.partitions[0]!.errorCode, 0);
    await client.call('begin', { producer: open });
    await send(open, 300);
    await client.call('sendOffsets', { producer: open, group, topic: 'plain', offsets: [[1, 9]] });
    let fillers = 0;
    await until('it has a snapshot', 60_000, async () => {
      if (filesOf(join(kafka.dataDir, '__cluster_metadata-0'), '.checkpoint').length > 1) return true;
      await client.call('create', { topic: `filler-${fillers++}`, partitions: 1, configs: {} });
      return false;
    });
    await kafka.kill('SIGKILL');
    await close();
    assert.ok(!existsSync(join(kafka.dataDir, '.kafka_cleanshutdown')), 'it was shut down');
    tear(kafka.dataDir);
    cpSync(kafka.dataDir, gateway.dataDir, { recursive: true });
    await connect(kafka);
    state = await stateNow();
    content = await contentNow();
    assert.equal(content.committed['plain-0'], 7);
    assert.equal(content.committed['plain-1'], -1);
    assert.equal(content.committed['keyed-1'], 5);
    assert.ok(ends.get('torn')![0]! < ends.get('torn')![1]!, 'nothing was torn off');
    await close();
    await kafka.kill('SIGKILL');
  });

  it('opens in the gateway as Apache Kafka has found it', async () => {
    await connect(gateway);
    assert.deepEqual(await stateNow(), state);
    assertSameContent(await contentNow(), content);
  });

  it('goes on in the gateway', async () => {
    await produce('torn', records(5, 1000, 50));
    await client.call('openTransactional', { producer: 'again', transactionalId: ended, timeoutMs: 60_000 });
    await client.call('begin', { producer: 'again' });
    await send('again', 400);
    await client.call('end', { producer: 'again', commit: true });
    await client.call('closeTransactional', { producer: 'again' });
    const before = content.stable.length;
    const offsets = await offsetsOf(readCommitted);
    for (const [topic, found] of offsets) ends.set(topic, found);
    const now = await contentOf({ client, wire, group, ends });
    assert.equal(now.stable.length, before + partitions.length * (5 + 3));
  });
});

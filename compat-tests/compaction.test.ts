import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { dumpLogSegments, verifyPayload } from './crash/on-disk.ts';
import { type Broker, startBroker, targetIsKafka } from './harness/broker.ts';
import { sleep } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { type PlannedRecord, recordOf } from './harness/payload.ts';

const keys = 20;
const rounds = 6;
const timeoutMs = 240_000;

describe('compacted topics', () => {
  let broker: Broker;

  before(async () => {
    broker = await startBroker({
      overrides: { 'log.cleaner.backoff.ms': '200', 'log.retention.check.interval.ms': '200' },
    });
  });
  after(() => broker?.stop());

  /** One record for each key; every fourth is large enough to be diverted. */
  function records(round: number): PlannedRecord[] {
    return Array.from({ length: keys }, (_, i) =>
      recordOf(`key-${i}`, i % 4 === 3 ? 70_000 : 100, round * 1000 + i),
    );
  }

  for (const kind of clientKinds.filter(({ name }) =>
    ['java', 'kafkajs', 'confluent-kafka-javascript'].includes(name),
  )) {
    it(`${kind.name} reads the latest value of each key and nothing else`, async function () {
      requireToolchain(this, kind.name);
      const client: Client = startClient(kind, broker.bootstrap);
      const topic = `compacted-${kind.name}`;
      try {
        const configs = {
          'cleanup.policy': 'compact',
          'segment.ms': '100',
          'min.cleanable.dirty.ratio': '0.01',
        };
        await client.call('create', { topic, partitions: 1, configs });
        const produce = (planned: PlannedRecord[]) =>
          client.call('produce', { topic, partition: 0, codec: 'gzip', acks: -1, records: planned });
        for (let round = 1; round <= rounds; round++) {
          await produce(records(round));
          await sleep(150);
        }
        // The last segment is not compacted: it holds only what tells the readers where to end.
        const until = Date.now() + timeoutMs;
        for (;;) {
          const [last] = records(rounds)
            .slice(0, 1)
            .map((record) => ({ ...record, key: 'end', timestamp: Date.now() }));
          const { baseOffset } = await produce([last!]);
          const seen = await client.call('consume', { topics: [{ topic, ends: [baseOffset + 1] }] });
          const found = seen.filter(({ key }) => key !== 'end').map(({ key, offset }) => [key, offset]);
          const first = (rounds - 1) * keys;
          const expected = Array.from({ length: keys }, (_, i) => [`key-${i}`, first + i]);
          if (found.length === keys) {
            assert.deepEqual(found, expected);
            break;
          }
          assert.ok(found.length > keys && Date.now() < until, `${found.length} records`);
          await sleep(300);
        }
      } finally {
        await client.stop();
      }
    });
  }

  if (!targetIsKafka)
    it('counts what it has done', async () => {
      const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
      const read = (name: string) => Number(text.match(new RegExp(`^${name} (.*)$`, 'm'))?.[1]);
      assert.ok(read('kafabric_cleaner_runs_total') > 0);
      assert.ok(read('kafabric_cleaner_removed_records_total') >= (rounds - 1) * keys);
      assert.equal(read('kafabric_cleaner_uncleanable_partitions'), 0);
    });

  it('leaves logs, indexes and payload as Kafka’s DumpLogSegments and kafabric payload verify want them', async function () {
    requireToolchain(this, 'java');
    await broker.kill('SIGTERM');
    const topics = readdirSync(broker.dataDir).filter((name) => name.startsWith('compacted-'));
    assert.ok(topics.length > 0);
    await dumpLogSegments(topics.map((name) => join(broker.dataDir, name)));
    if (!targetIsKafka) await verifyPayload(broker.dataDir);
  });
});

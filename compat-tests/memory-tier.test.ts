import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';

const topic = 'in-memory';
const large = 20;

describe('a storage tier in memory', function () {
  this.timeout(60_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  let dir: string;
  let memory: string;
  let broker: Broker;
  let client: Client;

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-memory-'));
    memory = mkdtempSync('/dev/shm/kafabric-memory-tier-');
    broker = await makeBroker({
      dir,
      overrides: {
        'log.durability': 'os',
        'log.channel.type': 'tiered',
        'storage.tiers.types': 'MEMORY,HDD',
        'storage.tiers.first.paths': join(memory, 'tier'),
        'storage.tiers.first.sizes': '67108864',
        'storage.tiers.second.paths': join(dir, 'disk'),
        'storage.migrate.threshold': '-1',
        'payload.segment.bytes': '1048576',
      },
    });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    for (const each of [dir, memory]) if (each) rmSync(each, { recursive: true });
  });

  const planned: PlannedRecord[] = [];

  async function produce(sizes: readonly number[]): Promise<void> {
    for (const size of sizes) {
      const record = { key: null, size, seed: planned.length, headers: [], timestamp: Date.now() };
      planned.push(record);
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
    }
  }

  async function consume(wanted: readonly PlannedRecord[]): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [planned.length] }] });
    assert.deepEqual(
      seen.map((record) => record.digest).sort(),
      wanted.map((record) => digest(plannedValue(record)!)).sort(),
    );
  }

  const filesIn = (directory: string) =>
    existsSync(directory)
      ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
          name.endsWith('.payload'),
        ).length
      : 0;

  it('holds what is new, and outlasts kill -9', async () => {
    await client.call('create', { topic, partitions: 1, configs: {} });
    await produce([...Array<number>(large).fill(400_000), 100]);
    assert.ok(filesIn(memory) > 0);
    assert.equal(filesIn(join(dir, 'disk')), 0);
    await broker.kill('SIGKILL');
    await broker.start();
    await consume(planned);
  });

  it('is empty after a clean stop', async () => {
    await broker.kill('SIGTERM');
    assert.equal(filesIn(memory), 0);
    rmSync(join(memory, 'tier'), { recursive: true });
    await broker.start();
    await consume(planned);
  });

  it('loses what was in it, and no more, when the machine restarts', async () => {
    const before = planned.length;
    await produce([...Array<number>(large).fill(400_000), 100]);
    await broker.kill('SIGKILL');
    rmSync(join(memory, 'tier'), { recursive: true });
    await broker.start();
    await consume([...planned.slice(0, before), planned[planned.length - 1]!]);
    const metrics = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    assert.match(metrics, new RegExp(`^kafabric_tier_memory_lost_batches_total ${large}$`, 'm'));
    await produce([400_000]);
    await consume([...planned.slice(0, before), ...planned.slice(-2)]);
  });
});

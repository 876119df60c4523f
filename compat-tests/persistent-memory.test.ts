import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';

const topic = 'persistent';
const count = 20;

describe('log.channel.type=pmem, on memory that is declared persistent', function () {
  this.timeout(60_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  const forced = process.env.PMEM_IS_PMEM_FORCE;
  let dir: string;
  let memory: string;
  let broker: Broker;
  let client: Client;

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    process.env.PMEM_IS_PMEM_FORCE = '1';
    dir = mkdtempSync(join(tmpdir(), 'kafabric-pmem-'));
    memory = mkdtempSync('/dev/shm/kafabric-pmem-tier-');
    broker = await makeBroker({
      dir,
      overrides: {
        'log.channel.type': 'pmem',
        'storage.tiers.first.paths': join(memory, 'tier'),
        'storage.tiers.first.sizes': '134217728',
        'log.pmem.pool.ratio': '0.25',
        'payload.segment.bytes': '4194304',
      },
    });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    for (const each of [dir, memory]) if (each) rmSync(each, { recursive: true });
    if (forced === undefined) delete process.env.PMEM_IS_PMEM_FORCE;
    else process.env.PMEM_IS_PMEM_FORCE = forced;
  });

  const planned: PlannedRecord[] = [];

  async function produce(): Promise<void> {
    for (let i = 0; i < count; i++) {
      const record = { key: null, size: 700_000, seed: planned.length, headers: [], timestamp: Date.now() };
      planned.push(record);
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
    }
  }

  async function consume(): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [planned.length] }] });
    assert.deepEqual(
      seen.map((record) => record.digest).sort(),
      planned.map((record) => digest(plannedValue(record)!)).sort(),
    );
  }

  it('has all payload there, also after kill -9 and a clean stop', async () => {
    assert.match(broker.logs(), /a tier directory is used as persistent memory/);
    await client.call('create', { topic, partitions: 1, configs: {} });
    await produce();
    await consume();
    await broker.kill('SIGKILL');
    await broker.start();
    await consume();
    await produce();
    await broker.kill('SIGTERM');
    await broker.start();
    await consume();
    const files = readdirSync(join(memory, 'tier'), { recursive: true, encoding: 'utf8' });
    assert.ok(files.filter((name) => name.endsWith('.payload')).length > 4);
  });
});

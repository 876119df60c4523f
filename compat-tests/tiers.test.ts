import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { runCommand, until } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { gatewayProgram } from './harness/paths.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';

const topic = 'tiered';
const count = 40;
const size = 400_000;

describe('storage tiers', function () {
  this.timeout(60_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  let dir: string;
  let overrides: Record<string, string>;
  let broker: Broker;
  let client: Client;

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-tiers-'));
    overrides = {
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,HDD',
      'storage.tiers.first.paths': join(dir, 'fast'),
      'storage.tiers.first.sizes': '8388608',
      'storage.tiers.second.paths': join(dir, 'slow'),
      'payload.segment.bytes': '1048576',
    };
    broker = await makeBroker({ dir, overrides });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true });
  });

  const planned: PlannedRecord[] = Array.from({ length: count }, (_, seed) => ({
    key: null,
    size,
    seed,
    headers: [],
    timestamp: Date.now(),
  }));

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    return Number(new RegExp(`^kafabric_tier_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  /** Reads everything back. */
  async function consume(): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [count] }] });
    assert.deepEqual(
      seen.map((record) => record.digest).sort(),
      planned.map((record) => digest(plannedValue(record)!)).sort(),
    );
  }

  it('move the oldest payload down, and clients see none of it', async () => {
    await client.call('create', { topic, partitions: 1, configs: {} });
    for (const record of planned)
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
    await until(
      'the first tier is below the threshold',
      30_000,
      async () => (await metric('used_bytes{tier="first"}')) <= 8_388_608 / 2,
    );
    assert.equal(await metric('backlog_bytes{tier="first"}'), 0);
    assert.ok((await metric('moved_in_bytes_total{tier="second"}')) > 0);
    assert.equal(await metric('move_failures_total{tier="second"}'), 0);
    await consume();
  });

  it('are found again, and verified', async () => {
    await broker.kill('SIGTERM');
    const settings = { 'log.dirs': broker.dataDir, ...overrides };
    const options = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    const verify = await runCommand(
      [process.execPath, gatewayProgram, 'payload', 'verify', ...options],
      60_000,
    );
    assert.match(verify, new RegExp(`${count} extents, .*: in order`));
    await broker.start();
    await consume();
  });

  it('lose what topics lose', async () => {
    await client.call('deleteRecords', { topic, partition: 0, offset: 20 });
    await until('half of it is gone', 30_000, async () => {
      const used = (await metric('used_bytes{tier="first"}')) + (await metric('used_bytes{tier="second"}'));
      return used < (count / 2 + 4) * size;
    });
    await client.call('delete', { topic });
    await until('all of it is gone', 30_000, async () =>
      ['fast', 'slow'].every((tier) => !readdirSync(join(dir, tier)).some((name) => name.startsWith(topic))),
    );
  });
});

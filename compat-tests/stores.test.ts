import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { runCommand, until } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { gatewayProgram } from './harness/paths.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';
import { STORES_SECRET, StoreUnderTest } from './harness/store.ts';

const topic = 'stored';
const size = 400_000;

describe('payload stores', function () {
  this.timeout(120_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  let dir: string;
  let overrides: Record<string, string>;
  let broker: Broker;
  let client: Client;
  const stores: StoreUnderTest[] = [];
  const planned: PlannedRecord[] = [];

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-stores-'));
    const addresses = `${join(dir, 'addresses')}/`;
    for (const zone of ['a', 'b', 'c']) {
      const store = await StoreUnderTest.make(join(dir, `store-${zone}`), {
        'payload.store.zone': zone,
        'payload.store.address.file': addresses,
      });
      await store.start();
      stores.push(store);
    }
    overrides = {
      'payload.stores': addresses,
      'payload.stores.secret': STORES_SECRET,
      'payload.stores.lost.after.ms': '1000',
      'payload.stores.orphan.grace.ms': '0',
      'payload.replicas': '2',
      'payload.segment.bytes': '2097152',
    };
    broker = await makeBroker({ dir, overrides });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
    await client.call('create', { topic, partitions: 1, configs: {} });
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    for (const store of stores) {
      store.freeze(false);
      await store.kill();
    }
    if (dir) rmSync(dir, { recursive: true });
  });

  async function produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const seed = planned.length;
      const record = { key: null, size, seed, headers: [], timestamp: Date.now() };
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
      planned.push(record);
    }
  }

  async function consume(): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [planned.length] }] });
    assert.deepEqual(
      seen.map((record) => record.digest),
      planned.map((record) => digest(plannedValue(record)!)),
    );
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    return Number(new RegExp(`^kafabric_stores_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  function command(...words: string[]): Promise<string> {
    const settings = { 'log.dirs': broker.dataDir, ...overrides };
    const options = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    return runCommand([process.execPath, gatewayProgram, ...words, ...options], 60_000);
  }

  it('keep payload for a client that does not know of them', async () => {
    await produce(12);
    await consume();
    for (const { metricsUrl } of stores) assert.ok((await fetch(`${metricsUrl}/health/live`)).ok);
    assert.equal(readdirSync(join(dir, 'addresses')).length, 3);
    const copies = await Promise.all(stores.map((store) => store.metric('written_bytes_total')));
    assert.ok(copies.reduce((sum, bytes) => sum + bytes) >= 2 * 12 * size);
  });

  it('may be killed, and stopped in their tracks, while clients go on', async () => {
    await stores[0]!.kill('SIGKILL');
    await produce(8);
    await consume();
    await stores[0]!.start();
    stores[1]!.freeze(true);
    await produce(8);
    await consume();
    stores[1]!.freeze(false);
    await until('all copies are there again', 60_000, async () => {
      const all = `up{store="${stores[1]!.address}"}`;
      return (await metric(all)) === 1 && (await metric('lacking_bytes')) === 0;
    });
    await produce(2);
    await consume();
  });

  it('are verified', async () => {
    await broker.kill('SIGTERM');
    const report = await command('payload', 'verify');
    assert.match(report, new RegExp(`${planned.length} extents, .*: in order`));
    await broker.start();
    await consume();
  });

  it('are emptied by draining, and their payload is still there', async () => {
    await command('store', 'drain', stores[2]!.address, '--wait');
    assert.deepEqual(stores[2]!.files(), []);
    await stores[2]!.kill('SIGTERM');
    await consume();
    await stores[2]!.start();
    await command('store', 'drain', stores[2]!.address, '--off');
  });

  it('lose what topics lose', async () => {
    await client.call('delete', { topic });
    await until('all of it is gone', 30_000, () => stores.every((store) => store.files().length === 0));
  });
});

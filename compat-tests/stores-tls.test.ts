import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority, writeKeystore } from '../src/util/testing/certificates.ts';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { until } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { gatewayProgram } from './harness/paths.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';
import { StoreUnderTest } from './harness/store.ts';

const topic = 'sealed';
const SIZES = [100_001, 1_048_577, 3_000_000];

describe('payload stores with TLS', function () {
  this.timeout(120_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  const authority = makeAuthority('CA of this test');
  let dir: string;
  let settings: Record<string, string>;
  let broker: Broker;
  let client: Client;
  const stores: StoreUnderTest[] = [];
  const planned: PlannedRecord[] = [];

  const keystore = (name: string, wish = {}) =>
    writeKeystore(join(dir, `${name}.pem`), authority, { name, addresses: ['127.0.0.1'], ...wish });

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-stores-tls-'));
    const truststore = join(dir, 'ca.pem');
    writeFileSync(truststore, authority.pem);
    const common = {
      'payload.stores.secret': '',
      'payload.stores.security.protocol': 'SSL',
      'payload.stores.ssl.truststore.location': truststore,
    };
    for (const name of ['store-a', 'store-b']) {
      const store = await StoreUnderTest.make(join(dir, name), {
        ...common,
        'payload.stores.ssl.keystore.location': keystore(name),
        'payload.stores.ssl.allowed.names': 'the gateway',
      });
      await store.start();
      stores.push(store);
    }
    settings = {
      ...common,
      'payload.stores': stores.map(({ address }) => address).join(),
      'payload.stores.ssl.keystore.location': keystore('the gateway'),
      'payload.replicas': '2',
    };
    broker = await makeBroker({ dir, overrides: settings });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
    await client.call('create', { topic, partitions: 1, configs: {} });
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    for (const store of stores) await store.kill();
    if (dir) rmSync(dir, { recursive: true });
  });

  async function produceAndConsume(): Promise<void> {
    for (const size of SIZES) {
      const record = { key: null, size, seed: planned.length, headers: [], timestamp: Date.now() };
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
      planned.push(record);
    }
    const seen = await client.call('consume', { topics: [{ topic, ends: [planned.length] }] });
    assert.deepEqual(
      seen.map((record) => record.digest),
      planned.map((record) => digest(plannedValue(record)!)),
    );
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    const line = text.split('\n').find((line) => line.startsWith(`kafabric_stores_${name} `));
    return Number(line?.split(' ').at(-1));
  }

  function doctor(changes: Record<string, string>): { status: string; text: string }[] {
    const all = { 'log.dirs': join(dir, 'nothing'), ...settings, ...changes };
    const options = Object.entries(all).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    const words = [gatewayProgram, 'doctor', '--json', '--no-measure', ...options];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 });
    assert.ok(stdout.startsWith('['), stdout + stderr);
    return JSON.parse(stdout);
  }

  it('keep payload, which goes there encrypted', async () => {
    await produceAndConsume();
    assert.equal(await metric('by_provider{provider="tls-tcp"}'), 2);
    assert.ok((await metric('tls_certificate_expiry_timestamp_seconds')) > Date.now() / 1000);
    for (const store of stores) {
      assert.equal(await store.metric('gateways{provider="tls-tcp"}'.replace(/[{}]/g, '\\$&')), 1);
      assert.ok((await store.metric('written_bytes_total')) > 4_000_000);
    }
  });

  it('are examined', () => {
    const texts = doctor({}).map(({ status, text }) => `${status}: ${text}`);
    assert.ok(texts.some((text) => /^ok: stores are reached by TLS: certificate CN=the gateway/.test(text)));
    assert.equal(texts.filter((text) => /^ok: store 127.*: tls-tcp \(encrypted\), /.test(text)).length, 2);
    const stranger = { 'payload.stores.ssl.keystore.location': keystore('a stranger') };
    const problems = doctor(stranger).filter(({ status }) => status === 'problem');
    const refused = problems.filter(({ text }) => /refuses: the gateway's certificate is for/.test(text));
    assert.equal(refused.length, 2, JSON.stringify(problems));
  });

  it('go on with certificates that were renewed, and tell of one that is over', async () => {
    keystore('store-a', { notAfter: new Date(Date.now() - 1000) });
    await stores[0]!.kill('SIGKILL');
    await stores[0]!.start();
    const up = `up{store="${stores[0]!.address}"}`;
    await until('the gateway has looked', 30_000, async () => (await metric('tls_failures_total')) > 0);
    assert.equal(await metric(up), 0);
    assert.match(broker.logs(), /the store's certificate has expired/);
    keystore('store-a');
    await until('the store is in again', 30_000, async () => (await metric(up)) === 1);
    assert.equal(await stores[0]!.metric('tls_certificate_reloads_total'), 1);
    await until('all copies are there', 60_000, async () => (await metric('lacking_bytes')) === 0);
    await produceAndConsume();
  });
});

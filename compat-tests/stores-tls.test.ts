import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority, writeKeystore } from '../src/util/testing/certificates.ts';
import { until } from './harness/child.ts';
import { gatewayProgram } from './harness/paths.ts';
import { PayloadScene } from './harness/payload-scene.ts';
import { StoreUnderTest } from './harness/store.ts';

const SIZES = [100_001, 1_048_577, 3_000_000];

describe('payload stores with TLS', () => {
  const authority = makeAuthority('CA of this test');
  let scene: PayloadScene;
  const stores: StoreUnderTest[] = [];

  const keystore = (name: string, wish = {}) =>
    writeKeystore(join(scene.dir, `${name}.pem`), authority, { name, addresses: ['127.0.0.1'], ...wish });

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('stores-tls');
    const truststore = join(scene.dir, 'ca.pem');
    writeFileSync(truststore, authority.pem);
    const common = {
      'payload.stores.secret': '',
      'payload.stores.security.protocol': 'SSL',
      'payload.stores.ssl.truststore.location': truststore,
    };
    for (const name of ['store-a', 'store-b']) {
      const store = await StoreUnderTest.make(join(scene.dir, name), {
        ...common,
        'payload.stores.ssl.keystore.location': keystore(name),
        'payload.stores.ssl.allowed.names': 'the gateway',
      });
      await store.start();
      stores.push(store);
    }
    await scene.start({
      ...common,
      'payload.stores': stores.map(({ address }) => address).join(),
      'payload.stores.ssl.keystore.location': keystore('the gateway'),
      'payload.replicas': '2',
    });
    await scene.createTopic();
  });

  after(async () => {
    await scene?.stop();
    for (const store of stores) await store.kill();
    await scene?.end();
  });

  interface Finding {
    status: string;
    text: string;
    values?: { provider: string; taken: Record<string, number>; given: Record<string, number> };
  }

  function doctor(changes: Record<string, string>, flags = ['--no-measure']): Finding[] {
    const all = { ...scene.settings, 'log.dirs': join(scene.dir, 'nothing'), ...changes };
    const options = Object.entries(all).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    const words = [gatewayProgram, 'doctor', '--json', ...flags, ...options];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 110_000 });
    assert.ok(stdout.startsWith('['), stdout + stderr);
    return JSON.parse(stdout);
  }

  it('keep payload, which goes there encrypted', async () => {
    await scene.produce(SIZES);
    await scene.consume();
    assert.equal(await scene.metric('stores_by_provider{provider="tls-tcp"}'), 2);
    assert.ok((await scene.metric('stores_tls_certificate_expiry_timestamp_seconds')) > Date.now() / 1000);
    for (const store of stores) {
      assert.equal(await store.metric('store_gateways{provider="tls-tcp"}'), 1);
      assert.ok((await store.metric('store_written_bytes_total')) > 4_000_000);
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

  it('are timed, beside what TLS is capable of', () => {
    const measured = doctor({}, []).flatMap(({ values }) => values ?? []);
    assert.deepEqual(
      measured.map(({ provider }) => provider),
      ['tls-tcp', 'tls-tcp'],
    );
    for (const { taken, given } of measured)
      for (const value of [...Object.values(taken), ...Object.values(given)]) assert.ok(value > 0);
  });

  it('go on with certificates that were renewed, and tell of one that is over', async () => {
    keystore('store-a', { notAfter: new Date(Date.now() - 1000) });
    await stores[0]!.kill('SIGKILL');
    await stores[0]!.start();
    const up = `stores_up{store="${stores[0]!.address}"}`;
    await until(
      'the gateway has looked',
      30_000,
      async () => (await scene.metric('stores_tls_failures_total')) > 0,
    );
    assert.equal(await scene.metric(up), 0);
    await until('the log says why', 10_000, () =>
      /the store's certificate has expired/.test(scene.broker.logs()),
    );
    keystore('store-a');
    await until('the store is in again', 30_000, async () => (await scene.metric(up)) === 1);
    assert.equal(await stores[0]!.metric('store_tls_certificate_reloads_total'), 1);
    await until(
      'all copies are there',
      60_000,
      async () => (await scene.metric('stores_lacking_bytes')) === 0,
    );
    await scene.produce(SIZES);
    await scene.consume();
  });
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { Client, type ClientOptions, slice, strided, type TlsOptions } from '../src/client/index.ts';
import { freePort } from '../src/util/free-port.ts';
import { issue, makeAuthority, writeKeystore } from '../src/util/testing/certificates.ts';
import { collect, content } from './direct/fixture.ts';
import { RawReferences } from './direct/raw-references.ts';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { patience, until } from './harness/child.ts';
import { clientKinds, type Client as KafkaClient, requireToolchain, startClient } from './harness/client.ts';
import { readMetric } from './harness/metrics.ts';
import { gatewayProgram, javaCommand } from './harness/paths.ts';
import { digest, makeValue, recordOf } from './harness/payload.ts';

const PULL = { timeoutMs: 30_000 * patience };
const INNER = { name: 'inner', hosts: ['inner.example'], addresses: ['127.0.0.1'] };
/** Those whose drivers know of TLS. */
const KINDS = [
  'confluent-kafka-python',
  'aiokafka',
  'kafkajs',
  'confluent-kafka-javascript',
  'platformatic-kafka',
];

describe('TLS for clients', () => {
  if (targetIsKafka) return;
  const authority = makeAuthority('CA of this test');
  const { pem: cert, keyPem: key } = issue(authority, { name: 'the client' });
  const tls: TlsOptions = { ca: authority.pem, cert, key };
  const started: KafkaClient[] = [];
  let directory: string;
  let broker: Broker;
  let address: string;
  let direct: string;
  /** With a certificate of its own; it asks nobody for one. */
  let inner: string;

  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const keystore = (name: string, wish = {}) =>
    writeKeystore(join(directory, 'gateway.pem'), authority, { name, addresses: ['127.0.0.1'], ...wish });
  const connect = (options: Partial<ClientOptions> = {}) =>
    Client.connect({ bootstrap: direct, tls, sharedChunkBytes: 16 << 20, ...options });

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tls-'));
    keystore('gateway');
    Object.assign(process.env, {
      KAFABRIC_TEST_CA: file('ca.pem', authority.pem),
      KAFABRIC_TEST_CERT: file('client.crt', cert),
      KAFABRIC_TEST_KEY: file('client.key', key),
    });
    writeKeystore(join(directory, 'inner.pem'), authority, INNER);
    const plain = `127.0.0.1:${await freePort()}`;
    inner = `127.0.0.1:${await freePort()}`;
    address = `127.0.0.1:${await freePort()}`;
    direct = `127.0.0.1:${await freePort()}`;
    broker = await makeBroker({
      overrides: {
        listeners: `PLAINTEXT://${plain},SSL://${address},DIRECT_SSL://${direct},INNER://${inner}`,
        'listener.security.protocol.map':
          'PLAINTEXT:PLAINTEXT,SSL:SSL,DIRECT_SSL:DIRECT_SSL,INNER:DIRECT_SSL',
        'listener.name.inner.ssl.keystore.location': join(directory, 'inner.pem'),
        'listener.name.inner.ssl.client.auth': 'none',
        'ssl.keystore.location': join(directory, 'gateway.pem'),
        'ssl.truststore.location': join(directory, 'ca.pem'),
        'ssl.client.auth': 'required',
        'direct.mapped.listeners': 'DIRECT_SSL',
      },
    });
    await broker.start();
  });
  afterEach(() => Promise.all(started.splice(0).map((one) => one.stop())));
  after(async () => {
    for (const name of ['KAFABRIC_TEST_CA', 'KAFABRIC_TEST_CERT', 'KAFABRIC_TEST_KEY'])
      delete process.env[name];
    await broker?.stop();
    if (directory) rmSync(directory, { recursive: true });
  });

  for (const kind of clientKinds.filter(({ name }) => KINDS.includes(name)))
    it(`${kind.name} writes and reads values of every size`, async function () {
      requireToolchain(this, kind.setup);
      const client = startClient(kind, address);
      started.push(client);
      const topic = `tls-${kind.name}`;
      await client.call('create', { topic, partitions: 1, configs: {} });
      const sizes = [1, 100, 16_384, 70_000, 1_000_000, 5_000_000];
      const records = sizes.map((size, seed) => recordOf(`k${seed}`, size, seed));
      await client.call('produce', {
        topic,
        partition: 0,
        codec: 'none',
        acks: -1,
        records,
      });
      const seen = await client.call('consume', { topics: [{ topic, ends: [sizes.length] }] });
      assert.deepEqual(
        seen.map((record) => record.digest),
        sizes.map((size, seed) => digest(makeValue(size, seed))),
      );
    });

  it('Java’s console tools write and read with keystores in PEM', function () {
    requireToolchain(this, 'java');
    const config = file(
      'client.properties',
      [
        'security.protocol=SSL',
        ...['ssl.keystore.type=PEM', `ssl.keystore.location=${file('client.pem', key + cert)}`],
        ...['ssl.truststore.type=PEM', `ssl.truststore.location=${join(directory, 'ca.pem')}`],
      ].join('\n'),
    );
    const run = (tool: string, args: string[], input = '') => {
      const [program, ...words] = [
        ...javaCommand(`org.apache.kafka.tools.${tool}`, 256),
        '--bootstrap-server',
        address,
      ];
      const { stdout, stderr } = spawnSync(program!, [...words, ...args], {
        encoding: 'utf8',
        input,
        timeout: 60_000 * patience,
      });
      return stdout + stderr;
    };
    run('TopicCommand', ['--create', '--topic', 'tls-java', '--command-config', config]);
    run('ConsoleProducer', ['--topic', 'tls-java', '--producer.config', config], 'one\ntwo\n');
    const read = [
      '--topic',
      'tls-java',
      '--from-beginning',
      '--max-messages',
      '2',
      '--consumer.config',
      config,
    ];
    assert.match(run('consumer.ConsoleConsumer', read), /one\ntwo\n/);
  });

  for (const path of ['tcp', 'shared-memory', 'mapped'] as const)
    it(`the direct API pushes and pulls at DIRECT_SSL (${path})`, async () => {
      const client = await connect({ path });
      assert.equal(client.path, path);
      const topic = await client.createTopic(`direct-${path}`);
      const producer = topic.producer();
      const sizes = [0, 100, 16_384, 100_000, 1_000_000, 20_000_000];
      await Promise.all(sizes.map((size, i) => producer.push({ i }, content(size, i))));
      await producer.close();
      const consumer = topic.consumer({ select: 'all' });
      for (const [i, event] of (await collect(sizes.length, () => consumer.pull(PULL))).entries()) {
        const size = sizes[i]!;
        assert.ok(content(size, i).equals(event.selected!), `event ${i}`);
        if (size < 100_000) continue;
        const blocks = await event.data([slice(7, 1000), strided(100, 50, 40, 1000)]);
        const data = content(size, i);
        const expected = [
          data.subarray(7, 1007),
          ...Array.from({ length: 50 }, (_, k) => data.subarray(100 + k * 1000, 140 + k * 1000)),
        ];
        assert.ok(Buffer.concat(expected).equals(Buffer.from(blocks)));
      }
      await consumer.close();
      client.close();
    });

  for (const path of ['tcp', 'shared-memory', 'mapped'] as const)
    it(`references are for the certificate that fetched them alone (${path})`, async () => {
      const topic = `bound-${path}`;
      const value = content(200_000);
      const client = await connect({ path });
      const producer = (await client.createTopic(topic)).producer();
      await producer.push({}, value);
      await producer.close();
      client.close();

      const other = issue(authority, { name: 'another client' });
      const raw = (identity: TlsOptions) => new RawReferences({ bootstrap: direct, path, tls: identity });
      const owner = raw(tls);
      const again = raw(tls);
      const thief = raw({ ca: authority.pem, cert: other.pem, key: other.keyPem });
      const [its, own] = [await owner.fetch(topic), await thief.fetch(topic)];
      const refused = { code: 'BROKER', message: /signature of the reference is not right for this client/ };
      const isValue = (bytes: Uint8Array) => assert.ok(value.equals(bytes));
      // More than once: what the gateway has found right for one is not right for all.
      for (let round = 0; round < 2; round++) {
        await assert.rejects(thief.get(its), refused);
        isValue(await owner.get(its));
        await assert.rejects(thief.get(its), refused);
        await assert.rejects(thief.get(its, 10), refused);
        isValue(await thief.get(own));
        await assert.rejects(owner.get(own), refused);
        isValue(await again.get(its));
        if (path !== 'mapped') continue;
        await assert.rejects(thief.view(its), refused);
        isValue(await owner.view(its));
        isValue(await thief.view(own));
      }
      for (const one of [owner, again, thief]) one.close();
    });

  it('lets in nobody else, and tells both ends why', async () => {
    const stranger = makeAuthority('another CA');
    const unknown = issue(stranger, { name: 'a stranger' });
    const refused = { code: 'CONNECTION' };
    await assert.rejects(
      connect({ tls: { ca: stranger.pem } }),
      /unable to verify|unable to get|self.signed/,
    );
    await assert.rejects(connect({ tls: { ca: authority.pem } }), refused);
    await assert.rejects(
      connect({ tls: { ca: authority.pem, cert: unknown.pem, key: unknown.keyPem } }),
      refused,
    );
    await assert.rejects(Client.connect({ bootstrap: direct }), refused);
    await assert.rejects(connect({ path: 'fabric' }), /the listener encrypts, which no fabric does/);
    await assert.rejects(connect({ tls: { ...tls, servername: 'another.example' } }), /another\.example/);
    const failed = () =>
      readMetric(
        broker.metricsUrl!,
        'kafabric_connections_closed_total{listener="DIRECT_SSL",reason="TLS failed"}',
      );
    await until('they are counted', 10_000, async () => (await failed()) >= 3);
    for (const message of [/did not return a certificate/, /the client is not configured for SSL/])
      await until(`the log says ${message}`, 10_000, () => message.test(broker.logs()));
  });

  it('is for the commands too', () => {
    const options = [
      '--ca',
      join(directory, 'ca.pem'),
      '--cert',
      join(directory, 'client.crt'),
      '--cert-key',
      join(directory, 'client.key'),
    ];
    const run = (...words: string[]) =>
      spawnSync(process.execPath, [gatewayProgram, ...words, '--bootstrap', direct, ...options], {
        encoding: 'utf8',
        timeout: 60_000 * patience,
      });
    const created = run('topics', 'create', 'commanded');
    assert.equal(created.stdout, 'topic commanded created, 1 partitions\n', created.stderr);
    const bench = run(
      'direct-bench',
      '--events',
      '20',
      '--size',
      '100000',
      '--processes',
      '2',
      '--path',
      'tcp',
    );
    assert.match(bench.stdout, /^pull \(tcp\): 40 events/m, bench.stderr);
  });

  it('has listeners with a certificate, and rules, of their own', async () => {
    const subjectAt = async (listener: string) => {
      const [host, port] = listener.split(':');
      const socket = tlsConnect({ host, port: Number(port), ca: authority.pem, cert, key });
      await once(socket, 'secureConnect');
      const { subject } = socket.getPeerX509Certificate()!;
      socket.destroy();
      return subject;
    };
    const subjects = () => Promise.all([address, direct, inner].map(subjectAt));
    assert.deepEqual(await subjects(), ['CN=gateway', 'CN=gateway', 'CN=inner']);
    const trusting = { ca: authority.pem };
    const unknown = await Client.connect({ bootstrap: inner, tls: trusting });
    assert.ok((await unknown.listTopics()).length > 0);
    unknown.close();
    await assert.rejects(connect({ tls: trusting }), { code: 'CONNECTION' });
    const reloads = () => readMetric(broker.metricsUrl!, 'kafabric_tls_certificate_reloads_total');
    const before = await reloads();
    writeKeystore(join(directory, 'inner.pem'), authority, { ...INNER, name: 'inner, renewed' });
    await until('it is read', 30_000, async () => (await reloads()) === before + 1);
    assert.deepEqual(await subjects(), ['CN=gateway', 'CN=gateway', 'CN=inner\\, renewed']);
  });

  it('goes on with certificates that were renewed', async () => {
    const before = await connect();
    const reloads = () => readMetric(broker.metricsUrl!, 'kafabric_tls_certificate_reloads_total');
    const earlier = await reloads();
    keystore('gateway, renewed', { hosts: ['renewed.example'] });
    await until('they are read', 30_000, async () => (await reloads()) === earlier + 1);
    assert.ok((await before.listTopics()).length > 0);
    const after = await connect({ tls: { ...tls, servername: 'renewed.example' } });
    assert.ok((await after.listTopics()).length > 0);
    for (const one of [before, after]) one.close();
  });
});

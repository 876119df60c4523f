import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './harness/broker.ts';
import { runCommand, until } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { gatewayProgram } from './harness/paths.ts';
import { digest, type PlannedRecord, plannedValue } from './harness/payload.ts';
import { S3Server } from './harness/s3-server.ts';

const topic = 'in-objects';
const count = 40;
const size = 1_000_000;
/** Segments of twelve records, in three parts each. */
const segmentBytes = 12_582_912;
const segments = 4;
/** Between two parts of an upload there is time to interrupt it. */
const slowly = { 'storage.migrate.bytes.per.second': '2097152' };

describe('the storage tier S3, over an object store', function () {
  this.timeout(120_000);
  const kind = clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
  let dir: string;
  let server: S3Server;
  let overrides: Record<string, string>;
  let broker: Broker;
  let client: Client;

  before(async function () {
    if (targetIsKafka) this.skip();
    requireToolchain(this, kind.setup);
    requireToolchain(this, S3Server.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-s3-'));
    mkdirSync(join(dir, 's3'));
    server = await S3Server.make(join(dir, 's3'));
    await server.start();
    overrides = {
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,S3',
      'storage.tiers.first.paths': join(dir, 'fast'),
      'storage.tiers.first.sizes': '100000000',
      'storage.s3.endpoint': server.endpoint,
      'storage.s3.bucket': server.bucket,
      'storage.s3.prefix': 'kafabric/node-1',
      'storage.s3.credentials.file': server.credentialsFile,
      'storage.s3.cache.dir': join(dir, 'cache'),
      'storage.s3.part.bytes': '5242880',
      'storage.s3.max.attempts': '2',
      'storage.s3.request.timeout.ms': '20000',
      'storage.migrate.threshold': '0',
      'payload.segment.bytes': String(segmentBytes),
    };
  });

  /** A gateway over the same data, in place of the one before, with a client. */
  async function start(more: Record<string, string>): Promise<void> {
    await client?.stop();
    await broker?.stop();
    broker = await makeBroker({ dir, overrides: { ...overrides, ...more } });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
  }

  after(async () => {
    await client?.stop();
    await broker?.stop();
    await server?.kill();
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
    const line = new RegExp(`^kafabric_${name.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm');
    return Number(line.exec(text)?.[1]);
  }

  const outOfUse = () => metric('tier_paths_out_of_use{tier="second"}');

  /** Reads everything back. */
  async function consume(): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [count] }] });
    assert.deepEqual(
      seen.map((record) => record.digest).sort(),
      planned.map((record) => digest(plannedValue(record)!)).sort(),
    );
  }

  /** A command of a gateway that does not run. */
  function run(...words: string[]): Promise<string> {
    const settings = { 'log.dirs': broker.dataDir, ...overrides };
    const options = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    return runCommand([process.execPath, gatewayProgram, ...words, ...options], 60_000);
  }

  it('loses nothing when the object store dies in the middle of an upload', async () => {
    await start({ 'storage.migrate.threshold': '-1' });
    await client.call('create', { topic, partitions: 1, configs: {} });
    for (const record of planned)
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
    assert.equal(server.contents().objects.length, 0);
    await start(slowly);
    await until('a part is uploaded', 60_000, () => server.contents().parts > 0);
    await server.kill();
    await until('the tier is out of use', 60_000, async () => (await outOfUse()) === 1);
    await consume();
  });

  it('goes on when it is back, and when the gateway is killed while it moves', async () => {
    await server.start();
    await until('the tier is in use again', 60_000, async () => (await outOfUse()) === 0);
    await until('a part is uploaded', 60_000, () => server.contents().parts > 0);
    await broker.kill('SIGKILL');
    await start({});
    await until(
      'all segments are objects',
      60_000,
      async () => (await metric('tier_files{tier="second"}')) === segments,
    );
    await until('nothing is on its way', 60_000, async () => (await metric('tier_moves_running')) === 0);
    const { objects, parts } = server.contents();
    assert.equal(objects.length, segments);
    assert.equal(parts, 0);
    assert.equal(await metric('tier_used_bytes{tier="first"}'), 0);
    await consume();
    assert.ok((await metric('s3_downloaded_bytes_total')) > 0);
  });

  it('is found again, verified, and looked at by kafabric doctor', async () => {
    await broker.kill('SIGTERM');
    assert.match(await run('payload', 'verify'), new RegExp(`${count} extents, .*: in order`));
    assert.match(
      await run('doctor', '--no-measure'),
      /object store s3:\/\/payload\/kafabric\/node-1 at .* takes .* ms/,
    );
    await broker.start();
    await consume();
  });

  it('serves consumers that came while the object store was away as soon as it is back', async () => {
    await broker.kill('SIGTERM'); // nothing is cached then
    await server.kill();
    await broker.start();
    assert.equal(await outOfUse(), 1);
    const consumed = consume();
    await until('somebody was refused', 60_000, async () => (await metric('payload_errors_total')) > 0);
    await server.start();
    await consumed;
    assert.equal(await outOfUse(), 0);
  });

  it('loses what topics lose', async () => {
    await client.call('deleteRecords', { topic, partition: 0, offset: 20 });
    await until('one object is gone', 60_000, () => server.contents().objects.length === segments - 1);
    await client.call('delete', { topic });
    await until('all are gone', 60_000, () => server.contents().objects.length === 0);
  });
});

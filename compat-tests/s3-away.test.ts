import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  createFetchPartition,
  createFetchTopic,
  fetchRequest,
} from '../src/protocol/generated/fetch-request.ts';
import { fetchResponse } from '../src/protocol/generated/fetch-response.ts';
import { until } from './harness/child.ts';
import { requireToolchain } from './harness/client.ts';
import { PayloadScene } from './harness/payload-scene.ts';
import { S3Server } from './harness/s3-server.ts';
import { WireClient } from './harness/wire-client.ts';

const FETCH_VERSION = 11;
const NONE = 0;
const KAFKA_STORAGE_ERROR = 56;
/** Two large ones fill a segment; small ones are in the log alone. */
const RECORDS = { count: 24, large: 500_000, small: 100 };
const SEGMENTS = RECORDS.count / 2;

interface Trouble {
  readonly name: string;
  /** Ends the object store's being there for the gateway, which does not run. */
  begin(): Promise<void>;
  /** What the log, `/health/ready` and `kafabric doctor` say. */
  readonly reason: RegExp;
  end(): Promise<void>;
}

describe('a gateway whose object store cannot be used when it starts', () => {
  let scene: PayloadScene;
  let server: S3Server;

  before(async function () {
    PayloadScene.require(this);
    requireToolchain(this, S3Server.setup);
    scene = new PayloadScene('store-away');
    server = await S3Server.start(join(scene.dir, 's3'));
    await start();
    await scene.createTopic();
    await scene.produce(Array(RECORDS.count).fill(RECORDS.large));
    await until(
      'all complete segments are in the bucket',
      60_000,
      async () =>
        server.contents().objects.length === SEGMENTS - 1 && (await metric('tier_moves_running')) === 0,
    );
  });

  after(async () => {
    await scene?.stop();
    await server?.kill();
    await scene?.end();
  });

  const metric = (name: string) => scene.metric(name);

  /** Afterwards nothing moves, so that it is known what is where. */
  function start(more: Record<string, string> = {}): Promise<void> {
    return scene.start({
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,S3',
      'storage.tiers.first.paths': join(scene.dir, 'fast'),
      'storage.tiers.first.sizes': '100000000',
      ...server.settings(join(scene.dir, 'cache')),
      'storage.migrate.threshold': '0',
      'payload.segment.bytes': '1048576',
      ...more,
    });
  }

  /** What Fetch answers for a partition's records from an offset on. */
  async function fetchError(offset: number): Promise<number> {
    const wire = await WireClient.connect(scene.broker.bootstrap);
    try {
      const partition = createFetchPartition({ fetchOffset: BigInt(offset), partitionMaxBytes: 1 << 20 });
      const { responses } = await wire.call([fetchRequest, fetchResponse], FETCH_VERSION, {
        ...{ maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 20 },
        topics: [createFetchTopic({ topic: scene.topic, partitions: [partition] })],
      });
      return responses[0]!.partitions[0]!.errorCode;
    } finally {
      wire.close();
    }
  }

  async function healthOfBucket(): Promise<string | null> {
    const ready = await fetch(`${scene.broker.metricsUrl}/health/ready`);
    assert.equal(ready.status, 200);
    const { tiers } = (await ready.json()) as { tiers: { path: string; error: string | null }[] };
    return tiers.find(({ path }) => path.startsWith('s3://'))!.error;
  }

  const troubles: readonly Trouble[] = [
    {
      name: 'is not there',
      begin: () => server.kill(),
      reason: /ECONNREFUSED.*see to storage\.s3\.endpoint/,
      end: () => server.start(),
    },
    {
      name: 'does not know the access key',
      begin: async () => server.giveCredentials('somebody-else'),
      reason: /InvalidAccessKeyId: .*see to the credentials \(storage\.s3\.credentials\.file/,
      end: async () => server.giveCredentials(),
    },
    {
      name: 'is given another secret',
      begin: async () => server.giveCredentials(undefined, 'mistaken'),
      reason: /SignatureDoesNotMatch: .*see to the credentials/,
      end: async () => server.giveCredentials(),
    },
    {
      name: 'has no such bucket',
      begin: async () => server.hideBucket(true),
      reason: /NoSuchBucket: .*make the bucket, or see to storage\.s3\.bucket/,
      end: async () => server.hideBucket(false),
    },
  ];

  for (const { name, begin, reason, end } of troubles)
    it(`serves all else when the object store ${name}, and goes on by itself`, async () => {
      const objects = server.contents().objects.sort();
      await scene.broker.kill('SIGTERM');
      await begin();
      try {
        await assert.rejects(scene.command('doctor', '--no-measure'), { message: reason });
        await start({ 'storage.migrate.threshold': '-1' });
        assert.match(scene.broker.logs(), /"level":"error".*the object store (refuses|is out of use)/);
        assert.match(scene.broker.logs(), reason);
        assert.match((await healthOfBucket())!, reason);
        assert.equal(await metric('tier_paths_out_of_use{tier="second"}'), 1);
        assert.equal(await fetchError(0), KAFKA_STORAGE_ERROR);
        assert.ok((await metric('payload_unreachable_total')) > 0);
        assert.equal(await metric('payload_errors_total'), 0);
        const end = scene.planned.length;
        await scene.produce([RECORDS.small, RECORDS.large]);
        assert.equal(await fetchError(end), NONE);
      } finally {
        await end();
      }
      await until('the tier is in use', 60_000, async () => (await healthOfBucket()) === null);
      assert.equal(await fetchError(0), NONE);
      await scene.consume();
      assert.deepEqual(server.contents().objects.sort(), objects);
      assert.equal(await metric('tier_memory_lost_batches_total'), 0);
    });

  it('starts for the first time without a bucket, and takes it when it is made', async () => {
    const fresh = new PayloadScene('store-later');
    server.hideBucket(true);
    try {
      const first = { 'storage.tiers.first.paths': join(fresh.dir, 'fast') };
      const cache = { 'storage.s3.cache.dir': join(fresh.dir, 'cache') };
      await fresh.start({
        ...scene.settings,
        ...first,
        ...cache,
        'storage.s3.prefix': 'another',
        'log.dirs': join(fresh.dir, 'data'),
        'storage.migrate.threshold': '0',
      });
      await fresh.createTopic();
      await fresh.produce(Array(6).fill(RECORDS.large));
    } finally {
      server.hideBucket(false);
    }
    const before = server.contents().objects.length;
    await until('something is in the bucket', 90_000, () => server.contents().objects.length > before);
    await fresh.consume();
    await fresh.end();
  });
});

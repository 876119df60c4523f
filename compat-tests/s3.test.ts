import assert from 'node:assert/strict';
import { join } from 'node:path';
import { until } from './harness/child.ts';
import { requireToolchain } from './harness/client.ts';
import { PayloadScene } from './harness/payload-scene.ts';
import { S3Server } from './harness/s3-server.ts';

const count = 40;
const size = 1_000_000;
/** Segments of twelve records, in three parts each. */
const segmentBytes = 12_582_912;
const segments = 4;
/** Between two parts of an upload there is time to interrupt it. */
const slowly = { 'storage.migrate.bytes.per.second': '2097152' };

describe('the storage tier S3, over an object store', () => {
  let scene: PayloadScene;
  let server: S3Server;
  let settings: Record<string, string>;

  before(async function () {
    PayloadScene.require(this);
    requireToolchain(this, S3Server.setup);
    scene = new PayloadScene('in-objects');
    server = await S3Server.start(join(scene.dir, 's3'));
    settings = {
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,S3',
      'storage.tiers.first.paths': join(scene.dir, 'fast'),
      'storage.tiers.first.sizes': '100000000',
      ...server.settings(join(scene.dir, 'cache')),
      'storage.migrate.threshold': '0',
      'payload.segment.bytes': String(segmentBytes),
    };
  });

  after(async () => {
    await scene?.stop();
    await server?.kill();
    await scene?.end();
  });

  /** A gateway over the same data, in place of the one before, with a client. */
  const start = (more: Record<string, string>) => scene.start({ ...settings, ...more });
  const outOfUse = () => scene.metric('tier_paths_out_of_use{tier="second"}');

  it('loses nothing when the object store dies in the middle of an upload', async () => {
    await start({ 'storage.migrate.threshold': '-1' });
    await scene.createTopic();
    await scene.produce(Array(count).fill(size));
    assert.equal(server.contents().objects.length, 0);
    await start(slowly);
    await until('a part is uploaded', 60_000, () => server.contents().parts > 0);
    await server.kill();
    await until('the tier is out of use', 60_000, async () => (await outOfUse()) === 1);
    await scene.consume();
  });

  it('goes on when it is back, and when the gateway is killed while it moves', async () => {
    await server.start();
    await until('the tier is in use again', 60_000, async () => (await outOfUse()) === 0);
    await until('a part is uploaded', 60_000, () => server.contents().parts > 0);
    await scene.broker.kill('SIGKILL');
    await start({});
    await until(
      'all segments are objects',
      60_000,
      async () => (await scene.metric('tier_files{tier="second"}')) === segments,
    );
    await until(
      'nothing is on its way',
      60_000,
      async () => (await scene.metric('tier_moves_running')) === 0,
    );
    const { objects, parts } = server.contents();
    assert.equal(objects.length, segments);
    assert.equal(parts, 0);
    assert.equal(await scene.metric('tier_used_bytes{tier="first"}'), 0);
    await scene.consume();
    assert.ok((await scene.metric('s3_downloaded_bytes_total')) > 0);
  });

  it('is found again, verified, and looked at by kafabric doctor', async () => {
    await scene.broker.kill('SIGTERM');
    await scene.verify();
    assert.match(
      await scene.command('doctor', '--no-measure'),
      /object store s3:\/\/payload\/kafabric\/node-1 at .* takes .* ms/,
    );
    await scene.broker.start();
    await scene.consume();
  });

  it('serves consumers that came while the object store was away as soon as it is back', async () => {
    await scene.broker.kill('SIGTERM'); // nothing is cached then
    await server.kill();
    await scene.broker.start();
    assert.equal(await outOfUse(), 1);
    const consumed = scene.consume();
    await until(
      'somebody was refused',
      60_000,
      async () => (await scene.metric('payload_unreachable_total')) > 0,
    );
    await server.start();
    await consumed;
    assert.equal(await outOfUse(), 0);
  });

  it('does not hold up a start that it does not answer', async () => {
    await scene.broker.kill('SIGTERM');
    server.freeze(true);
    try {
      await start({ 'storage.s3.request.timeout.ms': '600000', 'storage.migrate.threshold': '-1' });
      assert.equal(await outOfUse(), 1);
      await scene.produce([size]); // to the first tier
    } finally {
      server.freeze(false);
    }
    await until('the tier is in use', 60_000, async () => (await outOfUse()) === 0);
    await scene.consume();
  });

  it('loses what topics lose', async () => {
    await scene.client.call('deleteRecords', { topic: scene.topic, partition: 0, offset: 20 });
    await until('one object is gone', 60_000, () => server.contents().objects.length === segments - 1);
    await scene.deleteTopic();
    await until('all are gone', 60_000, () => server.contents().objects.length === 0);
  });
});

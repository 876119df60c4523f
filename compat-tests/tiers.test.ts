import assert from 'node:assert/strict';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './harness/child.ts';
import { PayloadScene } from './harness/payload-scene.ts';

const count = 40;
const size = 400_000;

describe('storage tiers', () => {
  let scene: PayloadScene;

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('tiered');
    await scene.start({
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'NVME,HDD',
      'storage.tiers.first.paths': join(scene.dir, 'fast'),
      'storage.tiers.first.sizes': '8388608',
      'storage.tiers.second.paths': join(scene.dir, 'slow'),
      'payload.segment.bytes': '1048576',
    });
  });

  after(() => scene?.end());

  const used = (tier: string) => scene.metric(`tier_used_bytes{tier="${tier}"}`);

  it('move the oldest payload down, and clients see none of it', async () => {
    await scene.createTopic();
    await scene.produce(Array(count).fill(size));
    await until(
      'the first tier is below the threshold',
      30_000,
      async () => (await used('first')) <= 8_388_608 / 2,
    );
    assert.equal(await scene.metric('tier_backlog_bytes{tier="first"}'), 0);
    assert.ok((await scene.metric('tier_moved_in_bytes_total{tier="second"}')) > 0);
    assert.equal(await scene.metric('tier_move_failures_total{tier="second"}'), 0);
    await scene.consume();
  });

  it('are found again, and verified', async () => {
    await scene.broker.kill('SIGTERM');
    await scene.verify();
    await scene.broker.start();
    await scene.consume();
  });

  it('lose what topics lose', async () => {
    await scene.client.call('deleteRecords', { topic: scene.topic, partition: 0, offset: 20 });
    await until(
      'half of it is gone',
      30_000,
      async () => (await used('first')) + (await used('second')) < (count / 2 + 4) * size,
    );
    await scene.deleteTopic();
    await until('all of it is gone', 30_000, async () =>
      ['fast', 'slow'].every(
        (tier) => !readdirSync(join(scene.dir, tier)).some((name) => name.startsWith(scene.topic)),
      ),
    );
  });
});

describe('a gateway one of whose tiers is on a disk that is gone', () => {
  let scene: PayloadScene;

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('dead-disk');
    await start('NVME', 'HDD');
    await scene.createTopic();
    await scene.produce(Array(6).fill(size));
  });

  after(() => scene?.end());

  const pathOf = (type: string) => join(scene.dir, type);
  const start = (...types: string[]) =>
    scene.start({
      'log.channel.type': 'tiered',
      'storage.tiers.types': types.join(','),
      'storage.tiers.first.paths': pathOf(types[0]!),
      ...(types.length > 1 && { 'storage.tiers.second.paths': pathOf(types[1]!) }),
      'storage.migrate.threshold': '-1',
      'payload.segment.bytes': '1048576',
    });
  const forget = () => scene.command('payload', 'forget-tier', pathOf('NVME'));
  const tiers = async () => {
    const health = (await (await fetch(`${scene.broker.metricsUrl}/health/ready`)).json()) as {
      tiers: { tier: string | null; path: string; error: string | null }[];
    };
    return health.tiers.map(({ tier, path, error }) => [tier, path, error !== null]);
  };

  it('starts, says so, and goes on; nothing is given up by itself', async () => {
    await scene.stop();
    renameSync(pathOf('NVME'), pathOf('away'));
    await start('NVME', 'HDD');
    assert.deepEqual(await tiers(), [
      ['first', pathOf('NVME'), true],
      ['second', pathOf('HDD'), false],
    ]);
    assert.equal(await scene.metric('tier_paths_out_of_use{tier="first"}'), 1);
    await scene.produce([size]);
    await assert.rejects(forget(), /is using this directory/);
    await scene.stop();
    await assert.rejects(
      scene.command('payload', 'verify', '--remove-lost'),
      /nothing is removed while payload may be where nobody can look/,
    );
    renameSync(pathOf('away'), pathOf('NVME'));
    await assert.rejects(forget(), /is there, and holds payload: nothing of it is lost/);
    await start('NVME', 'HDD');
    await scene.consume();
  });

  it('misses one that no setting names any more', async () => {
    await start('HDD');
    assert.deepEqual(await tiers(), [
      ['first', pathOf('HDD'), false],
      [null, pathOf('NVME'), true],
    ]);
    assert.equal(await scene.metric('tier_paths_absent'), 1);
  });

  it('starts with fewer tiers when what was there is given up, and the log without these records', async () => {
    await scene.stop();
    renameSync(pathOf('NVME'), pathOf('dead'));
    assert.match(await forget(), /is given up: `kafabric payload verify`/);
    await assert.rejects(scene.command('payload', 'verify'), /MISSING: dead-disk-0 offset 0/);
    assert.match(
      await scene.command('payload', 'verify', '--remove-lost'),
      /removed: dead-disk-0: 6 batches/,
    );
    await start('HDD');
    assert.deepEqual(await tiers(), [['first', pathOf('HDD'), false]]);
    await scene.consume(scene.planned.slice(6));
    await scene.produce([size]);
    await scene.consume(scene.planned.slice(6));
  });
});

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './harness/child.ts';
import { PayloadScene } from './harness/payload-scene.ts';

const count = 40;
const size = 400_000;

describe('storage tiers', function () {
  this.timeout(60_000);
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

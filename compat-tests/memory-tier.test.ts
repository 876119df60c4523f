import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../src/util/testing/files-below.ts';
import { PayloadScene } from './harness/payload-scene.ts';

const large = 20;
/** The last is not diverted. */
const sizes: number[] = [...Array(large).fill(400_000), 100];

describe('a storage tier in memory', () => {
  let scene: PayloadScene;
  let memory: string;

  before(async function () {
    PayloadScene.require(this);
    memory = mkdtempSync('/dev/shm/kafabric-memory-tier-');
    scene = new PayloadScene('in-memory');
    await scene.start({
      'log.durability': 'os',
      'log.channel.type': 'tiered',
      'storage.tiers.types': 'MEMORY,HDD',
      'storage.tiers.first.paths': join(memory, 'tier'),
      'storage.tiers.first.sizes': '67108864',
      'storage.tiers.second.paths': join(scene.dir, 'disk'),
      'storage.migrate.threshold': '-1',
      'payload.segment.bytes': '1048576',
    });
  });

  after(async () => {
    await scene?.end();
    if (memory) rmSync(memory, { recursive: true });
  });

  const filesIn = (directory: string) =>
    existsSync(directory) ? filesBelow(directory).filter((path) => path.endsWith('.payload')).length : 0;

  it('holds what is new, and outlasts kill -9', async () => {
    await scene.createTopic();
    await scene.produce(sizes);
    assert.ok(filesIn(memory) > 0);
    assert.equal(filesIn(join(scene.dir, 'disk')), 0);
    await scene.broker.kill('SIGKILL');
    await scene.broker.start();
    await scene.consume();
  });

  it('is empty after a clean stop', async () => {
    await scene.broker.kill('SIGTERM');
    assert.equal(filesIn(memory), 0);
    rmSync(join(memory, 'tier'), { recursive: true });
    await scene.broker.start();
    await scene.consume();
  });

  it('loses what was in it, and no more, when the machine restarts', async () => {
    const kept = [...scene.planned];
    await scene.produce(sizes);
    await scene.broker.kill('SIGKILL');
    rmSync(join(memory, 'tier'), { recursive: true });
    await scene.broker.start();
    kept.push(scene.planned.at(-1)!);
    await scene.consume(kept);
    assert.equal(await scene.metric('tier_memory_lost_batches_total'), large);
    await scene.produce([400_000]);
    await scene.consume([...kept, scene.planned.at(-1)!]);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PayloadScene } from './harness/payload-scene.ts';

const sizes: number[] = Array(20).fill(700_000);

describe('log.channel.type=pmem, on memory that is declared persistent', () => {
  const forced = process.env.PMEM_IS_PMEM_FORCE;
  let scene: PayloadScene;
  let memory: string;

  before(async function () {
    PayloadScene.require(this);
    process.env.PMEM_IS_PMEM_FORCE = '1';
    memory = mkdtempSync('/dev/shm/kafabric-pmem-tier-');
    scene = new PayloadScene('persistent');
    await scene.start({
      'log.channel.type': 'pmem',
      'storage.tiers.first.paths': join(memory, 'tier'),
      'storage.tiers.first.sizes': '134217728',
      'log.pmem.pool.ratio': '0.25',
      'payload.segment.bytes': '4194304',
    });
  });

  after(async () => {
    await scene?.end();
    if (memory) rmSync(memory, { recursive: true });
    if (forced === undefined) delete process.env.PMEM_IS_PMEM_FORCE;
    else process.env.PMEM_IS_PMEM_FORCE = forced;
  });

  it('has all payload there, also after kill -9 and a clean stop', async () => {
    assert.match(scene.broker.logs(), /a tier directory is used as persistent memory/);
    await scene.createTopic();
    await scene.produce(sizes);
    await scene.consume();
    await scene.broker.kill('SIGKILL');
    await scene.broker.start();
    await scene.consume();
    await scene.produce(sizes);
    await scene.broker.kill('SIGTERM');
    await scene.broker.start();
    await scene.consume();
    const files = readdirSync(join(memory, 'tier'), { recursive: true, encoding: 'utf8' });
    assert.ok(files.filter((name) => name.endsWith('.payload')).length > 4);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { KillLoop } from './kill-loop.fixture.ts';

const rounds = Number(process.env.KAFABRIC_TIER_KILLS ?? 8);

describe('Payload in storage tiers, with the process killed again and again', () => killing('disk', rounds));
describe('The same with the first tier in memory', () => killing('memory', Math.ceil(rounds / 4)));

function killing(first: 'disk' | 'memory', rounds: number): void {
  const memory = first === 'memory' ? mkdtempSync('/dev/shm/test-tiers-') : null;
  const child = new URL('./tiers-kill.child.js', import.meta.url);
  const loop = new KillLoop(child, `tiers-${first}`, { TIERS_MEMORY: memory ?? '' });

  after(() => {
    if (memory !== null) rmSync(memory, { recursive: true });
    loop.end();
  });

  it(`has everything that was acknowledged, once, after each of ${rounds} kills`, async function () {
    this.timeout(300_000 + rounds * 60_000);
    const random = new SeededRandom(20);
    for (let round = 1; round <= rounds; round++) await loop.run(round, random.integer(50, 700));
    await loop.run(rounds + 1, null);
    assert.ok(loop.written.filter((line) => line.startsWith('acknowledged')).length >= rounds);
  });
}

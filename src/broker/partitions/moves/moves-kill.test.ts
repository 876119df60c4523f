import assert from 'node:assert/strict';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { KillLoop } from '../kill-loop.fixture.ts';

const rounds = Number(process.env.KAFABRIC_MOVE_KILLS ?? 8);

describe('Moves between log directories, with the process killed again and again', () => {
  const loop = new KillLoop(new URL('./moves-kill.child.js', import.meta.url), 'moves');

  const hasMoved = () => loop.written.includes('moved 0 0');

  after(() => loop.end());

  it(`has everything that was acknowledged, in one place, after each of ${rounds} kills`, async function () {
    this.timeout(300_000 + rounds * 60_000);
    const random = new SeededRandom(30);
    let round = 1;
    // On a slow machine a process may be killed before it has moved anything.
    for (; round <= rounds || (!hasMoved() && round <= 2 * rounds); round++) {
      await loop.run(round, random.integer(100, 1_500));
    }
    await loop.run(round, null);
    assert.ok(loop.written.filter((line) => line.startsWith('acknowledged')).length >= rounds);
    assert.ok(hasMoved(), 'nothing was ever moved');
  });
});

import assert from 'node:assert/strict';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { KillLoop } from '../kill-loop.fixture.ts';

const MOVED = 'moved';
const rounds = Number(process.env.KAFABRIC_MOVE_KILLS ?? 8);

describe('Moves between log directories, with the process killed again and again', () => {
  const loop = new KillLoop(new URL('./moves-kill.child.js', import.meta.url), 'moves');

  const hasMoved = () => loop.written.some((line) => line.startsWith(MOVED));

  after(() => loop.end());

  it(`has everything that was acknowledged, in one place, after each of ${rounds} kills`, async function () {
    this.timeout(300_000 + rounds * 60_000);
    const random = new SeededRandom(30);
    let round = 1;
    for (; round <= rounds; round++) await loop.run(round, random.integer(100, 1_500));
    // On a slow machine each may have been killed before it had moved anything.
    for (; !hasMoved(); round++) await loop.run(round, random.integer(100, 1_500), MOVED);
    await loop.run(round, null);
    assert.ok(loop.written.filter((line) => line.startsWith('acknowledged')).length >= rounds);
  });
});

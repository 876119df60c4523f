import assert from 'node:assert/strict';
import { Store } from '../../native/store.ts';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { checkPayload } from '../verify/payload-check.ts';
import { KillLoop } from './kill-loop.fixture.ts';

const rounds = Number(process.env.KAFABRIC_COMPACTION_KILLS ?? 8);

describe('Compaction, with the process killed again and again', function () {
  this.timeout(300_000 + rounds * 60_000);
  const loop = new KillLoop(new URL('./compaction-kill.child.js', import.meta.url), 'compaction');

  after(() => loop.end());

  it(`has the last value of each key, and no payload of nobody, after ${rounds} kills`, async () => {
    const random = new SeededRandom(21);
    for (let round = 1; round <= rounds; round++) await loop.run(round, random.integer(50, 900));
    await loop.run(rounds + 1, null);
    assert.ok(loop.written.length >= rounds);
    const store = new Store({ threads: 1 });
    try {
      const options = {
        store,
        directories: [loop.directory],
        tiers: [],
        topics: null,
        openStores: null,
        readPayload: true,
        repair: false,
      };
      const { problems, extents } = await checkPayload(options);
      assert.deepEqual(problems, []);
      assert.ok(extents > 0);
    } finally {
      await store.shutdown();
    }
  });
});

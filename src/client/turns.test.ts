import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { Turns } from './turns.ts';

describe('turns', () => {
  it('are taken in order, and passed on by those who have given up', async () => {
    const turns = new Turns();
    assert.equal(await turns.take(null, undefined), true);
    const stop = new AbortController();
    const order: string[] = [];
    const late = turns.take(5, undefined).then((is) => order.push(`late ${is}`));
    const stopped = turns.take(null, stop.signal).then((is) => order.push(`stopped ${is}`));
    const last = turns.take(10_000, undefined).then((is) => order.push(`last ${is}`));
    await late;
    stop.abort();
    // Its turn comes at the moment at which it is given up.
    turns.give();
    await Promise.all([stopped, last]);
    assert.deepEqual(order, ['late false', 'stopped false', 'last true']);
    assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
    assert.equal(turns.isFree, false);
    turns.give();
    assert.equal(turns.isFree, true);
  });
});

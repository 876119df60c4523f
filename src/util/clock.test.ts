import assert from 'node:assert/strict';
import { isPausing } from './clock.ts';

describe('A pause', () => {
  it('goes on until its end, or until the clock is set back', () => {
    const nows = [89, 90, 99, 100, 101];
    assert.deepEqual(
      nows.map((now) => isPausing(100, now, 10)),
      [false, true, true, false, false],
    );
    assert.equal(isPausing(Number.NEGATIVE_INFINITY, 0, 10), false);
  });
});

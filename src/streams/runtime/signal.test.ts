import assert from 'node:assert/strict';
import { Signal } from './signal.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a signal', () => {
  it('wakes who waits, and the next one where nobody does', async () => {
    const signal = new Signal();
    signal.give();
    await signal.wait(60_000);
    const waiting = signal.wait(60_000);
    signal.give();
    await waiting;
  });

  it('does not shorten a pause that something else ends', async () => {
    const signal = new Signal();
    let isOver = false;
    let hasEnded = false;
    signal.give();
    const pause = signal
      .waitUnless(() => isOver, 60_000)
      .then(() => {
        hasEnded = true;
      });
    for (let i = 0; i < 3; i++) {
      await turn();
      assert.equal(hasEnded, false);
      signal.give();
    }
    isOver = true;
    signal.give();
    await pause;
  });
});

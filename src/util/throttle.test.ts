import assert from 'node:assert/strict';
import { VirtualClock } from './testing/virtual-clock.ts';
import { Throttle } from './throttle.ts';

describe('Throttle', () => {
  let clock: VirtualClock;
  let rate: number;
  let throttle: Throttle;
  let startMs: number;
  /** When each of those that waited went on. */
  let wentOnMs: number[];

  beforeEach(() => {
    clock = new VirtualClock();
    startMs = clock.now();
    rate = 1000;
    throttle = new Throttle(clock, () => rate);
    wentOnMs = [];
  });

  const wait = (bytes: number) => {
    void throttle.wait(bytes).then(() => wentOnMs.push(clock.now() - startMs));
  };

  it('keeps below a rate that changes, and stops at 0', () => {
    assert.ok(throttle.isOpen);
    throttle.spend(2000);
    assert.ok(!throttle.isOpen);
    assert.equal(throttle.delayMs, 2000);
    clock.tick(1999);
    assert.ok(!throttle.isOpen);
    clock.tick(1);
    assert.ok(throttle.isOpen);
    throttle.spend(1_000_000);
    rate = Number.MAX_SAFE_INTEGER;
    clock.tick(1);
    assert.ok(throttle.isOpen, 'what was spent before is forgiven by a higher rate');
    rate = 0;
    clock.tick(1000);
    assert.equal(throttle.delayMs, Number.POSITIVE_INFINITY);
  });

  it('has nobody wait for a clock that was set back', () => {
    throttle.spend(2000);
    clock.standStill(-3_600_000);
    assert.equal(throttle.delayMs, 2000);
    clock.tick(2000);
    assert.ok(throttle.isOpen);
  });

  it('has nobody wait without a limit', () => {
    rate = -1;
    throttle.spend(1e12);
    assert.ok(throttle.isOpen);
  });

  it('lets those that wait go on one after the other, the first at once', async () => {
    for (const bytes of [500, 1000, 250, 250]) wait(bytes);
    await clock.advance(10_000);
    assert.deepEqual(wentOnMs, [0, 500, 1500, 1750]);
    assert.equal(clock.pending, 0);
  });

  it('sees a rate that changes to and from 0 while somebody waits', async () => {
    wait(1_000_000);
    wait(10);
    rate = 0;
    await clock.advance(1_000_000);
    assert.equal(wentOnMs.length, 1, 'at 0 nothing is paid');
    rate = 1_000_000;
    await clock.advance(1200);
    assert.equal(wentOnMs.length, 2, 'nobody waits for what the rate was once');
    rate = 0;
    await clock.advance(1000);
    wait(10);
    await clock.advance(1000);
    assert.equal(wentOnMs.length, 2);
    rate = -1;
    await clock.advance(1000);
    assert.equal(wentOnMs.length, 3);
  });

  it('ends all that wait', async () => {
    for (const bytes of [1_000_000, 1, 1]) wait(bytes);
    await clock.advance(1000);
    assert.equal(wentOnMs.length, 1);
    throttle.end();
    await clock.advance(0);
    assert.equal(wentOnMs.length, 3);
    assert.equal(clock.pending, 0);
    rate = 0;
    wait(1);
    await clock.advance(0);
    assert.equal(wentOnMs.length, 4, 'nobody waits any more');
    assert.equal(clock.pending, 0);
  });
});

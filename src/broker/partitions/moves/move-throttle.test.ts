import assert from 'node:assert/strict';
import type { Clock } from '../../../util/clock.ts';
import { MoveThrottle } from './move-throttle.ts';

describe('The throttle of moves', () => {
  it('keeps below a rate that changes, and stops at 0', () => {
    let now = 0;
    let rate = 1000;
    const throttle = new MoveThrottle({ now: () => now } as Clock, () => rate);
    assert.ok(throttle.isOpen);
    throttle.spend(2000);
    assert.ok(!throttle.isOpen);
    now = 1999;
    assert.ok(!throttle.isOpen);
    now = 2000;
    assert.ok(throttle.isOpen);
    throttle.spend(1_000_000);
    rate = Number.MAX_SAFE_INTEGER;
    now++;
    assert.ok(throttle.isOpen, 'what was copied before is forgiven by a higher rate');
    rate = 0;
    now += 1000;
    assert.ok(!throttle.isOpen);
  });
});

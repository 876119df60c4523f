import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { MemoryBudget } from './memory-budget.ts';

describe('MemoryBudget', () => {
  it('lets answers wait in order until memory has been freed, and polls only then', async () => {
    const clock = new VirtualClock();
    let usedBytes = 200;
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes }), 0.5, clock);
    assert.equal(budget.acquire(240), undefined);
    const granted: number[] = [];
    void budget.acquire(240)?.then(() => granted.push(240));
    void budget.acquire(100)?.then(() => granted.push(100));
    assert.equal(budget.waiters, 2, 'nobody overtakes');
    usedBytes = 300;
    budget.taken(240);
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, []);
    usedBytes = 200;
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, [240]);
    budget.taken(240);
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, [240, 100]);
    assert.equal(clock.pending, 0);
  });

  it('serves an answer beyond its share when it fits and nothing else is promised', async () => {
    const clock = new VirtualClock();
    let usedBytes = 400;
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes }), 0.5, clock);
    const large = budget.acquire(800);
    assert.notEqual(large, undefined);
    usedBytes = 100;
    clock.tick(5);
    await large;
    assert.notEqual(budget.acquire(1), undefined);
  });

  it('does not have others wait behind a large part of its share until nearly nothing is in use', async () => {
    const clock = new VirtualClock();
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes: 400 }), 0.5, clock);
    assert.equal(budget.acquire(50), undefined);
    const large = budget.acquire(500);
    assert.notEqual(large, undefined);
    budget.taken(50);
    clock.tick(5);
    await large;
    budget.taken(500);
    assert.equal(budget.acquire(50), undefined);
  });

  it('lets those go that are gone, also while there is no room', async () => {
    const clock = new VirtualClock();
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes: 1000 }), 0.5, clock);
    let isGone = false;
    const waiting = budget.acquireWithin(10, 1000, () => isGone);
    clock.tick(5);
    assert.equal(budget.waiters, 1);
    isGone = true;
    clock.tick(5);
    assert.equal(await waiting, false);
    assert.equal(clock.pending, 0);
  });

  it('lets those go that would wait for too long, and counts nothing for them', async () => {
    const clock = new VirtualClock();
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes: 0 }), 0.5, clock);
    assert.equal(budget.acquireWithin(400, 100), true);
    const first = budget.acquire(300);
    const late = budget.acquireWithin(300, 100);
    clock.tick(105);
    assert.equal(await late, false);
    assert.equal(budget.waiters, 1);
    budget.taken(400);
    clock.tick(5);
    await first;
    budget.taken(300);
    assert.equal(budget.acquire(500), undefined);
  });

  it('is not held up by an answer that is larger than the memory', async () => {
    const clock = new VirtualClock();
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes: 100 }), 0.5, clock);
    assert.equal(budget.acquire(100), undefined);
    const never = budget.acquire(5000);
    const next = budget.acquire(10);
    budget.taken(100);
    clock.tick(5);
    await never;
    budget.taken(5000);
    clock.tick(5);
    await next;
    assert.equal(budget.waiters, 0);
  });

  it('serves who has waited for long beyond the share, one at a time, while others go on using the rest', async () => {
    const clock = new VirtualClock();
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes: 700 }), 0.5, clock);
    const granted: number[] = [];
    for (const bytes of [100, 50]) void budget.acquire(bytes)?.then(() => granted.push(bytes));
    await clock.advance(900);
    assert.equal(granted.length, 0);
    await clock.advance(200);
    assert.deepEqual(granted, [100]);
    budget.taken(100);
    await clock.advance(10);
    assert.deepEqual(granted, [100, 50]);
    budget.taken(50);
    void budget.acquire(200)?.then(() => granted.push(200));
    await clock.advance(5000);
    assert.deepEqual(granted, [100, 50], 'some is left for who writes');
  });
});

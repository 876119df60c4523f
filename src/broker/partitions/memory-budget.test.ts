import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { MemoryBudget } from './memory-budget.ts';

describe('MemoryBudget', () => {
  it('lets answers wait in order until memory has been freed, and polls only then', async () => {
    const clock = new VirtualClock();
    let usedBytes = 0;
    const budget = new MemoryBudget(() => ({ capacityBytes: 1000, usedBytes }), 0.5, clock);
    assert.equal(budget.acquire(300), undefined);
    const granted: number[] = [];
    void budget.acquire(300)?.then(() => granted.push(300));
    void budget.acquire(100)?.then(() => granted.push(100));
    assert.equal(budget.waiters, 2, 'nobody overtakes');
    usedBytes = 300;
    budget.taken(300);
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, []);
    usedBytes = 150;
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, [300]);
    budget.taken(300);
    clock.tick(5);
    await setImmediate();
    assert.deepEqual(granted, [300, 100]);
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
});

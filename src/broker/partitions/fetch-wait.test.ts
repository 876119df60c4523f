import assert from 'node:assert/strict';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { FetchWait } from './fetch-wait.ts';

describe('FetchWait', () => {
  const make = () => ({ waiters: new Set<FetchWait>() });

  it('ends with enough bytes from any of its partitions', async () => {
    const clock = new VirtualClock();
    const [a, b] = [make(), make()];
    const wait = new FetchWait(10, 500, clock);
    wait.watch(a);
    wait.watch(b);
    wait.offer(6);
    assert.equal(a.waiters.size, 1);
    wait.offer(4);
    await wait.done;
    assert.equal(a.waiters.size + b.waiters.size, 0);
    assert.equal(clock.pending, 0);
  });

  it('ends when its time is over or it is called off', async () => {
    const clock = new VirtualClock();
    const partition = make();
    const wait = new FetchWait(10, 500, clock);
    wait.watch(partition);
    clock.tick(499);
    assert.equal(partition.waiters.size, 1);
    clock.tick(1);
    await wait.done;
    const other = new FetchWait(10, 500, clock);
    other.watch(partition);
    other.finish();
    other.finish();
    await other.done;
    assert.equal(partition.waiters.size, 0);
    assert.equal(clock.pending, 0);
  });
});

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { InOrder } from './in-order.ts';

describe('InOrder', () => {
  const never = () => assert.fail();

  it('runs at once what has its input and nothing ahead', () => {
    const order = new InOrder();
    const seen: number[] = [];
    order.submit(1, (value) => seen.push(value), never);
    assert.deepEqual(seen, [1]);
    assert.equal(order.size, 0);
  });

  it('keeps the order of submission, whatever is ready first, and failures in their place', async () => {
    const order = new InOrder();
    const seen: unknown[] = [];
    let release = (_value: string) => {};
    const slow = new Promise<string>((resolve) => {
      release = resolve;
    });
    order.submit(slow, (value) => seen.push(value), never);
    order.submit(Promise.reject(new Error('bad')), never, (error) => seen.push((error as Error).message));
    order.submit('sync', (value) => seen.push(value), never);
    await setImmediate();
    assert.deepEqual(seen, []);
    release('slow');
    await setImmediate();
    assert.deepEqual(seen, ['slow', 'bad', 'sync']);
    assert.equal(order.size, 0);
  });

  it('takes no longer for each when many wait', async () => {
    const order = new InOrder();
    const count = 200_000;
    let ran = 0;
    let release = () => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    order.submit(slow, () => ran++, never);
    for (let i = 0; i < count; i++) order.submit(null, () => ran++, never);
    const begin = performance.now();
    release();
    await setImmediate();
    assert.equal(ran, count + 1);
    assert.ok(performance.now() - begin < 2_000, `${performance.now() - begin} ms`);
  });

  it('keeps what an action submits behind what is queued', async () => {
    const order = new InOrder();
    const seen: string[] = [];
    order.submit(
      Promise.resolve(),
      () => {
        seen.push('first');
        order.submit(null, () => seen.push('third'), never);
      },
      never,
    );
    order.submit(null, () => seen.push('second'), never);
    await setImmediate();
    assert.deepEqual(seen, ['first', 'second', 'third']);
  });
});

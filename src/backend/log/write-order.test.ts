import assert from 'node:assert/strict';
import { WriteOrder } from './write-order.ts';

/** A write that a test ends. */
function write(): { done: Promise<void>; succeed: () => void; fail: (error: Error) => void } {
  let succeed = () => {};
  let fail: (error: Error) => void = () => {};
  const done = new Promise<void>((resolve, reject) => {
    succeed = resolve;
    fail = reject;
  });
  return { done, succeed, fail };
}

describe('WriteOrder', () => {
  it('finishes writes in the order in which they were added', async () => {
    const order = new WriteOrder(0n, () => assert.fail('a write failed'));
    const [first, second] = [write(), write()];
    const finished: number[] = [];
    const written = [order.add(1n, first.done), order.add(2n, second.done)];
    written.forEach((each, index) => void each!.then(() => finished.push(index)));
    second.succeed();
    await second.done;
    assert.equal(order.endOffset, 0n);
    first.succeed();
    await order.written();
    assert.deepEqual(finished, [0, 1]);
    assert.equal(order.endOffset, 2n);
  });

  it('fails everything behind a failed write, and reports it when all have ended', async () => {
    const failures: unknown[] = [];
    const order = new WriteOrder(0n, (error) => failures.push(error));
    const [first, second, third] = [write(), write(), write()];
    const written = [first, second, third].map(({ done }, index) => order.add(BigInt(index + 1), done));
    const full = new Error('full');
    second.fail(full);
    third.succeed();
    await third.done;
    await assert.rejects(order.written(), full);
    assert.equal(order.failed, true);
    assert.deepEqual(failures, []);
    first.succeed();
    await written[0];
    await assert.rejects(written[1]!, full);
    await assert.rejects(written[2]!, full);
    await order.idle();
    assert.deepEqual(failures, [full]);
    assert.equal(order.endOffset, 1n);
    order.restart(1n);
    assert.equal(order.failed, false);
    await order.written();
  });

  it('finishes at once what is done already, unless something before it is not', async () => {
    const order = new WriteOrder(0n, () => {});
    assert.equal(order.add(1n, null), null);
    assert.equal(order.endOffset, 1n);
    const slow = write();
    const finished: string[] = [];
    const written = order.add(2n, slow.done);
    const behind = order.add(3n, null);
    assert.ok(behind, 'it waits for its turn');
    void written!.then(() => finished.push('slow'));
    void behind.then(() => finished.push('behind'));
    await Promise.resolve();
    assert.deepEqual([order.endOffset, finished], [1n, []]);
    slow.succeed();
    await order.written();
    assert.deepEqual([order.endOffset, finished], [3n, ['slow', 'behind']]);
    await order.idle();
    assert.equal(order.add(4n, null), null);
    await order.written();
    assert.equal(order.endOffset, 4n);
  });

  it('fails what is done already behind a failed write', async () => {
    const order = new WriteOrder(0n, () => {});
    const failing = write();
    const written = order.add(1n, failing.done);
    const full = new Error('full');
    const behind = order.add(2n, null);
    failing.fail(full);
    await assert.rejects(written!, full);
    await assert.rejects(behind!, full);
    const later = order.add(3n, null);
    assert.ok(later, 'the log has not gone back yet');
    assert.equal(order.endOffset, 0n);
    await order.idle();
    order.restart(0n);
    assert.equal(order.add(1n, null), null);
    assert.equal(order.endOffset, 1n);
  });
});

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { unlessAborted } from './errors.ts';

describe('waits that a signal ends', () => {
  it('are not begun when it has said so before', async () => {
    let begun = false;
    const action = async () => {
      begun = true;
    };
    const reason = new Error('enough');
    await assert.rejects(unlessAborted(action, 'test', AbortSignal.abort(reason)), {
      code: 'ABORTED',
      doing: 'test',
      cause: reason,
    });
    assert.ok(!begun);
  });

  it('give back what comes too late', async () => {
    const controller = new AbortController();
    let arrive: (value: string) => void = () => undefined;
    const late: string[] = [];
    const waiting = unlessAborted(
      () =>
        new Promise<string>((resolve) => {
          arrive = resolve;
        }),
      'test',
      controller.signal,
      (value) => late.push(value),
    );
    controller.abort();
    await assert.rejects(waiting, { code: 'ABORTED' });
    arrive('memory');
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(late, ['memory']);
  });

  it('leave nothing behind when they end by themselves', async () => {
    const { signal } = new AbortController();
    const late: unknown[] = [];
    const note = (value: unknown) => late.push(value);
    assert.equal(await unlessAborted(async () => 7, 'test', signal, note), 7);
    const fails = async () => {
      throw new Error('no');
    };
    await assert.rejects(unlessAborted(fails, 'test', signal, note), /^Error: no$/);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    assert.deepEqual(late, []);
  });
});

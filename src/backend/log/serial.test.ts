import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { CoalescedWrite } from './serial.ts';

describe('CoalescedWrite', () => {
  it('runs one write at a time, also for who asks again when one has ended', async () => {
    let running = 0;
    let most = 0;
    let writes = 0;
    const write = new CoalescedWrite(async () => {
      writes++;
      most = Math.max(most, ++running);
      await setImmediate();
      running--;
    });
    const [first, second] = [write.request(), write.request()];
    await first;
    const third = write.request();
    await write.idle();
    assert.equal(running, 0);
    await Promise.all([second, third]);
    assert.deepEqual({ most, writes, isBusy: write.isBusy }, { most: 1, writes: 2, isBusy: false });
  });
});

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { LaterOpens } from './later-opens.ts';

describe('partitions that are opened later', () => {
  it('are forgotten without a wait for others, and not tried any more', async () => {
    const clock = new VirtualClock();
    const opens = new LaterOpens(clock);
    let open: (isSettled: boolean) => void = () => {};
    const tried: string[] = [];
    opens.add('slow-0', () => {
      tried.push('slow-0');
      return new Promise((resolve) => {
        open = resolve;
      });
    });
    opens.add('gone-0', async () => {
      tried.push('gone-0');
      return false;
    });
    clock.tick(500);
    assert.deepEqual(tried, ['slow-0']);
    await opens.forget(new Set(['gone-0']));
    let isForgotten = false;
    const forgotten = opens.forget(new Set(['slow-0'])).then(() => {
      isForgotten = true;
    });
    await setImmediate();
    assert.equal(isForgotten, false, 'it is being opened');
    open(false);
    await forgotten;
    for (let turn = 0; turn < 5; turn++) {
      await setImmediate();
      clock.tick(20_000);
    }
    assert.deepEqual(tried, ['slow-0']);
    await opens.stop();
  });
});

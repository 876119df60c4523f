import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { Relays } from './relays.ts';

/** An attempt to connect that nobody answers. */
interface Attempt {
  readonly signal: AbortSignal;
  fail(): void;
}

describe('Connections over which payload is passed on', () => {
  const clock = new VirtualClock();
  let attempts: Attempt[];
  let relays: Relays;

  beforeEach(() => {
    attempts = [];
    relays = new Relays(
      clock,
      (_address, signal) =>
        new Promise((_resolve, reject) =>
          attempts.push({ signal, fail: () => reject(new Error('nobody is there')) }),
        ),
    );
  });

  it('are tried no longer than somebody waits for them', async () => {
    const late = assert.rejects(relays.open('a', 'host:1'), { code: 'ETIMEDOUT' });
    assert.equal(attempts[0]!.signal.aborted, false);
    clock.tick(3000);
    await late;
    assert.equal(attempts[0]!.signal.aborted, true);
  });

  it('are not tried any more when their gateway is gone, which has ended then', async () => {
    const ended = assert.rejects(relays.open('a', 'host:1'), { code: 'ENOTCONN' });
    relays.end('the gateway is gone');
    await ended;
    assert.equal(attempts[0]!.signal.aborted, true);
    let isClosed = false;
    const closed = relays.closed().then(() => {
      isClosed = true;
    });
    await setImmediate();
    assert.equal(isClosed, false);
    attempts[0]!.fail();
    await closed;
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { DiskHealth } from './disk-health.ts';
import { diskError } from './testing.ts';

describe('The health of a store’s disk', () => {
  let root: string;
  let clock: VirtualClock;
  let health: DiskHealth;
  let changes: string[];
  let probes: number;
  let room: () => { freeBytes: number; capacityBytes: number };
  let wake: () => void;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'disk-health-'));
    clock = new VirtualClock();
    changes = [];
    probes = 0;
    room = () => ({ freeBytes: 10 ** 10, capacityBytes: 10 ** 11 });
    health = new DiskHealth({
      directory: root,
      clock,
      measure: async () => {
        probes++;
        return room();
      },
      changed: (state) => {
        changes.push(state);
        wake();
      },
    });
    wake = () => undefined;
  });
  afterEach(async () => {
    await health.stop();
    rmSync(root, { recursive: true });
  });

  function changed(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve;
    });
  }

  it('says nothing for errors that are not the disk’s', () => {
    for (const code of ['ENOENT', 'ENOTCONN', 'ENOMEM', 'ENOBUFS', 'EBADF']) health.failed(diskError(code));
    health.failed(new Error('without a code'));
    health.assertTakes();
    assert.deepEqual([health.state, health.trouble, changes], ['ok', '', []]);
  });

  it('takes nothing after a failure until a probe was flushed, and probes ever less often', async () => {
    health.failed(diskError('EIO', 'cannot flush x: Input/output error'));
    assert.throws(() => health.assertTakes(), { code: 'EIO', message: /has failed: cannot flush x/ });
    room = () => {
      throw diskError('EIO');
    };
    await clock.advance(999);
    assert.equal(probes, 0);
    await clock.advance(1);
    assert.equal(probes, 1);
    await clock.advance(1999);
    assert.equal(probes, 1);
    await clock.advance(1);
    assert.equal(probes, 2);
    await clock.advance(3_600_000);
    assert.ok(probes >= 60 && probes < 70, String(probes));
    assert.equal(health.state, 'failed');
    room = () => ({ freeBytes: 0, capacityBytes: 10 ** 11 });
    const well = changed();
    await clock.advance(60_000);
    await well;
    health.assertTakes();
    assert.deepEqual(changes, ['failed', 'ok']);
    assert.deepEqual(readdirSync(root), []);
  });

  it('is full until there is room again', async () => {
    health.failed(diskError('ENOSPC'));
    health.failed(diskError('EDQUOT'));
    assert.throws(() => health.assertTakes(), { code: 'ENOSPC', message: /is full/ });
    room = () => ({ freeBytes: 1000, capacityBytes: 10 ** 11 });
    await clock.advance(10_000);
    assert.equal(health.state, 'full');
    room = () => ({ freeBytes: 10 ** 9, capacityBytes: 10 ** 11 });
    const well = changed();
    await clock.advance(60_000);
    await well;
    assert.deepEqual([changes, health.failures], [['full', 'ok'], 2]);
    // And what fails then is worse than a lack of room.
    health.failed(diskError('ENOSPC'));
    health.failed(diskError('EROFS'));
    assert.deepEqual(changes.slice(2), ['full', 'failed']);
    assert.throws(() => health.assertTakes(), { code: 'EIO' });
  });
});

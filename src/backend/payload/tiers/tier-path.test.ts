import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { freeBytesOf, TierPath } from './tier-path.ts';

describe('A directory of a tier', () => {
  it('leaves a fiftieth of its file system to others, a gigabyte at most, in whole bytes', () => {
    assert.equal(freeBytesOf({ bavail: 1000, blocks: 1001, bsize: 4096 }), 4_096_000 - 82_001);
    assert.equal(freeBytesOf({ bavail: 2 ** 26, blocks: 2 ** 26, bsize: 4096 }), 2 ** 38 - 2 ** 30);
  });

  it('whose disk was full takes something again after a while, also when the clock is set back', async () => {
    const root = mkdtempSync(join(tmpdir(), 'tier-path-'));
    const clock = new VirtualClock();
    const path = new TierPath({ path: root, tier: 0, sizeBytes: 1000, clock, logger: silentLogger });
    await path.measure();
    rmSync(root, { recursive: true });
    const isFull = () => path.failed(Object.assign(new Error('no luck'), { code: 'ENOSPC' }));
    isFull();
    clock.tick(9_999);
    assert.equal(path.roomBytes, 0);
    clock.tick(1);
    assert.equal(path.roomBytes, 1000);
    isFull();
    clock.standStill(-3_600_000);
    assert.equal(path.roomBytes, 1000);
  });
});

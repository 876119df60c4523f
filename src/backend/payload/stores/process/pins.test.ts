import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../../util/logger.ts';
import { Pins } from './pins.ts';

describe('The pins of a gateway at a store', () => {
  it('are noted again after they could not be', async () => {
    const root = mkdtempSync(join(tmpdir(), 'pins-'));
    const directory = join(root, 'cluster.1');
    writeFileSync(directory, 'not a directory');
    const pins = new Pins(directory, silentLogger);
    pins.set('t-0', 1);
    await pins.closed();
    rmSync(directory);
    pins.set('t-1', 2);
    await pins.closed();

    const found = new Pins(directory, silentLogger);
    await found.load();
    assert.deepEqual([found.of('t-0'), found.of('t-1'), found.of('t-2')], [1, 2, null]);
    rmSync(root, { recursive: true });
  });
});

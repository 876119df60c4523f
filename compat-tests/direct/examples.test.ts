import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { targetIsKafka } from '../harness/broker.ts';

const run = promisify(execFile);

describe('examples of the direct API', function () {
  if (targetIsKafka) return;
  this.timeout(60_000);

  it('heat runs by one command, and moves what it selects', async () => {
    const program = fileURLToPath(new URL('../../../examples/heat/run.mjs', import.meta.url));
    const { stdout } = await run(process.execPath, [program, '21', '256']);
    assert.match(stdout, /21 steps of 0\.5 MB pushed/);
    assert.match(stdout, /step 20: hottest/);
    const selected = 3 * 256 * 8;
    assert.match(stdout, new RegExp(`${selected} of ${21 * 256 * 256 * 8} bytes were moved`));
  });
});

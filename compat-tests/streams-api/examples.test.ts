import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { targetIsKafka } from '../harness/broker.ts';

const run = promisify(execFile);

describe('the example of kafabric/streams', () => {
  if (targetIsKafka) return;

  it('runs by one command, and counts words', async () => {
    const program = fileURLToPath(new URL('../../../examples/streams/run.mjs', import.meta.url));
    const { stdout } = await run(process.execPath, [program]);
    assert.match(stdout, /Sub-topology 1/);
    assert.match(stdout, /^3 the$/m);
    assert.match(stdout, /^2 dog$/m);
    assert.match(stdout, /^1 fox$/m);
  });
});

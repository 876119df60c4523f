import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./stop-signals.child.js', import.meta.url));

type Line = 'starting' | 'started' | 'stopping';

/** Runs something whose start holds the thread for a while after its line "starting", and sends it the signal at each of the lines. */
async function run(
  lines: readonly Line[],
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [CHILD], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const left = new Set(lines);
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    for (const line of left)
      if (output.includes(`${line}\n`)) {
        left.delete(line);
        child.kill(signal);
      }
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

describe('What runs until it is stopped', () => {
  it('stops in order when it runs', async () => {
    const { code, output } = await run(['started']);
    assert.equal(code, 0);
    assert.match(output, /stopped\n/);
  });

  it('loses no signal that arrives while the last step of the start holds the thread', async () => {
    const { code } = await run(['starting']);
    assert.ok(code === 0 || code === 143, `ended with ${code}`);
  });

  it('stops in order when its terminal is closed, which it may hear twice', async () => {
    const { code, output } = await run(['started', 'stopping'], 'SIGHUP');
    assert.equal(code, 0);
    assert.match(output, /stopped\n/);
  });

  it('ends at once at a second signal of another kind', async () => {
    const { code, output } = await run(['started', 'stopping']);
    assert.equal(code, 143);
    assert.doesNotMatch(output, /stopped\n/);
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./stop-signals.child.js', import.meta.url));

/** Runs something whose start holds the thread for a while after its line "starting". */
async function run(signalAt: 'starting' | 'started'): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [CHILD], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let sent = false;
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (sent || !output.includes(`${signalAt}\n`)) return;
    sent = true;
    child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

describe('What runs until it is stopped', () => {
  it('stops in order when it runs', async () => {
    const { code, output } = await run('started');
    assert.equal(code, 0);
    assert.match(output, /stopped\n/);
  });

  it('loses no signal that arrives while the last step of the start holds the thread', async () => {
    const { code } = await run('starting');
    assert.ok(code === 0 || code === 143, `ended with ${code}`);
  });
});

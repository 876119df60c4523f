import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./gateway-stop.child.js', import.meta.url));
const PATIENCE_MS = 15_000;

describe('A gateway that stops', () => {
  it('ends also when a part of it cannot be closed, and says why', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gateway-stop-'));
    const child = spawn(process.execPath, [CHILD, directory], { stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    const [code, signal] = await once(child, 'close');
    clearTimeout(timer);
    rmSync(directory, { recursive: true });
    assert.match(output, /^a flush failed$/m);
    assert.deepEqual([code, signal], [0, null]);
  });
});

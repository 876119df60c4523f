import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { arenaStats } from './arena.ts';

const child = fileURLToPath(new URL('./net-hygiene.child.js', import.meta.url));

function run(
  ...scenario: string[]
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [child, ...scenario], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    process_.stdout.on('data', (chunk) => (stdout += chunk));
    process_.stderr.on('data', (chunk) => (stderr += chunk));
    process_.on('error', reject);
    process_.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

describe('reactor threads', () => {
  it('let the process end after a shutdown', async () => {
    const finished = { code: 0, signal: null, stdout: 'finished', stderr: '' };
    assert.deepEqual(await run('shutdown'), finished);
    assert.deepEqual(await run('shutdown', 'quiet'), finished);
  });

  it('end with a process that exits or fails under load', async () => {
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await run('exit'), { code: 0, signal: null, stdout: '', stderr: '' });
      assert.deepEqual(await run('exit', 'quiet'), { code: 0, signal: null, stdout: '', stderr: '' });
    }
    for (const load of [[], ['quiet']]) {
      const thrown = await run('throw', ...load);
      assert.equal(thrown.code, 1);
      assert.match(thrown.stderr, /on purpose/);
    }
  });

  it('end with 100 workers, half of them terminated under load', async () => {
    const work = (scenario: string): Promise<void> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(child, { workerData: scenario });
        worker.once('error', reject);
        worker.once('exit', () => resolve());
        worker.once('message', () => void worker.terminate());
      });
    for (let i = 0; i < 100; i += 4) {
      await Promise.all(['terminate', 'exit', 'terminate quiet', 'exit quiet'].map(work));
    }
    assert.equal(arenaStats().usedBytes, 0, 'dead workers gave their memory back');
  });
});

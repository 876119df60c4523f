import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { arenaStats } from './arena.ts';

const child = fileURLToPath(new URL('./hygiene.child.js', import.meta.url));

interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

function run(command: string, args: string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    process.stdout.on('data', (chunk) => (stdout += chunk));
    process.stderr.on('data', (chunk) => (stderr += chunk));
    process.on('error', reject);
    process.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

describe('native threads', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'kafabric-hygiene-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const node = (scenario: string): Promise<Ended> => run(process.execPath, [child, scenario, directory]);

  it('keep the process alive while operations are under way, and no longer', async () => {
    const { code, stdout, stderr } = await node('finish');
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'finished', stderr: '' });
    assert.equal((await node('idle')).code, 0);
  });

  it('end with the process when it exits in the midst of operations', async () => {
    for (let i = 0; i < 3; i++) {
      const { code, signal, stderr } = await node('exit');
      assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
    }
    const thrown = await node('throw');
    assert.equal(thrown.code, 1);
    assert.match(thrown.stderr, /on purpose/);
  });

  it('of the fabric end with the process, which they do not keep alive', async () => {
    const { code, stdout, stderr } = await node('fabric');
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'ETIMEDOUT', stderr: '' });
    const exited = await node('fabric-exit');
    assert.deepEqual(
      { code: exited.code, signal: exited.signal, stderr: exited.stderr },
      { code: 0, signal: null, stderr: '' },
    );
  });

  it('of the fabric are refused, and no more, when descriptors run out', async () => {
    const limited = `ulimit -n 128 && exec '${process.execPath}' '${child}' no-descriptors '${directory}'`;
    const { code, signal, stdout, stderr } = await run('sh', ['-c', limited]);
    assert.deepEqual(
      { code, signal, stdout, stderr },
      { code: 0, signal: null, stdout: 'EMFILE 0\n'.repeat(3), stderr: '' },
    );
  });

  it('end with 100 workers, half of them terminated in the midst of operations', async () => {
    const work = async (terminate: boolean): Promise<void> => {
      const worker = new Worker(child, { workerData: ['worker', directory] });
      await new Promise<void>((resolve, reject) => {
        worker.once('error', reject);
        worker.once('exit', () => resolve());
        if (terminate) worker.once('message', () => void worker.terminate());
      });
    };
    for (let i = 0; i < 100; i += 4) await Promise.all([work(true), work(false), work(true), work(false)]);
    assert.equal(arenaStats().usedBytes, 0, 'dead workers gave their memory back');
  });

  it('survive a full disk', async () => {
    // A file system of 256 KiB where mounting is allowed, else a limit on the size of files.
    const mount = `mount -t tmpfs -o size=256k none '${directory}' && exec '${process.execPath}' '${child}' fill-disk '${directory}'`;
    const unshare = ['-m', '-rm'].find((flags) => spawnSync('unshare', [flags, 'true']).status === 0);
    const mounted = unshare ? await run('unshare', [unshare, 'sh', '-c', mount]) : null;
    const limit = `ulimit -f 256 && exec '${process.execPath}' '${child}' fill-disk '${directory}'`;
    const expected = mounted?.code === 0 ? 'ENOSPC' : 'EFBIG';
    const { code, stdout, stderr } = mounted?.code === 0 ? mounted : await run('sh', ['-c', limit]);
    assert.equal(code, 0, stderr);
    const { good, codes, later, position, text } = JSON.parse(stdout);
    assert.ok(good > 0 && good < 30, `${good} appends fitted`);
    assert.deepEqual(codes, [expected]);
    assert.equal(later, expected);
    assert.equal(position, 10_000);
    assert.equal(text, '\u0001after');
  });
});

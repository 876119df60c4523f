import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const child = fileURLToPath(new URL('./memory-shortage.child.js', import.meta.url));

describe('A lack of memory', () => {
  let directory: string;
  before(function () {
    if (spawnSync('prlimit', ['--version']).status !== 0) this.skip();
    directory = mkdtempSync(join(tmpdir(), 'kafabric-memory-'));
  });
  after(() => directory && rmSync(directory, { recursive: true }));

  function run(scenario: string): string {
    // So that malloc asks the system for what is large.
    const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '131072' };
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['--expose-gc', child, scenario, directory],
      {
        env,
        encoding: 'utf8',
      },
    );
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
    return stdout;
  }

  it('refuses an append, and the next one has its place', () => {
    assert.equal(run('append'), 'ENOMEM\n0 5 after\n');
  });

  it('is an error of the call that needs the memory', () => {
    assert.match(run('check'), /bad_alloc/);
  });

  it('is an error of what a native thread does', () => {
    assert.equal(run('copy'), 'ENOENT\nENOMEM\n');
  });
});

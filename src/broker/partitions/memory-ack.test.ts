import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const child = fileURLToPath(new URL('./memory-ack.child.js', import.meta.url));

describe('a partition that acknowledges from memory', () => {
  const name = `test-memory-ack-${process.pid}`;
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'memory-ack-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('answers without a promise what is appended at once, and in order what is not', () => {
    const ended = spawnSync(process.execPath, [child, directory, name], { encoding: 'utf8' });
    assert.equal(ended.stderr, '');
    assert.equal(ended.status, 0);
    assert.deepEqual(
      readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`)),
      [],
    );
  });
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { recoverAcknowledged } from './journal.ts';

const child = fileURLToPath(new URL('./store-memory.child.js', import.meta.url));

describe('appends from shared memory', () => {
  const name = `test-store-${process.pid}`;
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'kafabric-store-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
    assert.deepEqual(
      readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`)),
      [],
    );
  });

  for (const scenario of ['kill', 'exit', 'shutdown']) {
    it(`are acknowledged at once and there after the end of the process (${scenario})`, async () => {
      const ended = spawnSync(process.execPath, [child, scenario, name, directory], { encoding: 'utf8' });
      assert.equal(ended.stderr, '');
      assert.equal(ended.signal, scenario === 'kill' ? 'SIGKILL' : null);
      assert.deepEqual(JSON.parse(ended.stdout), { acknowledged: 20, counted: 20, size: 11_003 });
      const report = await recoverAcknowledged(name);
      assert.deepEqual([report.problems, report.skippedFiles, report.inUse], [[], 0, 0]);
      const isShutDown = scenario === 'shutdown';
      if (isShutDown) assert.equal(report.entries, 0);
      const expected = [Buffer.alloc(1000, 'a')];
      for (let i = 0; i < 20; i++) expected.push(Buffer.alloc(500, 66 + i));
      const content = readFileSync(join(directory, 'log'));
      assert.ok(content.subarray(0, 11_000).equals(Buffer.concat(expected)));
      // The last append was not acknowledged when the process ended, but for a shutdown; behind it there is space that was allocated ahead.
      const rest = content.subarray(11_000);
      const tail = rest.subarray(0, 3).toString();
      assert.ok(tail === 'end' || (!isShutDown && /^\0*$/.test(tail)));
      assert.ok(rest.subarray(3).every((byte) => byte === 0));
    });
  }
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

describe('a command for a gateway that is stopped', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kafabric-log-command-'));
  after(() => rmSync(directory, { recursive: true }));

  /** `kafabric log inline` over directories below this one. */
  function inline(names: readonly string[], ...options: string[]) {
    const paths = names.map((name) => join(directory, name)).join();
    const settings = [`log.dirs=${paths}`, 'arena.bytes=67108864'].flatMap((each) => ['--override', each]);
    const words = [MAIN, 'log', 'inline', ...settings, ...options];
    return spawnSync(process.execPath, words, { cwd: directory, encoding: 'utf8' });
  }

  it('keeps the log out of what it reports', () => {
    // That a new cluster begins is a warning.
    const { status, stdout, stderr } = inline(['new']);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^0 partitions, .*\nApache Kafka can be started on .*\n$/);
    assert.match(stderr, /a new, empty cluster begins/);
    writeFileSync(join(directory, 'file'), '');
    const failed = inline(['new', 'file'], '--json');
    assert.equal(failed.status, 1);
    assert.equal(failed.stdout, '');
    assert.match(
      failed.stderr,
      /a log directory is out of use[\s\S]*kafabric: .*all of log\.dirs are needed/,
    );
  }).timeout(60_000);
});

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateDirectory } from './state-directory.ts';

/** Above what process ids can be. */
const NOBODY = 2 ** 23;

describe('directories of instances below one', () => {
  const parent = mkdtempSync(join(tmpdir(), 'kafabric-state-'));
  after(() => rmSync(parent, { recursive: true, force: true }));

  it('are removed when their process was killed, also where its id is ours by now; those of others are not', async () => {
    const name = (application: string, host: string, pid: number) => `${application}.${host}.${pid}.abcdef`;
    const gone = [process.pid, NOBODY].map((pid) => name('app', hostname(), pid));
    const stay = [
      name('app', hostname(), process.ppid),
      name('other', hostname(), NOBODY),
      ...[process.pid, NOBODY].map((pid) => name('app', 'another-host', pid)),
    ].sort();
    for (const one of [...gone, ...stay]) mkdirSync(join(parent, one));
    const instances = [await StateDirectory.make(parent, 'app'), await StateDirectory.make(parent, 'app')];
    assert.equal(readdirSync(parent).length, instances.length + stay.length);
    for (const instance of instances) {
      instance.open('0_0', 'store').close();
      await instance.remove();
    }
    assert.deepEqual(readdirSync(parent).sort(), stay);
  });
});

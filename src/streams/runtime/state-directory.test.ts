import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
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
    // From before this process began.
    for (const one of gone) utimesSync(join(parent, one), 0, 0);
    const instances = [await StateDirectory.make(parent, 'app'), await StateDirectory.make(parent, 'app')];
    assert.equal(readdirSync(parent).length, instances.length + stay.length);
    for (const instance of instances) {
      instance.open('0_0', 'store').close();
      await instance.remove();
    }
    assert.deepEqual(readdirSync(parent).sort(), stay);
  });

  it('are not removed by another thread of the process that has them', async () => {
    const instance = await StateDirectory.make(parent, 'threads');
    const module = new URL('state-directory.js', import.meta.url).href;
    const program = `import('${module}').then((m) => m.StateDirectory.make(${JSON.stringify(parent)}, 'threads'))`;
    await once(new Worker(program, { eval: true }), 'exit');
    assert.equal(readdirSync(parent).filter((name) => name.startsWith('threads.')).length, 2);
    instance.open('0_0', 'store').close();
    await instance.remove();
  });
});

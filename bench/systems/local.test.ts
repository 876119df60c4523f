import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { settingsText } from './deployments.ts';
import { abandonSystems, LocalSystem } from './local.ts';
import { dial, greet } from './wire.ts';

/** Answers every request with a byte, until it is asked twice. */
const script = `let asked = 0;
require('net').createServer((socket) => socket.on('error', () => {}).on('data', () => {
  socket.write('x');
  if (++asked === 2) { console.log('no space left'); process.exit(3); }
})).listen(Number(process.argv[1]), '127.0.0.1');`;

class Brief extends LocalSystem {
  readonly info = { name: 'brief', version: '1', about: 'ends soon' };

  protected async prepare(): Promise<string[]> {
    return [process.execPath, '-e', script, String(this.port)];
  }
}

describe('the deployments of the benchmark', () => {
  it('say what each workload is set to, overrides too', () => {
    const chosen = [
      { name: 'produce', deployment: 'os' },
      { name: 'consume', deployment: 'os' },
      { name: 'produce-kept', deployment: 'kept' },
    ] as const;
    const os = 'log.durability=os, log.segment.delete.delay.ms=1000, a=b';
    assert.equal(
      settingsText(chosen, 'kafabric', { a: 'b' }),
      `produce, consume: ${os}; produce-kept: log.durability=os, a=b`,
    );
    assert.equal(
      settingsText(chosen, 'kafka', {}),
      'produce, consume: log.segment.delete.delay.ms=1000; produce-kept: none',
    );
  });
});

describe('a system that the benchmark starts', () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'kafabric-bench-'));
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('that has ended by itself is told with its log, one that was stopped is not', async () => {
    const system = new Brief(folder);
    await system.start('os');
    assert.equal(system.ended(), null);
    await system.stop('SIGTERM');
    assert.equal(system.ended(), null);
    await system.resume();
    await greet(await dial(system.bootstrap));
    while (system.ended() === null) await sleep(10);
    assert.match(system.ended()!, /^brief ended with 3; its log:\nno space left/);
    system.clear();
    assert.deepEqual(readdirSync(folder), []);
  });

  it('is stopped and leaves nothing behind when the benchmark is interrupted', async () => {
    const system = new Brief(folder);
    await system.start('os');
    const pid = system.pid!;
    await abandonSystems('SIGTERM');
    assert.throws(() => process.kill(pid, 0));
    assert.deepEqual(readdirSync(folder), []);
  });
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { root, suites } from '../harness/paths.ts';
import { startDirectGateway } from './fixture.ts';

const run = promisify(execFile);
const example = (path: string) => join(root, 'examples', path);

describe('examples of the direct API', () => {
  if (targetIsKafka) return;

  const output = async (path: string, ...args: string[]) =>
    (await run(process.execPath, [example(path), ...args])).stdout;

  /** Runs heat in a copy of the examples, where nothing is installed. @param npm what that does, in the shell */
  async function heat(npm: string, times: number): Promise<{ stdout: string; installed: string[] }> {
    const directory = mkdtempSync(join(tmpdir(), 'heat-'));
    const log = join(directory, 'installed');
    try {
      const isOurs = (path: string) => !path.includes('node_modules');
      cpSync(join(root, 'examples'), join(directory, 'examples'), { recursive: true, filter: isOurs });
      for (const name of ['node_modules', 'bin']) mkdirSync(join(directory, name));
      symlinkSync(root, join(directory, 'node_modules/kafabric'));
      symlinkSync(join(root, 'dist'), join(directory, 'dist'));
      writeFileSync(join(directory, 'bin/npm'), `#!/bin/sh\necho "$@" >> ${log}\n${npm}\n`, { mode: 0o755 });
      const env = { ...process.env, PATH: `${directory}/bin:/usr/bin:/bin` };
      let stdout = '';
      for (let n = 0; n < times; n++) {
        const args = [join(directory, 'examples/heat/run.mjs'), '21', '256'];
        ({ stdout } = await run(process.execPath, args, { env, cwd: directory }));
      }
      const installed = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
      return { stdout, installed };
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  it('heat runs by one command, and moves what it selects', async () => {
    const { stdout } = await heat('exit 1', 1);
    assert.match(stdout, /21 steps of 0\.5 MB pushed/);
    assert.match(stdout, /step 20: hottest/);
    const selected = 3 * 256 * 8;
    assert.match(stdout, new RegExp(`${selected} of ${21 * 256 * 256 * 8} bytes were moved`));
    assert.match(stdout, /without its dashboard: kafkajs could not be installed/);
  });

  it('heat installs what its dashboard needs, once', async function () {
    requireToolchain(this, 'kafkajs');
    const { stdout, installed } = await heat(
      `ln -s ${join(suites, 'kafkajs', 'node_modules')} examples/kafkajs/node_modules`,
      2,
    );
    assert.equal(installed.length, 1);
    assert.match(installed[0]!, /^ci .*--prefix .*\/examples\/kafkajs$/);
    assert.match(stdout, /^step +20 \|/m);
    assert.match(stdout, new RegExp(`21 steps watched, ${21 * 144} bytes of values received`));
  });

  it('the dashboard of a plain kafkajs client sees every step without its field', async function () {
    requireToolchain(this, 'kafkajs');
    const gateway = await startDirectGateway();
    // Where the client is installed for the tests, in place of `npm install`.
    const directory = mkdtempSync(join(tmpdir(), 'dashboard-'));
    try {
      symlinkSync(join(suites, 'kafkajs', 'node_modules'), join(directory, 'node_modules'));
      copyFileSync(example('kafkajs/dashboard.mjs'), join(directory, 'dashboard.mjs'));
      await run(process.execPath, [example('heat/simulation.mjs'), gateway.direct, '12', '256']);
      const watch = (bootstrap: string) =>
        run(process.execPath, [join(directory, 'dashboard.mjs'), bootstrap, '12']);
      const { stdout } = await watch(gateway.direct);
      assert.match(stdout, /^step +0 \|#{50}\| 100\.0$/m);
      assert.match(stdout, /^step +11 \|/m);
      assert.match(stdout, new RegExp(`12 steps watched, ${12 * 144} bytes of values received`));
      const whole = await watch(gateway.bootstrap);
      assert.match(
        whole.stdout,
        new RegExp(`12 steps watched, ${12 * 256 * 256 * 8} bytes of values received`),
      );
    } finally {
      rmSync(directory, { recursive: true });
      await gateway.broker.stop();
    }
  });

  it('retention removes old events, with their data', async () => {
    const stdout = await output('retention/run.mjs');
    assert.match(stdout, /event 0 is there: 1000000 bytes/);
    assert.match(stdout, /event 0 is gone, and its data with it/);
    const oldest = Number(/the oldest event that is left is (\d+)/.exec(stdout)?.[1]);
    assert.ok(oldest > 0 && oldest < 60, stdout);
    assert.match(stdout, new RegExp(`${60 - oldest} events are left, whole`));
  });

  it('offsets go on where they were committed, and back where they are moved', async () => {
    const stdout = await output('offsets/run.mjs');
    for (const line of [
      'the first consumer takes 0 to 9 and commits',
      'then 10 to 14, and vanishes before it commits',
      'the second goes on with 10 to 24',
      'the group is 5 behind',
      'moved back in time, it takes 5 to 9 again',
      'a reader without a group begins where it likes: 28 to 29',
    ])
      assert.ok(stdout.includes(line), `${line}\n\n${stdout}`);
  });

  it('partitioned writers and readers see every event', async () => {
    const stdout = await output('partitioned/run.mjs', '4', '10');
    assert.match(stdout, /40 events of 4 ranks in 4 partitions, each seen/);
  });

  it('heat takes any number of cells', async () => {
    const gateway = await startDirectGateway();
    try {
      await run(process.execPath, [example('heat/simulation.mjs'), gateway.direct, '1', '30']);
      const { stdout } = await run(process.execPath, [example('heat/analysis.mjs'), gateway.direct, '1']);
      // Five of its 30 cells are in the hot spot.
      assert.match(stdout, /step 0: hottest 100\.0, column mean 16\.667/);
    } finally {
      await gateway.broker.stop();
    }
  });

  it('end their gateway, and remove what they have made, when they are interrupted', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'interrupted-'));
    const program = `
      import { readFileSync } from 'node:fs';
      import { withGateway } from '${example('gateway.mjs')}';
      await withGateway({}, async () => {
        console.log('gateway', readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8'));
        await new Promise((resolve) => setTimeout(resolve, 600_000));
      });`;
    const one = new Child([process.execPath, '--input-type=module', '-e', program], { TMPDIR: directory });
    try {
      const pid = () => Number(/^gateway (\d+)/m.exec(one.output)?.[1] ?? 0);
      await until('the example is at work', 60_000, () => pid() > 0 || !one.running);
      one.process.kill('SIGTERM');
      assert.deepEqual(await one.ended, { code: 143, signal: null }, one.output);
      assert.throws(() => process.kill(pid(), 0), { code: 'ESRCH' });
      assert.deepEqual(readdirSync(directory), []);
    } finally {
      await one.kill('SIGKILL');
      rmSync(directory, { recursive: true });
    }
  });

  it('say what failed, and remove what they have made, when their gateway is killed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'killed-'));
    const program = `
      import { readFileSync } from 'node:fs';
      import { withGateway } from '${example('gateway.mjs')}';
      await withGateway({}, async () => {
        process.kill(Number(readFileSync('/proc/self/task/' + process.pid + '/children')), 'SIGKILL');
        await new Promise((resolve) => setTimeout(resolve, 500));
        throw new Error('the work failed');
      });`;
    const env = { ...process.env, TMPDIR: directory };
    try {
      const running = run(process.execPath, ['--input-type=module', '-e', program], { env });
      await assert.rejects(running, /the work failed/);
      assert.deepEqual(readdirSync(directory), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

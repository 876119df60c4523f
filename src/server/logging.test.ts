import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'mocha';
import pino from 'pino';
import { leveled } from './logging.ts';

const CHILD = fileURLToPath(new URL('./logging.child.js', import.meta.url));

describe('levels of loggers', () => {
  const open = () => {
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk, _encoding, done) {
        const { component, msg } = JSON.parse(String(chunk)) as { component?: string; msg: string };
        lines.push(component === undefined ? msg : `${component} ${msg}`);
        done();
      },
    });
    return { lines, log: leveled(pino({ level: 'info' }, sink)) };
  };

  it('are those of the root, until a part has its own', () => {
    const { lines, log } = open();
    const groups = log.child({ component: 'groups' });
    const share = groups.child({ component: 'share' });
    const debug = () => {
      for (const each of [log, groups, share]) each.debug({}, 'debug');
      return lines.splice(0);
    };
    assert.deepEqual(debug(), []);
    log.levels.set('groups', 'debug');
    assert.deepEqual(debug(), ['groups debug']);
    log.levels.set('root', 'debug');
    assert.deepEqual(debug(), ['debug', 'groups debug', 'share debug']);
    log.levels.set('root', 'error');
    log.child({ component: 'groups' }).info({}, 'the same part');
    share.warn({}, 'unheard');
    assert.deepEqual(lines.splice(0), ['groups the same part']);
    log.levels.set('groups', null);
    assert.deepEqual(debug(), []);
    assert.deepEqual(Object.fromEntries(log.levels.levels()), {
      root: 'error',
      groups: 'error',
      share: 'error',
    });
  });

  it('of parts that are not there are not set', () => {
    const { log } = open();
    log.levels.set('nothing', 'debug');
    log.levels.set('root', null);
    assert.deepEqual([...log.levels.levels()], [['root', 'info']]);
  });
});

/** Runs a command on a terminal of its own, which is closed when its first line is there; then the command is sent a word. */
const CLOSED_TERMINAL = `
import os, subprocess, sys
terminal, end = os.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=end)
os.close(end)
os.read(terminal, 1000)
os.close(terminal)
child.stdin.write(b'go')
child.stdin.close()
sys.exit(child.wait())
`;

describe('a log that cannot be written', () => {
  it('ends nothing, and keeps nobody from ending', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [CHILD], { stdio: ['ignore', full, 'pipe'], timeout: 20_000 });
    closeSync(full);
    let errors = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    assert.deepEqual([...(await once(child, 'close')), errors], [0, null, 'still there\n']);
  });

  it('ends nothing when it was that of a terminal that is closed', async function () {
    if (spawnSync('python3', ['--version']).status !== 0) return this.skip();
    const child = spawn('python3', ['-c', CLOSED_TERMINAL, process.execPath, CHILD, 'terminal'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 20_000,
    });
    let errors = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    await once(child, 'close');
    // What Node says behind it is that it does not find the terminal when it ends.
    assert.match(errors, /^still there\n/);
  });
});

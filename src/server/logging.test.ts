import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
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
});

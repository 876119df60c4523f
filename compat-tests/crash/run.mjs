// npm run test:crash -- --rounds 50: the kill -9 test alone, with as many rounds as wanted.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { root, setup } from '../../scripts/setup.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '50' } } });

function run(...args) {
  const env = { ...process.env, KAFABRIC_CRASH_ROUNDS: values.rounds };
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
}

setup();
run('compat-tests/setup.mjs', 'go', 'java');
run('node_modules/mocha/bin/mocha.js', '--config', 'compat-tests/crash/.mocharc.json');

// npm run test:verbs: the fabric's verbs path for real. Boots a virtual machine with a soft-RoCE device, and runs in it the native tests of the fabric, then a
// gateway, stores and clients, over `verbs;ofi_rxm`. The last line is `N passed, N failed`, or `skipped: ` and why.
//
//   npm run test:verbs -- --only native        only `native` or only `system`
//   npm run test:verbs -- --grep killed        only tests with this in their name
//   npm run test:verbs -- --prepared           everything is built and installed already
//   KAFABRIC_VERBS_MEMORY=3072                 megabytes of the machine
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, runOrExit, setup } from '../../scripts/setup.mjs';
import { accelerators, FIRST_WORDS, prepareMachine, startMachine } from './machine.mjs';
import { Missing } from './packages.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'native,system' },
    grep: { type: 'string', default: '' },
    prepared: { type: 'boolean', default: false },
  },
});

const cache = join(root, 'build/verbs');
/** What the machine wrote, kept until the next run. */
const shared = join(cache, 'last');
/** How much longer things take, and how long the whole run may. */
const patience = { kvm: { slow: 1, minutes: 20 }, tcg: { slow: 10, minutes: 120 } };
/** A machine that has not said a word after this does not start; it takes three seconds. */
const SILENCE_MS = 40_000;

function prepareHost() {
  if (!values.prepared) {
    setup();
    const clients = ['libfabric', 'go', 'platformatic-kafka'];
    runOrExit(process.execPath, ['compat-tests/setup.mjs', ...clients], 'no client could be installed');
  }
  const build = ['scripts/build-native.mjs', '--test', '--build-only'];
  runOrExit(process.execPath, build, 'building the native tests failed');
}

/** For whoever looks for a fault: FI_LOG_LEVEL and others. */
const libfabricVariables = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith('FI_')),
);

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function writeOrders(slow) {
  rmSync(shared, { recursive: true, force: true });
  mkdirSync(shared, { recursive: true });
  const environment = {
    HOME: '/root',
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    TMPDIR: '/machine/data/tmp',
    KAFABRIC_TEST_LOGS: '/machine/shared',
    KAFABRIC_VERBS_SHARED: '/machine/shared',
    KAFABRIC_TEST_PATIENCE: String(slow),
    ...libfabricVariables,
  };
  const guest = [process.execPath, 'compat-tests/verbs/guest.mjs', values.only, values.grep];
  const lines = [
    ...Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}`),
    'ulimit -l unlimited',
    'ulimit -n 65536',
    `cd ${quoted(root)}`,
    guest.map(quoted).join(' '),
    '',
  ];
  writeFileSync(join(shared, 'run.sh'), lines.join('\n'));
}

/** Runs the machine to its end. Whether it got to its first word, and why it did not come to its end; null when it did. */
function runMachine(machine, accelerator) {
  const { slow, minutes } = patience[accelerator];
  writeOrders(slow);
  const megabytes = Number(process.env.KAFABRIC_VERBS_MEMORY ?? 3072);
  const child = startMachine(machine, shared, { accelerator, megabytes, processors: 2 });
  const interrupted = (signal) => {
    child.kill('SIGKILL');
    process.kill(process.pid, signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.once(signal, interrupted);
  let problem = null;
  let isUp = false;
  const endWith = (reason) => () => {
    problem = reason;
    child.kill('SIGKILL');
  };
  const silence = setTimeout(endWith('the machine does not start'), SILENCE_MS * slow);
  const deadline = setTimeout(endWith(`the machine was ended after ${minutes} minutes`), minutes * 60_000);
  let beginning = '';
  child.stdout.on('data', (chunk) => {
    process.stdout.write(chunk);
    if (isUp) return;
    beginning += chunk;
    isUp = beginning.includes(FIRST_WORDS);
    if (isUp) clearTimeout(silence);
  });
  return new Promise((done) => {
    child.on('error', (error) => done({ isUp, problem: `QEMU cannot be started: ${error.message}` }));
    child.on('close', (code, signal) => {
      clearTimeout(silence);
      clearTimeout(deadline);
      for (const signal of signals) process.off(signal, interrupted);
      rmSync(join(shared, 'disk'), { force: true });
      if (code !== 0) problem ??= `QEMU ended with ${code ?? signal}`;
      done({ isUp, problem });
    });
  });
}

/** Runs the machine by the best means that work here; which did not work is remembered beside it. */
async function runBest(machine) {
  const without = join(machine, 'without-kvm');
  const usable = accelerators().filter((name) => name !== 'kvm' || !existsSync(without));
  for (const accelerator of usable) {
    if (accelerator === 'tcg') console.log('without KVM: the machine is slow, this takes long');
    const { isUp, problem } = await runMachine(machine, accelerator);
    if (isUp || accelerator === 'tcg') return problem;
    console.log(`${problem} with KVM`);
    writeFileSync(without, '');
  }
  return null;
}

function results() {
  const file = join(shared, 'results.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
}

async function main() {
  let machine;
  try {
    machine = await prepareMachine(cache);
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    console.log(`skipped: ${error.message}`);
    return;
  }
  prepareHost();
  const problem = await runBest(machine);
  const { passed = 0, failed = 0, skipped = 0, complete = false } = results() ?? {};
  if (problem !== null) console.log(problem);
  else if (!complete) console.log('the machine ended before the tests did');
  const failures = failed + (problem === null && complete ? 0 : 1);
  console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failures === 0 && passed > 0 ? 0 : 1;
}

await main();

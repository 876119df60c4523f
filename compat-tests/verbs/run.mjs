// npm run test:verbs: the fabric's verbs path for real. Boots a virtual machine with a soft-RoCE device, and runs in it the native tests of the fabric, then a
// gateway, a store and clients, and with KVM several stores, over `verbs;ofi_rxm`. The last line is `N passed, N failed`, or `skipped: ` and why.
//
//   npm run test:verbs -- --only native        only `native`, `system` (one store) or `stores` (several), or more than one of them with commas
//   npm run test:verbs -- --grep killed        only tests with this in their name
//   npm run test:verbs -- --prepared           everything is built and installed already
//   KAFABRIC_VERBS_MEMORY=3072                 megabytes of the machine
//   KAFABRIC_FABRIC_LIBRARY=/a/libfabric.so.1  another libfabric than the one installed
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, runOrExit, setup } from '../../scripts/setup.mjs';
import { accelerators, FIRST_WORDS, prepareMachine, startMachine } from './machine.mjs';
import { Missing } from './packages.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    grep: { type: 'string', default: '' },
    prepared: { type: 'boolean', default: false },
  },
});

const cache = join(root, 'build/verbs');
/** What the machine wrote, kept until the next run. */
const shared = join(cache, 'last');
/**
 * By what runs the machine: what is tried unasked, how long its first word may take (it takes three seconds, and ten), and how long all of it may. How slow a
 * machine is it finds out itself.
 */
const runs = {
  kvm: { suites: ['native', 'system', 'stores'], silenceSeconds: 40, minutes: 20 },
  tcg: { suites: ['native', 'system'], silenceSeconds: 400, minutes: 90 },
};

function prepareHost() {
  if (!values.prepared) {
    setup();
    const clients = ['libfabric', 'go', 'platformatic-kafka'];
    runOrExit(process.execPath, ['compat-tests/setup.mjs', ...clients], 'no client could be installed');
  }
  const build = ['scripts/build-native.mjs', '--test', '--build-only'];
  runOrExit(process.execPath, build, 'building the native tests failed');
}

/** For whoever looks for a fault, or tries another library: FI_LOG_LEVEL and others. */
const variables = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(FI_|KAFABRIC_FABRIC_LIBRARY$)/.test(name)),
);

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** What was asked for, or what is done unasked. */
function suitesFor(accelerator) {
  if (values.only === undefined) return runs[accelerator].suites;
  const names = values.only.split(',');
  const unknown = names.find((name) => !runs.kvm.suites.includes(name));
  if (unknown === undefined) return names;
  console.error(`--only ${unknown}: there are ${runs.kvm.suites.join(', ')}`);
  process.exit(2);
}

function writeOrders(suites) {
  rmSync(shared, { recursive: true, force: true });
  mkdirSync(shared, { recursive: true });
  const environment = {
    HOME: '/root',
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    TMPDIR: '/machine/data/tmp',
    KAFABRIC_TEST_LOGS: '/machine/shared',
    KAFABRIC_VERBS_SHARED: '/machine/shared',
    ...variables,
  };
  const guest = [process.execPath, 'compat-tests/verbs/guest.mjs', suites.join(), values.grep];
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
  const { silenceSeconds, minutes } = runs[accelerator];
  writeOrders(suitesFor(accelerator));
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
  const silence = setTimeout(endWith('the machine does not start'), silenceSeconds * 1000);
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
    console.log(`running ${suitesFor(accelerator).join(', ')} ...`);
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

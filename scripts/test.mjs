// npm test: sets everything up, runs every suite but `ecosystem`, prints one summary whose last line is `N passed, N failed`.
//
//   npm test -- --only unit,compat      only these suites
//
// With CI=true a skipped test is a failure.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, setup } from './setup.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'kafabric-test-'));
const clear = () => rmSync(scratch, { recursive: true, force: true });
process.once('exit', clear);
const strict = process.env.CI === 'true';

/** A command that takes longer hangs. The longest of `npm test`, the tests of the clients, takes a quarter of an hour on two cores of its own. */
const longestMinutes = 90 * Number(process.env.KAFABRIC_TEST_PATIENCE ?? 1);

/** Sends a signal to the command that is running and all that it has started. */
let endRunning = () => {};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    endRunning(signal);
    clear();
    process.kill(process.pid, signal);
  });
}

/** What the commands of the suite that runs have printed, its end. */
let printed = '';

/** Runs a command, shows its output as it comes, resolves to its exit code (or the signal that ended it) and standard output. */
function run(command, args, env = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group, to be ended as a whole
    });
    endRunning = (signal) => process.kill(-child.pid, signal);
    const deadline = setTimeout(() => {
      console.error(`ended after ${longestMinutes} minutes: ${command} ${args.join(' ')}`);
      endRunning('SIGKILL');
    }, longestMinutes * 60_000);
    let output = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      output = (output + chunk).slice(-100_000);
      printed = (printed + chunk).slice(-100_000);
    });
    child.stderr.on('data', (chunk) => {
      process.stderr.write(chunk);
      printed = (printed + chunk).slice(-100_000);
    });
    const end = (result) => {
      clearTimeout(deadline);
      endRunning = () => {};
      done(result);
    };
    child.on('error', (error) => end({ code: 1, output: String(error) }));
    child.on('close', (code, signal) => {
      if (code !== 0) printed += `\nended with ${signal ?? `code ${code}`}: ${command} ${args.join(' ')}\n`;
      end({ code: code ?? 1, output });
    });
  });
}

/** What a check exits with when it lacks a tool and has said which: it counts as skipped. */
const SKIPPED = 77;

/** A check that passes, fails or is skipped as a whole. */
async function check(command, args) {
  const { code } = await run(command, args);
  if (code === SKIPPED) return { passed: 0, failed: 0, skipped: 1 };
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

async function nativeTests(...args) {
  const prepared = await run(process.execPath, ['compat-tests/setup.mjs', 'libfabric']);
  if (prepared.code !== 0) return { passed: 0, failed: 1, skipped: 0 };
  const { code, output } = await run(process.execPath, ['scripts/build-native.mjs', '--test', ...args]);
  const counts = output.match(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/);
  if (!counts) return { passed: 0, failed: 1, skipped: 0 };
  const failed = Number(counts[2]);
  return {
    passed: Number(counts[1]),
    failed: code === 0 ? failed : Math.max(failed, 1),
    skipped: Number(counts[3] ?? 0),
  };
}

async function mochaTests(...args) {
  const countsFile = join(scratch, `mocha-${Math.random().toString(36).slice(2)}.json`);
  const mocha = ['node_modules/mocha/bin/mocha.js', '--reporter', 'scripts/mocha-reporter.cjs', ...args];
  const { code } = await run(process.execPath, mocha, { KAFABRIC_TEST_COUNTS: countsFile });
  try {
    const counts = JSON.parse(readFileSync(countsFile, 'utf8'));
    return { ...counts, failed: code === 0 ? counts.failed : Math.max(counts.failed, 1) };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

async function compatTests() {
  const { code } = await run(process.execPath, ['compat-tests/setup.mjs']);
  if (code !== 0) return { passed: 0, failed: 1, skipped: 0 };
  return mochaTests('--config', 'compat-tests/.mocharc.json');
}

/** What people build with Kafka, unmodified. What cannot be installed is one failure; the tests of the rest run. */
async function ecosystemTests() {
  const { code } = await run(process.execPath, ['compat-tests/setup.mjs', 'java', 'kcat', 'ecosystem']);
  const counts = await mochaTests('--config', 'compat-tests/ecosystem/.mocharc.json');
  return code === 0 ? counts : { ...counts, failed: counts.failed + 1 };
}

/** The benchmark's harness at work, on the gateway alone. */
async function benchTests() {
  const { code } = await run(process.execPath, ['compat-tests/setup.mjs', 'bench']);
  if (code !== 0) return { passed: 0, failed: 1, skipped: 0 };
  return mochaTests('--config', 'bench/.mocharc.json');
}

const suites = {
  lint: () =>
    check(process.execPath, ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings']),
  docs: () => check(process.execPath, ['scripts/docs.mjs', '--check']),
  generated: () => check(process.execPath, ['scripts/generate/main.mjs', '--check']),
  native: () => nativeTests(),
  'native-asan': () => nativeTests('--sanitize=address'),
  'native-tsan': () => nativeTests('--sanitize=thread'),
  unit: () => mochaTests(),
  bench: benchTests,
  compat: compatTests,
  ecosystem: ecosystemTests,
};

/** Too long for every time. */
const byRequest = ['ecosystem'];

/** What is wrong with the command line ends the process before anything is installed. */
function refuse(problem) {
  console.error(`${problem}; use --only SUITE[,SUITE...]; the suites are ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}

function options() {
  try {
    return parseArgs({ options: { only: { type: 'string' } } }).values;
  } catch (error) {
    return refuse(error.message);
  }
}

function selectedSuites() {
  const { only } = options();
  if (only === undefined) return Object.keys(suites).filter((name) => !byRequest.includes(name));
  const names = only.split(',');
  const unknown = names.filter((name) => !Object.hasOwn(suites, name));
  return unknown.length === 0 ? names : refuse(`unknown suite '${unknown.join(', ')}'`);
}

/** Enough for the causes of a few failures, so that they need not be searched for above. */
const lastLines = (text) => text.trimEnd().split('\n').slice(-60).join('\n');

const names = selectedSuites();
setup();
const total = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
const failures = [];
for (const name of names) {
  console.log(`\n=== ${name}`);
  const started = Date.now();
  printed = '';
  const counts = await suites[name]();
  if (counts.failed > 0)
    failures.push(`=== ${name} failed; the end of what it printed:\n${lastLines(printed)}`);
  for (const key of Object.keys(total)) total[key] += counts[key];
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  lines.push(
    `${name.padEnd(12)} ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, ${seconds} s`,
  );
}
for (const failure of failures) console.log(`\n${failure}`);
console.log(`\n${lines.join('\n')}`);
if (strict && total.skipped > 0) {
  console.log(`CI=true: ${total.skipped} skipped tests count as failed`);
  total.failed += total.skipped;
  total.skipped = 0;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

// What runs in the machine: the suites, one after the other, and their counts for run.mjs.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [only, grep] = process.argv.slice(2);
const shared = process.env.KAFABRIC_VERBS_SHARED;
/** What the command line takes to say its version where nothing is slow, in milliseconds. */
const USUAL_MS = 250;
const MAX_PATIENCE = 200;

/** Runs a command, shows its output as it comes; resolves to how it ended, and the end of its output. */
function run(command, args, env = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      output = (output + chunk).slice(-10_000);
    });
    child.on('error', (error) => done({ succeeded: false, output: String(error) }));
    child.on('close', (code) => done({ succeeded: code === 0, output }));
  });
}

const counted = (counts, succeeded) => ({
  ...counts,
  failed: succeeded ? counts.failed : Math.max(counts.failed, 1),
});

/**
 * How many times longer than usual things may take, by what the command line takes: the second time, when its files have been read once.
 * Also with much else to do things go on when the machine is the faster one.
 */
async function measurePatience() {
  let tookMs = 0;
  for (let i = 0; i < 2; i++) {
    const start = performance.now();
    const { succeeded, output } = await run(process.execPath, ['dist/kafabric/main.js', '--version']);
    if (!succeeded) throw new Error(`the command line does not run: ${output}`);
    tookMs = performance.now() - start;
  }
  return Math.min(MAX_PATIENCE, Math.max(1, Math.ceil(tookMs / USUAL_MS)));
}

/** The tests of the fabric that name verbs. */
async function native() {
  const filter = grep === '' ? 'verbs' : grep;
  const { succeeded, output } = await run('build/native-test/native-test', [
    `--filter=${filter}`,
    '--verbose',
  ]);
  const counts = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(output);
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  const [passed, failed, skipped] = counts.slice(1).map((count) => Number(count ?? 0));
  return counted({ passed, failed, skipped }, succeeded);
}

/** A gateway, stores and clients: the tests of one file. */
async function system(file) {
  const counts = join(shared, 'counts.json');
  rmSync(counts, { force: true });
  const { succeeded } = await run(
    process.execPath,
    [
      '--enable-source-maps',
      'node_modules/mocha/bin/mocha.js',
      ...['--config', 'compat-tests/verbs/.mocharc.json', '--reporter', 'scripts/mocha-reporter.cjs'],
      ...['--spec', `dist/compat-tests/verbs/${file}.test.js`],
      ...(grep === '' ? [] : ['--grep', grep]),
    ],
    { KAFABRIC_TEST_COUNTS: counts },
  );
  if (!existsSync(counts)) return { passed: 0, failed: 1, skipped: 0 };
  return counted(JSON.parse(readFileSync(counts, 'utf8')), succeeded);
}

const suites = { native, system: () => system('one-store'), stores: () => system('several-stores') };
process.env.KAFABRIC_TEST_PATIENCE ??= String(await measurePatience());
console.log(`things may take ${process.env.KAFABRIC_TEST_PATIENCE} times as long as usual`);
const total = { passed: 0, failed: 0, skipped: 0 };
for (const name of only.split(',')) {
  console.log(`\n=== ${name}`);
  const counts = await suites[name]();
  for (const key of Object.keys(total)) total[key] += counts[key];
}
writeFileSync(join(shared, 'results.json'), JSON.stringify({ ...total, complete: true }));
